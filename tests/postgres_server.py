"""A PostgreSQL server of the tests' own, from the programs that are installed on the machine."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.raw_server import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

HOST = "127.0.0.1"
USER = "zoom_cc"
DATABASE = "postgres"
DEBIAN_VERSIONS = Path("/usr/lib/postgresql")


@contextmanager
def postgres_server() -> Iterator[int]:
    """Run a server that trusts everybody on this machine, and give its port.

    Its time zone is far from UTC: a client that leaves the zone to the server shifts instants.
    Where no server is installed the test is skipped, but in CI, where .ci/run installs one, it
    fails.
    """
    programs = _programs()
    if programs is None:
        give_up = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        give_up("no PostgreSQL server is installed (initdb and pg_ctl were looked for)")
    # Not below pytest's folders, which only their owner may enter: the server refuses to run as
    # root and then runs as somebody else.
    with tempfile.TemporaryDirectory(prefix="postgres-") as home:
        owner: dict[str, Any] = {}
        if os.geteuid() == 0:
            user = (
                "postgres" if "postgres" in {each.pw_name for each in pwd.getpwall()} else "nobody"
            )
            owner = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}
            shutil.chown(home, user)

        def run(program: str, *arguments: str) -> None:
            """Run a program; a started server would keep a pipe open, hence a file."""
            with tempfile.TemporaryFile() as output:
                ended = subprocess.run(
                    [programs / program, f"--pgdata={home}/data", *arguments],
                    cwd=home,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    check=False,
                    **owner,
                )
                output.seek(0)
                assert ended.returncode == 0, output.read().decode()

        making = ["--encoding=UTF8", "--locale=C", "--no-sync", "--auth=trust"]
        run("initdb", f"--username={USER}", *making)
        port = free_port()
        options = f"-c listen_addresses={HOST} -c port={port} -c unix_socket_directories={home}"
        options += " -c fsync=off -c timezone=America/Los_Angeles"
        control = ["--wait", "--timeout=240", f"--log={home}/log"]
        run("pg_ctl", *control, f"--options={options}", "start")
        try:
            yield port
        finally:
            run("pg_ctl", *control, "--mode=immediate", "stop")


def connect(port: int) -> psycopg.Connection[tuple[Any, ...]]:
    """Return a connection, in the server's own time zone; use it as a context manager."""
    # Importing it takes each process of the tests a third of a second.
    import psycopg  # noqa: PLC0415

    return psycopg.connect(host=HOST, port=port, user=USER, dbname=DATABASE, autocommit=True)


def loader_settings(port: int) -> dict[str, object]:
    """Return the settings with which target-postgres reaches the server; it wants a password."""
    where = {"host": HOST, "port": port, "database": DATABASE}
    return {**where, "user": USER, "password": "not asked for"}


def _programs() -> Path | None:
    """Return the folder that holds initdb and pg_ctl, of the newest version, or None."""
    found = shutil.which("initdb")
    versions = sorted(DEBIAN_VERSIONS.glob("[0-9]*/bin"), key=lambda path: float(path.parent.name))
    folders = [*([Path(found).resolve().parent] if found else []), *reversed(versions)]
    return next((folder for folder in folders if (folder / "pg_ctl").exists()), None)
