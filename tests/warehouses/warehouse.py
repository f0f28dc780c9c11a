"""Four databases in the same words: what loads into each, and a dbt project that builds there.

The project is that of somebody who has the models as a package, and a profile of their own.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import yaml

from tests.checkout import ROOT, copy_checkout, run_program
from tests.harness.pages import block
from tests.harness.rows import KEYS
from tests.model_truth import described_columns
from tests.postgres_server import loader_settings
from tests.warehouses import rows
from tests.warehouses.environments import PROGRAMS, environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from tests.harness.singer import Message
    from tests.warehouses.rows import Row, Rows

Settings: TypeAlias = "dict[str, Any]"


@dataclass(frozen=True)
class Warehouse:
    """A database that is loaded into, and in which dbt builds.

    Attributes:
        folder: for files of this warehouse alone.
        loader: its environment, and the command in it.
        settings: of the loader, all but the schema.
        connection: as in dbt's profiles.yml, all but the schema.
        raw, database: the schema of the raw tables, and its database if that is another.
        environment: variables for the loader.
        given: what a row has to be for the loader to take it.
        kept: what the store makes of a row, by the schema of its stream.
    """

    folder: Path
    loader: tuple[str | Path, ...]
    settings: Settings
    connection: Settings
    raw: str = "zoom_cc"
    database: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    given: Callable[[Row], Row] = dict
    kept: Callable[[Row, Mapping[str, Any]], Row] = lambda row, _: row

    @property
    def schema(self) -> str:
        """What dbt calls a schema."""
        return "dataset" if self.connection["type"] == "bigquery" else "schema"

    def load(self, messages: Iterable[Message], *, append: bool = False) -> str:
        """Load what the tap wrote with the loader of the documentation, and return the states.

        Without a key a loader has nothing to replace a row by, and appends.
        """
        changed = (
            message
            | ({"record": self.given(message["record"])} if "record" in message else {})
            | ({"key_properties": []} if append and "key_properties" in message else {})
            for message in messages
        )
        name = "dataset" if self.schema == "dataset" else "default_target_schema"
        config = self.folder / "loader.json"
        config.write_text(json.dumps({**self.settings, name: self.raw}), "utf-8")
        programs, command, *arguments = self.loader
        return run_program(
            *(environment(str(programs)) / command, *arguments, "--config", config),
            folder=self.folder,
            env={**os.environ, **self.environment},
            stdin="".join(json.dumps(message) + "\n" for message in changed),
        )

    def kept_rows(self, given: Mapping[str, Rows]) -> dict[str, Rows]:
        """Return rows, by stream, as the store keeps them."""
        schemas = {stream: {"properties": properties(stream)} for stream in given}
        return {
            stream: [self.kept(self.given(row), schemas[stream]) for row in listed]
            for stream, listed in given.items()
        }

    def rows(self, tables: Mapping[str, str], *statements: str) -> dict[str, Rows]:
        """Return the rows of tables, by the names that are given to these, after statements."""
        asked = {"output": self.connection, "statements": statements, "tables": dict(tables)}
        python = environment("dbt") / "python"
        answer = run_program(python, PROGRAMS / "read_rows.py", stdin=json.dumps(asked))
        found: dict[str, Rows] = json.loads(answer)
        return found

    def raw_rows(self) -> dict[str, Rows]:
        """Return the rows of the raw tables, by stream."""
        place = f"{self.database}.{self.raw}" if self.database else self.raw
        return self.rows({stream: f"{place}.{stream}" for stream in KEYS})


def duckdb(folder: Path) -> Warehouse:
    """Return a file that target-duckdb loads with its own duckdb 1.2.2, and dbt with the newest."""
    path = str(folder / "raw.duckdb")
    return Warehouse(
        folder,
        ("other_loaders", "target-duckdb"),
        settings_of("target-duckdb") | {"path": path, "primary_key_required": False},
        {"type": "duckdb", "path": path},
        raw="main",
        kept=lambda row, _: rows.without_empty_texts(row),
    )


def postgres(folder: Path, port: int) -> Warehouse:
    """Return the database of a server of the tests' own."""
    where = loader_settings(port)
    connection = {"type": "postgres", **where, "dbname": where["database"]}
    del connection["database"]
    return Warehouse(
        folder,
        ("other_loaders", "target-postgres"),
        settings_of("target-postgres") | where,
        connection,
        environment={"PGTZ": "UTC"},
        kept=lambda row, _: rows.without_nul(row),
    )


def snowflake(folder: Path, port: int) -> Warehouse:
    """Return the emulator of Snowflake; raw tables and models are in databases of their own."""
    user = {"account": "emulator", "user": "test", "password": "not asked for"}
    server = {"host": "127.0.0.1", "port": port, "protocol": "http"}
    return Warehouse(
        folder,
        ("snowflake_loader", "python", PROGRAMS / "snowflake_loader.py"),
        settings_of("target-snowflake") | user | {"database": "RAW"},
        {"type": "snowflake", **user, **server, "database": "ANALYTICS"},
        database="RAW",
        environment={"SNOWFLAKE_EMULATOR_PORT": str(port)},
    )


def bigquery(folder: Path, port: int) -> Warehouse:
    """Return the emulator of BigQuery; raw tables and models are in one project."""
    url = f"http://127.0.0.1:{port}"
    # A token that has not expired needs no server that renews it.
    credentials = folder / "credentials.json"
    names = ("client_id", "client_secret", "refresh_token", "token")
    token = {"type": "authorized_user", "expiry": "2999-01-01T00:00:00Z"}
    credentials.write_text(json.dumps(token | dict.fromkeys(names, "any")), "utf-8")
    way = {"type": "bigquery", "method": "oauth-secrets", "token": "any", "location": "US"}
    return Warehouse(
        folder,
        ("bigquery_loader", "python", PROGRAMS / "bigquery_loader.py"),
        settings_of("target-bigquery") | {"project": "project"},
        {**way, "project": "project", "api_endpoint": url},
        environment={
            "BIGQUERY_EMULATOR_HOST": url,
            "GOOGLE_APPLICATION_CREDENTIALS": str(credentials),
        },
        given=rows.without_null_elements,
        kept=rows.with_empty_arrays,
    )


def settings_of(loader: str) -> Settings:
    """Return the settings that meltano.yml or docs/targets.md gives a loader."""
    loaders = yaml.safe_load((ROOT / "meltano.yml").read_text("utf-8"))["plugins"]["loaders"]
    for name in ("Snowflake", "BigQuery"):
        loaders += yaml.safe_load(block(name).text)
    (found,) = (each for each in loaders if each["name"] == loader)
    return {each["name"]: each["value"] for each in found["settings"] if "value" in each}


def properties(stream: str) -> Settings:
    """Return the fields of a stream's schema."""
    schema = json.loads((ROOT / "schemas" / f"{stream}.json").read_text("utf-8"))
    fields: Settings = schema["properties"]
    return fields


def install_package(folder: Path) -> Path:
    """Make a project with the models as docs/models.md says, and return its folder."""
    repository = copy_checkout(folder / "repository")
    git = ["git", "-C", str(repository), "-c", "user.name=test", "-c", "user.email=a@example.com"]
    for arguments in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "All"]):
        run_program(*git, *arguments)
    (package,) = yaml.safe_load(block("packages").text)["packages"]
    package["git"] = f"file://{repository}"
    project = folder / "project"
    project.mkdir()
    flags = {"send_anonymous_usage_stats": False}
    write(project / "packages.yml", {"packages": [package]})
    write(project / "dbt_project.yml", {"name": "own", "profile": "own", "flags": flags})
    run_program(environment("dbt") / "dbt", "deps", folder=project)
    return project


class DbtProject:
    """A project on one warehouse."""

    def __init__(self, installed: Path, warehouse: Warehouse, schema: str) -> None:
        """Copy a project that has the package, for a profile with a schema."""
        self._folder = warehouse.folder / "project"
        self._warehouse = warehouse
        self.models = f"{schema}_contact_center"
        shutil.copytree(installed, self._folder)
        output = {**warehouse.connection, warehouse.schema: schema, "threads": 1}
        profile = {"target": "here", "outputs": {"here": output}}
        write(self._folder / "profiles.yml", {"own": profile})

    def define(self, definition: Settings) -> None:
        """Add to what dbt_project.yml says."""
        path = self._folder / "dbt_project.yml"
        write(path, yaml.safe_load(path.read_text("utf-8")) | definition)

    def dbt(self, *arguments: str, exit_code: int = 0, **variables: str) -> str:
        """Run dbt with the variables of docs/models.md, and return what it wrote."""
        database = self._warehouse.database
        given = variables | ({"zoom_cc_database": database} if database else {})
        program = environment("dbt") / "dbt"
        command = ("--no-use-colors", *arguments, "--vars", json.dumps(given))
        return run_program(program, *command, folder=self._folder, exit_code=exit_code)

    def freshness(self) -> dict[str, str]:
        """Return what dbt says of the age of each raw table, by its name; one is too old."""
        asked = ("source", "freshness", "--select", "source:zoom_cc")
        told = self.dbt(*asked, exit_code=1)
        found = re.findall(r"\d of 3 (PASS|WARN|ERROR STALE) freshness of zoom_cc\.(\w+)", told)
        return {table: state for state, table in found}

    def rows(self, queries: Iterable[str]) -> dict[str, Rows]:
        """Return the rows of each model and of each query of docs/models.md."""
        tables = {model: f"{self.models}.{model}" for model in described_columns()}
        for query in queries:
            here = query.replace("contact_center.", f"{self.models}.")
            tables[query] = f"({here}) as answer"
        return self._warehouse.rows(tables)


def write(path: Path, content: Settings) -> None:
    path.write_text(yaml.safe_dump(content), "utf-8")
