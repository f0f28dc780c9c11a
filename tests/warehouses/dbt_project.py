"""A dbt project of somebody who has the models as a package, and a profile of their own."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import yaml

from tests.checkout import copy_checkout
from tests.harness.pages import block
from tests.warehouses.environments import PROGRAMS, environment

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.warehouses.rows import Rows
    from tests.warehouses.warehouse import Warehouse

BUILD_SECONDS = 240


def install_package(folder: Path) -> Path:
    """Make a project with the models as docs/models.md says, and return its folder."""
    repository = copy_checkout(folder / "repository")
    git = ["git", "-C", str(repository), "-c", "user.name=test", "-c", "user.email=a@example.com"]
    for arguments in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "All"]):
        subprocess.run([*git, *arguments], check=True)
    (package,) = yaml.safe_load(block("packages").text)["packages"]
    package["git"] = f"file://{repository}"
    project = folder / "project"
    project.mkdir()
    _write(project / "packages.yml", {"packages": [package]})
    definition = {"name": "own", "profile": "own"}
    _write(
        project / "dbt_project.yml", {**definition, "flags": {"send_anonymous_usage_stats": False}}
    )
    _write(project / "profiles.yml", _profile({"type": "duckdb"}))
    _dbt("dbt", project, "deps")
    return project


class DbtProject:
    """A project on one warehouse."""

    def __init__(self, installed: Path, folder: Path, warehouse: Warehouse, schema: str) -> None:
        """Make the project.

        Args:
            installed: a project that has the package, to copy.
            folder: of this one.
            warehouse: where the models are built.
            schema: of the profile.
        """
        shutil.copytree(installed, folder)
        self._folder = folder
        self._warehouse = warehouse
        self._output = warehouse.output(schema)
        self._models = f"{schema}_contact_center"
        _write(folder / "profiles.yml", _profile(self._output))

    def define(self, definition: dict[str, Any]) -> None:
        """Add to what dbt_project.yml says."""
        path = self._folder / "dbt_project.yml"
        _write(path, yaml.safe_load(path.read_text("utf-8")) | definition)

    def build(self, **variables: str) -> None:
        """Build and test all models; the variables are those of docs/models.md."""
        given = json.dumps({**self._warehouse.variables, **variables})
        _dbt(self._warehouse.dbt, self._folder, "build", "--vars", given)

    def freshness(self) -> dict[str, str]:
        """Return what dbt says of the age of each raw table, by its name."""
        asked = ("source", "freshness", "--select", "source:zoom_cc")
        told = _dbt(self._warehouse.dbt, self._folder, *asked, may_fail=True)
        found = re.findall(r"\d of 3 (PASS|WARN|ERROR STALE) freshness of zoom_cc\.(\w+)", told)
        return {table: state for state, table in found}

    def rows(self, queries: Iterable[str]) -> dict[str, Rows]:
        """Return the rows of each model by its name, and those of each query by the query.

        Args:
            queries: on models in the schema of docs/models.md.
        """
        manifest = json.loads((self._folder / "target" / "manifest.json").read_text("utf-8"))
        models = {
            node["name"]: node["relation_name"]
            for node in manifest["nodes"].values()
            if node["resource_type"] == "model"
        }
        answers = {
            query: f"({query.replace('contact_center.', f'{self._models}.')}) as answer"
            for query in queries
        }
        return read_rows(self._warehouse.dbt, self._output, models | answers)


def read_rows(dbt: str, output: dict[str, Any], tables: dict[str, str]) -> dict[str, Rows]:
    """Return the rows of tables, by the names that are given to these.

    Args:
        dbt: the environment with the clients.
        output: the connection.
        tables: what to select from, by the names to return.
    """
    ended = subprocess.run(
        [environment(dbt) / "python", PROGRAMS / "read_rows.py"],
        input=json.dumps({"output": output, "tables": tables}),
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Rows] = json.loads(ended.stdout)
    return found


def _profile(output: dict[str, Any]) -> dict[str, Any]:
    return {"own": {"target": "here", "outputs": {"here": output}}}


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(content), "utf-8")


def _dbt(name: str, folder: Path, *arguments: str, may_fail: bool = False) -> str:
    ended = subprocess.run(
        [environment(name) / "dbt", "--no-use-colors", *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    assert may_fail or ended.returncode == 0, ended.stdout
    return ended.stdout
