"""The container file's steps lead to a container that loads, and goes on from its volume.

No image is built, since a container engine is not everywhere: the instructions are read, and done
one after the other in a folder that stands for the one in the image.
"""

from __future__ import annotations

import json
import os
import re
import sys
from datetime import datetime, timezone
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

import pytest

from simulator.scenario import STREAMS, Account, Clock, Scenario
from tests.checkout import ROOT, run_program
from tests.harness.rows import by_key
from tests.harness.tap import settings_for
from tests.meltano_project import FOREIGN_PREFIXES
from tests.postgres_server import connect, loader_settings

if TYPE_CHECKING:
    from simulator.process import SimulatorProcess

FOLDER = "/project"
SCENARIO = Scenario(
    accounts=(Account(id="one", sms=20, voice_calls=60), Account(id="two", sms=10)),
    clock=Clock(now=datetime(2024, 2, 14, tzinfo=timezone.utc)),
)


def instructions() -> list[tuple[str, str]]:
    """Return the instructions, each with what follows it; lines that go on are put together."""
    text = (ROOT / "Containerfile").read_text("utf-8").replace("\\\n", " ")
    return re.findall(r"^(\w+) +(.*)$", text, re.MULTILINE)


def test_the_image_is_slim_without_settings_and_made_by_a_user_who_is_not_root() -> None:
    (_, base), (_, as_root), (_, user), *others = instructions()
    assert [name for name, _ in instructions()[:3]] == ["FROM", "RUN", "USER"]
    assert re.fullmatch(r"python:3\.\d+-slim", base)
    assert user not in {"root", "0"}
    assert re.search(rf"\buseradd\b.* {user} ", as_root)
    assert "USER" not in dict(others)
    assert {rest.split()[0] for name, rest in others if name == "COPY"} == {f"--chown={user}"}
    for name, rest in others:
        assert name != "ENV" or not rest.startswith(("TAP_", "TARGET_"))


def build(folder: Path, env: dict[str, str]) -> dict[str, list[str]]:
    """Do what follows ``USER``, in a folder and with variables; return what is for later."""
    later: dict[str, list[str]] = {}
    for name, text in instructions()[3:]:
        rest = text.replace(FOLDER, str(folder))
        variable, _, value = rest.partition("=")
        match name:
            case "WORKDIR":
                assert rest == str(folder)
            case "RUN":
                run_program("sh", "-c", rest, folder=folder, env=env)
            case "ENV":
                env[variable] = Template(value).substitute(env)
            case "ARG":
                env.setdefault(variable, value)
            case "LABEL":
                assert Template(value).substitute(env)
            case "COPY":
                *sources, to = rest.split()[1:]
                run_program("cp", "-R", *sources, folder / to, env=env)
            case "VOLUME" | "CMD":
                later[name] = json.loads(rest)
            case _:
                pytest.fail(f"this test does not know the instruction {name}")
    return later


@pytest.mark.long
@pytest.mark.programs
def test_the_steps_lead_to_a_container_that_loads_and_goes_on_from_its_volume(
    tmp_path: Path, simulator: SimulatorProcess, postgres_port: int
) -> None:
    env = {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN_PREFIXES)}
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env["PATH"]])
    env["VERSION"] = "1.2.3"
    container = build(tmp_path, env)
    version = ("meltano", "invoke", "tap-zoom-cc", "--version")
    assert "1.2.3" in run_program(*version, folder=tmp_path, env=env)

    simulator.replace(SCENARIO)
    settings = {**settings_for(simulator), "requests_per_second": 100}
    of_target = loader_settings(postgres_port)
    env.update({f"TAP_ZOOM_CC_{name.upper()}": str(value) for name, value in settings.items()})
    env.update({f"TARGET_POSTGRES_{name.upper()}": str(value) for name, value in of_target.items()})
    run_program(*container["CMD"], folder=tmp_path, env=env)
    with connect(postgres_port) as connection:
        for stream in STREAMS:
            query = f"select account_id, engagement_id from zoom_cc.{stream}"
            found = sorted(connection.execute(query).fetchall())
            assert found == sorted(by_key(stream, simulator.truth(stream)))

    # The next container has the volume of this one, and nothing else of it.
    (volume,) = map(Path, container["VOLUME"])
    assert any(volume.rglob("*.json"))
    for database in (tmp_path / ".meltano").glob("meltano.db*"):
        database.unlink()
    simulator.reset_stats()
    run_program(*container["CMD"], folder=tmp_path, env=env)
    read_again = simulator.stats().rows["voice_calls"]
    assert sum(read_again.values()) < len(simulator.truth("voice_calls"))
