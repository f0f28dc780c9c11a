"""A Meltano project for one test: the repository's own meltano.yml, run by the real Meltano.

Each test has a folder, and so state and output, of its own. The environments of the plugins are in
that of the tests, and last as long: the first test that names a plugin installs it.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.checkout import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simulator.process import SimulatorProcess

PLUGINS = Path(sys.prefix) / "plugins"

# Settings of the shell that would change what the plugins are told, and one that makes every start
# of Meltano compile thousands of modules.
FOREIGN_PREFIXES = ("MELTANO_", "PG", "PYTHONDONTWRITEBYTECODE", "TAP_", "TARGET_", "VIRTUAL_ENV")

needs_duckdb = pytest.mark.skipif(
    sys.version_info >= (3, 14), reason="duckdb 1.2.2 has no build for this Python"
)


@cache
def _requirements_of_plugins() -> dict[str, str]:
    """Return what is installed for each plugin; one without this line uses its parent's."""
    kinds = yaml.safe_load((ROOT / "meltano.yml").read_bytes())["plugins"].values()
    return {each["name"]: each["pip_url"] for kind in kinds for each in kind if "pip_url" in each}


class MeltanoProject:
    """The repository's Meltano project in a folder of its own, where MeltanoHub is out of reach."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.output = folder / "output"
        self.output.mkdir(parents=True)
        self.definition = folder / "meltano.yml"
        published = (ROOT / "meltano.yml").read_text("utf-8")
        here = "-e ${MELTANO_PROJECT_ROOT}"
        assert published.count(here) == 1
        self.definition.write_text(published.replace(here, f"-e {ROOT}"), "utf-8")
        (folder / ".meltano").mkdir()
        for kind in ("extractors", "loaders", "utilities"):
            (PLUGINS / kind).mkdir(parents=True, exist_ok=True)
            (folder / ".meltano" / kind).symlink_to(PLUGINS / kind)
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN_PREFIXES)}
        self.env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), self.env["PATH"]])
        # Most of what is installed is never started: Python compiles what is.
        self.env["UV_COMPILE_BYTECODE"] = "0"
        nowhere = "http://127.0.0.1:9"
        self.env |= {"MELTANO_HUB_URL": nowhere, "MELTANO_HUB_API_ROOT": nowhere}

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

    def read_from(self, simulator: SimulatorProcess) -> None:
        """Point the tap to a simulator, at a pace that it does not mind."""
        self.configure("tap-zoom-cc", {**simulator.tap_config(), "requests_per_second": 100})

    def install_named_in(self, text: str) -> None:
        """Install the plugins of the repository that a text names, unless that has been done.

        One process at a time does: others wait. Other requirements are installed again.
        """
        named = {
            name: requirements
            for name, requirements in _requirements_of_plugins().items()
            if re.search(rf"(?<![\w-]){name}\b", text)
        }
        with (PLUGINS / "installed.json").open("a+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            installed = json.loads(file.read() or "{}")
            missing = [name for name in named if installed.get(name) != named[name]]
            if missing:
                self.meltano("install", "--", *missing)
                file.truncate(0)
                json.dump(installed | named, file)

    def meltano(
        self, *arguments: str, env: Mapping[str, str] | None = None, fails: bool = False
    ) -> str:
        """Run Meltano to its good end, or to one that `fails`, and return what it wrote.

        The plugins that it needs are installed before; ``env`` is for this run alone.
        """
        if arguments[0] in {"invoke", "run", "select"}:
            self.install_named_in(" ".join(arguments))
        result = subprocess.run(
            # A test may leave a shell without Meltano.
            [Path(sys.executable).with_name("meltano"), *arguments],
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
