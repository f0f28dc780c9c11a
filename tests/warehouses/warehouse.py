"""Four databases in the same words: what loads into each, and how dbt gets there."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from tests.harness.pages import block
from tests.meltano_project import ROOT
from tests.postgres_server import loader_settings
from tests.warehouses.environments import PROGRAMS, environment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    Settings = dict[str, Any]

LOAD_SECONDS = 240


@dataclass(frozen=True)
class Warehouse:
    """A database that is loaded into, and in which dbt builds.

    Attributes:
        folder: for files of this warehouse alone.
        loader: the environment of the loader, and the command in it.
        settings: of the loader, all but the schema.
        schema: the name of the loader's setting for the schema.
        connection: as in dbt's profiles.yml, all but the schema.
        appending: the loader's settings with which rows that came before come again, instead of
            being replaced; where there are none, tests/test_models.py has that.
        environment: variables for the loader.
        dbt: the environment of dbt.
        variables: what a project has to say of the raw tables beside their schema.
    """

    folder: Path
    loader: tuple[str, tuple[str, ...]]
    settings: Settings
    connection: Settings
    schema: str = "default_target_schema"
    appending: Settings = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    dbt: str = "dbt"
    variables: Mapping[str, str] = field(default_factory=dict)

    def load(self, messages: Path, schema: str, *, append: bool = False) -> str:
        """Load a file of Singer messages with the loader of the documentation, and its settings.

        Args:
            messages: what the tap wrote.
            schema: of the raw tables.
            append: whether a row that came before comes again, instead of being replaced.

        Returns:
            What the loader wrote on standard output: the state, when all is loaded.
        """
        assert self.appending or not append
        more = self.appending if append else {}
        config = self.folder / "loader.json"
        config.write_text(json.dumps({**self.settings, self.schema: schema, **more}), "utf-8")
        programs, (command, *arguments) = environment(self.loader[0]), self.loader[1]
        with messages.open("rb") as lines:
            ended = subprocess.run(
                [programs / command, *arguments, "--config", config],
                cwd=self.folder,
                env={**os.environ, **self.environment},
                stdin=lines,
                capture_output=True,
                text=True,
                timeout=LOAD_SECONDS,
                check=False,
            )
        (self.folder / "loader.log").write_text(ended.stderr, "utf-8")
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def output(self, schema: str) -> Settings:
        """Return the connection, as in dbt's profiles.yml; models go to the schema."""
        name = "dataset" if self.connection["type"] == "bigquery" else "schema"
        return {**self.connection, name: schema, "threads": 1}


def duckdb(folder: Path, dbt: str = "dbt") -> Warehouse:
    """Return a file for rows and models, loaded by target-duckdb with its own duckdb 1.2.2."""
    path = str(folder / "raw.duckdb")
    settings = published("target-duckdb") | {"path": path}
    loader = ("other_loaders", ("target-duckdb",))
    return Warehouse(folder, loader, settings, {"type": "duckdb", "path": path}, dbt=dbt)


def postgres(folder: Path, port: int) -> Warehouse:
    """Return the database of a server of the tests' own."""
    where = loader_settings(port)
    connection = {"type": "postgres", **where, "dbname": where["database"]}
    del connection["database"]
    return Warehouse(
        folder,
        ("other_loaders", ("target-postgres",)),
        published("target-postgres") | where,
        connection,
        environment={"PGTZ": "UTC"},
    )


def snowflake(folder: Path, port: int) -> Warehouse:
    """Return the emulator of Snowflake; raw tables and models are in databases of their own."""
    user = {"account": "emulator", "user": "test", "password": "not asked for"}
    server = {"host": "127.0.0.1", "port": port, "protocol": "http"}
    return Warehouse(
        folder,
        ("snowflake_loader", ("python", str(PROGRAMS / "snowflake_loader.py"))),
        documented("Snowflake") | user | {"database": "RAW"},
        {"type": "snowflake", **user, **server, "database": "ANALYTICS"},
        appending={"load_method": "append-only"},
        environment={"SNOWFLAKE_EMULATOR_PORT": str(port)},
        variables={"zoom_cc_database": "RAW"},
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
        ("bigquery_loader", ("python", str(PROGRAMS / "bigquery_loader.py"))),
        documented("BigQuery") | {"project": "project"},
        {**way, "project": "project", "api_endpoint": url},
        schema="dataset",
        appending={"upsert": False},
        environment={
            "BIGQUERY_EMULATOR_HOST": url,
            "GOOGLE_APPLICATION_CREDENTIALS": str(credentials),
        },
    )


def published(loader: str) -> Settings:
    """Return the settings that meltano.yml gives a loader."""
    plugins = yaml.safe_load((ROOT / "meltano.yml").read_text("utf-8"))["plugins"]
    (found,) = (each for each in plugins["loaders"] if each["name"] == loader)
    return _values(found)


def documented(name: str) -> Settings:
    """Return the settings that a block of docs/targets.md gives a loader."""
    (found,) = yaml.safe_load(block(name).text)
    return _values(found)


def _values(loader: dict[str, Any]) -> Settings:
    settings = loader["settings"]
    return {each["name"]: each["value"] for each in settings if "value" in each}
