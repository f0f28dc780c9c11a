"""What many tests need: one simulator for the whole session, and the settings that reach it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from typing_extensions import override
from xdist.scheduler import LoadScopeScheduling

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
# Of these, all tests of a file are for one process, since they share what takes long to set up.
SET_UP_ONCE = ("tests/test_demo.py", "tests/test_packaging.py")
# What hangs is ended then. Ten programs in a row need minutes on a machine that does much else.
SECONDS_FOR_PROGRAMS = 1800


class TogetherScheduling(LoadScopeScheduling):  # type: ignore[misc]  # It has no types.
    """Gives a process a file that is set up once; with pytest 9.2 no mark of xdist's does so."""

    @override
    def _split_scope(self, nodeid: str) -> str:
        file, _, _ = nodeid.partition("::")
        return file if file in SET_UP_ONCE else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> TogetherScheduling:
    """Spread the tests over the processes."""
    return TogetherScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the longest files begin: at the end a process would be alone with one."""
    items.sort(key=_turn)
    for item in items:
        if item.get_closest_marker("programs"):
            item.add_marker(pytest.mark.timeout(SECONDS_FOR_PROGRAMS))


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
