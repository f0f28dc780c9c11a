"""The container file's steps lead to a container that loads, and goes on from its volume.

No image is built, since a container engine is not everywhere: the instructions are read, and done
one after the other in a folder that stands for the one in the image.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

import pytest

from simulator.scenario import STREAMS, Account, Clock, Scenario
from tests.harness.rows import by_key
from tests.harness.tap import settings_for
from tests.meltano_project import FOREIGN_PREFIXES, ROOT
from tests.postgres_server import connect, loader_settings

if TYPE_CHECKING:
    from simulator.process import SimulatorProcess

TEXT = (ROOT / "Containerfile").read_text("utf-8")
FOLDER = "/project"

SCENARIO = Scenario(
    accounts=(Account(id="one", sms=20, voice_calls=60), Account(id="two", sms=10)),
    clock=Clock(now=datetime(2024, 2, 14, tzinfo=timezone.utc)),
)


def instructions(text: str = TEXT) -> list[tuple[str, str]]:
    """Return the instructions, each with what follows it; lines that go on are put together."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    whole = "\n".join(lines).replace("\\\n", " ")
    pairs = [line.partition(" ") for line in whole.splitlines() if line.strip()]
    return [(name, rest.strip()) for name, _, rest in pairs]


def values_of(name: str) -> list[str]:
    return [rest for each, rest in instructions() if each == name]


def test_the_image_is_slim_and_nothing_but_making_the_user_is_done_as_root() -> None:
    (base,) = values_of("FROM")
    assert re.fullmatch(r"python:3\.\d+-slim", base)
    names = [name for name, _ in instructions()]
    (user,) = values_of("USER")
    assert user not in {"root", "0"}
    before = instructions()[: names.index("USER")]
    assert [name for name, _ in before] == ["FROM", "RUN"]
    assert re.search(rf"\buseradd\b.* {user} ", before[1][1])
    assert {rest.split()[0] for rest in values_of("COPY")} == {f"--chown={user}"}


def test_no_setting_is_in_the_image() -> None:
    assert not [rest for rest in values_of("ENV") if rest.startswith(("TAP_", "TARGET_"))]


@dataclass
class Container:
    """A folder in which the instructions are done that follow ``USER``."""

    folder: Path
    env: dict[str, str]
    command: list[str] = field(default_factory=list)
    volumes: list[Path] = field(default_factory=list)

    def build(self) -> None:
        """Do all instructions."""
        names = [name for name, _ in instructions()]
        for name, rest in instructions()[names.index("USER") + 1 :]:
            self._do(name, rest.replace(FOLDER, str(self.folder)))

    def _do(self, name: str, rest: str) -> None:
        variable, _, value = rest.partition("=")
        match name:
            case "WORKDIR":
                assert rest == str(self.folder)
            case "RUN":
                self.run(["sh", "-c", rest])
            case "ENV":
                self.env[variable] = Template(value).substitute(self.env)
            case "ARG":
                self.env.setdefault(variable, value)
            case "LABEL":
                assert Template(value).substitute(self.env)
            case "COPY":
                *sources, to = rest.split()[1:]
                copied: list[str | Path] = [ROOT / source for source in sources]
                subprocess.run(["cp", "-R", *copied, self.folder / to], check=True)
            case "VOLUME":
                self.volumes = [Path(each) for each in json.loads(rest)]
            case "CMD":
                self.command = json.loads(rest)
            case _:
                pytest.fail(f"this test does not know the instruction {name}")

    def run(self, command: list[str]) -> str:
        """Run a command to its good end, and return what it wrote."""
        result = subprocess.run(
            command,
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stdout
        return result.stdout


@pytest.mark.long
@pytest.mark.programs
@pytest.mark.timeout(1200)
def test_the_steps_lead_to_a_container_that_loads_and_goes_on_from_its_volume(
    tmp_path: Path, simulator: SimulatorProcess, postgres_port: int
) -> None:
    env = {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN_PREFIXES)}
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env["PATH"]])
    env["VERSION"] = "1.2.3"
    container = Container(tmp_path / "project", env)
    container.folder.mkdir()
    container.build()
    assert "1.2.3" in container.run(["meltano", "invoke", "tap-zoom-cc", "--version"])

    simulator.replace(SCENARIO)
    settings = {**settings_for(simulator), "requests_per_second": 100}
    of_target = loader_settings(postgres_port)
    env.update({f"TAP_ZOOM_CC_{name.upper()}": str(value) for name, value in settings.items()})
    env.update({f"TARGET_POSTGRES_{name.upper()}": str(value) for name, value in of_target.items()})
    container.run(container.command)
    with connect(postgres_port) as connection:
        for stream in STREAMS:
            query = f"select account_id, engagement_id from zoom_cc.{stream}"
            found = sorted(connection.execute(query).fetchall())
            assert found == sorted(by_key(stream, simulator.truth(stream)))

    # The next container has the volume of this one, and nothing else of it.
    (volume,) = container.volumes
    assert any(volume.rglob("*.json"))
    for database in (container.folder / ".meltano").glob("meltano.db*"):
        database.unlink()
    simulator.reset_stats()
    container.run(container.command)
    read_again = simulator.stats().rows["voice_calls"]
    assert sum(read_again.values()) < len(simulator.truth("voice_calls"))
