"""What many tests need: one simulator for the whole session, and the settings that reach it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from simulator.process import SimulatorProcess
from simulator.scenario import Scenario
from tests.harness.tap import run_tap
from tests.meltano_project import MeltanoProject
from tests.postgres_server import postgres_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# A busy machine is slow: neither an example nor its making is judged by the time that it takes.
PATIENT = [hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.data_too_large]
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=PATIENT)
hypothesis.settings.load_profile("patient")


# Of the files that run other programs those that take longest, in the order in which they begin.
LONGEST = tuple(
    f"test_{name}.py"
    for name in ("warehouses", "models", "commands", "targets", "demo", "shards", "stream_maps")
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep a file that runs other programs in one process: its tests share what is set up.

    Such files come first, and of them the longest: at the end a worker would be alone with one.
    """
    items.sort(key=_turn)
    for item in items:
        if item.get_closest_marker("programs") and item.config.pluginmanager.hasplugin("xdist"):
            item.add_marker(pytest.mark.xdist_group(item.path.name))


def _turn(item: pytest.Item) -> int:
    if not item.get_closest_marker("programs"):
        return len(LONGEST) + 1
    return LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST)


@pytest.fixture(scope="session")
def simulator_process() -> Iterator[SimulatorProcess]:
    """Give a running simulator, whatever it serves at the moment."""
    with SimulatorProcess() as process:
        yield process


@pytest.fixture
def simulator(simulator_process: SimulatorProcess) -> SimulatorProcess:
    """Give the simulator, serving an empty account; tests replace the scenario."""
    simulator_process.replace(Scenario())
    return simulator_process


@pytest.fixture(scope="session")
def discovered() -> dict[str, Any]:
    """Give the catalog that ``--discover`` prints; copy it before changing it."""
    catalog: dict[str, Any] = json.loads(run_tap(None, arguments=["--discover"]).check().stdout)
    return catalog


@pytest.fixture
def project(tmp_path: Path, simulator: SimulatorProcess) -> MeltanoProject:
    """Give a Meltano project of its own, whose tap reads the simulator."""
    project = MeltanoProject(tmp_path / "project")
    project.read_from(simulator)
    return project


@pytest.fixture(scope="module")
def postgres_port() -> Iterator[int]:
    """Give the port of a PostgreSQL server that the tests of a file share."""
    with postgres_server() as port:
        yield port
