"""A Meltano project for one test: the repository's own meltano.yml, run by the real Meltano.

Each test has a folder, and so state and output, of its own. The environments of the plugins are
shared by all processes of a session: the first test that names a plugin installs it.
"""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from simulator.process import SimulatorProcess

ROOT = Path(__file__).parent.parent

# Settings of the shell that would change what the plugins are told, and one that makes every start
# of Meltano compile thousands of modules.
FOREIGN_PREFIXES = ("MELTANO_", "PG", "PYTHONDONTWRITEBYTECODE", "TAP_", "TARGET_", "VIRTUAL_ENV")

needs_duckdb = pytest.mark.skipif(
    sys.version_info >= (3, 14), reason="duckdb 1.2.2 has no build for this Python"
)


def shared_plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder for the plugins' environments that a session has for all its processes."""
    folder = tmp_path_factory.getbasetemp()
    return (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "plugins"


def _installed_plugins() -> Iterator[str]:
    """Yield the names of the plugins with an environment of their own; others use a parent's."""
    definition = yaml.safe_load((ROOT / "meltano.yml").read_bytes())
    for plugins in definition["plugins"].values():
        yield from (each["name"] for each in plugins if "pip_url" in each)


class MeltanoProject:
    """The repository's Meltano project, in a folder of its own."""

    def __init__(self, folder: Path, plugins: Path) -> None:
        """Make the project.

        Args:
            folder: the project's; made if it is missing.
            plugins: where the plugins' environments are, see `shared_plugins`.
        """
        self._plugins = plugins
        self.folder = folder
        self.output = folder / "output"
        self.output.mkdir(parents=True)
        self.definition = folder / "meltano.yml"
        published = (ROOT / "meltano.yml").read_text(encoding="utf-8")
        here = "-e ${MELTANO_PROJECT_ROOT}"
        assert published.count(here) == 1
        self.definition.write_text(published.replace(here, f"-e {ROOT}"), encoding="utf-8")
        (folder / ".meltano").mkdir()
        for kind in ("extractors", "loaders", "utilities"):
            (plugins / kind).mkdir(parents=True, exist_ok=True)
            (folder / ".meltano" / kind).symlink_to(plugins / kind)
        self.env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(FOREIGN_PREFIXES)
        }
        self.env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), self.env["PATH"]])
        # A test may leave a shell without Meltano.
        self._path = self.env["PATH"]
        self.env["UV_COMPILE_BYTECODE"] = "1"

    def include(self, example: Path) -> None:
        """Take in a file with more plugins, as `include_paths` in meltano.yml does."""
        copy = self.folder / example.name
        copy.write_bytes(example.read_bytes())
        with self.definition.open("a", encoding="utf-8") as definition:
            definition.write(f"\ninclude_paths:\n- ./{example.name}\n")

    def configure(self, plugin: str, settings: Mapping[str, object]) -> None:
        """Set a plugin's settings, as users do: by environment variables."""
        prefix = plugin.replace("-", "_").upper()
        for name, value in settings.items():
            self.env[f"{prefix}_{name.upper()}"] = str(value)

    def read_from(self, simulator: SimulatorProcess, *, plugin: str = "tap-zoom-cc") -> None:
        """Point the tap to a simulator, at a pace that it does not mind."""
        self.configure(plugin, {**simulator.tap_config(), "requests_per_second": 100})

    def install_named_in(self, text: str) -> None:
        """Install the plugins of the repository that a text names, unless that has been done.

        One process at a time does: others wait, and find what they need.
        """
        wanted = [name for name in _installed_plugins() if re.search(rf"(?<![\w-]){name}\b", text)]
        with (self._plugins / "installed").open("a+", encoding="utf-8") as installed:
            fcntl.flock(installed, fcntl.LOCK_EX)
            installed.seek(0)
            missing = sorted(set(wanted) - set(installed.read().split()))
            if missing:
                self._run("install", "--", *missing, env={"PATH": self._path})
                installed.write("".join(f"{name}\n" for name in missing))

    def meltano(
        self, *arguments: str, env: Mapping[str, str] | None = None, fails: bool = False
    ) -> str:
        """Run Meltano to its good end, or to a bad one.

        Args:
            arguments: of the command line.
            env: variables for this run alone.
            fails: whether it is to end with an exit code other than 0.

        Returns:
            What it wrote, log and all.
        """
        if arguments[0] in {"invoke", "run", "select"}:
            self.install_named_in(" ".join(arguments))
        return self._run(*arguments, env=env, fails=fails)

    def _run(
        self, *arguments: str, env: Mapping[str, str] | None = None, fails: bool = False
    ) -> str:
        result = subprocess.run(
            ["meltano", *arguments],
            cwd=self.folder,
            env={**self.env, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert bool(result.returncode) == fails, result.stdout
        return result.stdout
