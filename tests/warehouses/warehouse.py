"""Four databases in the same words: what loads into each, and how dbt gets there."""

from __future__ import annotations

import json
import os
import subprocess
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import yaml
from typing_extensions import override

from tests.harness.pages import block
from tests.meltano_project import ROOT
from tests.postgres_server import loader_settings
from tests.warehouses.environments import PROGRAMS, environment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LOAD_SECONDS = 240


@dataclass(frozen=True)
class Warehouse(ABC):
    """A database that is loaded into, and in which dbt builds.

    Attributes:
        folder: for files of this warehouse alone.
        dbt: the environment of dbt.
        variables: what a project has to say of the raw tables beside their schema.
    """

    folder: Path
    dbt: str = "dbt"
    variables: ClassVar[Mapping[str, str]] = {}

    @abstractmethod
    def load(self, messages: Path, schema: str, *, append: bool = False) -> str:
        """Load a file of Singer messages with the loader of the documentation, and its settings.

        Args:
            messages: what the tap wrote.
            schema: of the raw tables.
            append: whether a row that came before comes again, instead of being replaced.

        Returns:
            What the loader wrote on standard output: the state, when all is loaded.
        """

    @abstractmethod
    def output(self, schema: str) -> dict[str, Any]:
        """Return the connection, as in dbt's profiles.yml; models go to the schema."""

    def _run(
        self,
        command: list[str | Path],
        settings: dict[str, object],
        messages: Path,
        variables: Mapping[str, str] | None = None,
    ) -> str:
        config = self.folder / "loader.json"
        config.write_text(json.dumps(settings), "utf-8")
        with messages.open("rb") as lines:
            ended = subprocess.run(
                [*command, "--config", config],
                cwd=self.folder,
                env={**os.environ, **(variables or {})},
                stdin=lines,
                capture_output=True,
                text=True,
                timeout=LOAD_SECONDS,
                check=False,
            )
        (self.folder / "loader.log").write_text(ended.stderr, "utf-8")
        assert ended.returncode == 0, ended.stderr
        return ended.stdout


@dataclass(frozen=True)
class DuckDB(Warehouse):
    """DuckDB in the version that dbt's environment has."""

    @override
    def load(self, messages: Path, schema: str, *, append: bool = False) -> str:
        """Load with target-duckdb, which knows no other duckdb than 1.2.2."""
        assert not append, "tests/test_models.py has that"
        settings = published("target-duckdb") | {
            "path": str(self.folder / "raw.duckdb"),
            "default_target_schema": schema,
        }
        return self._run([environment("other_loaders") / "target-duckdb"], settings, messages)

    @override
    def output(self, schema: str) -> dict[str, Any]:
        """Return the one file for rows and models."""
        path = str(self.folder / "raw.duckdb")
        return {"type": "duckdb", "path": path, "schema": schema, "threads": 1}


@dataclass(frozen=True)
class Postgres(Warehouse):
    """A server of the tests' own."""

    port: int = 0

    @override
    def load(self, messages: Path, schema: str, *, append: bool = False) -> str:
        """Load with target-postgres."""
        assert not append, "tests/test_models.py has that"
        settings = published("target-postgres") | loader_settings(self.port)
        settings["default_target_schema"] = schema
        command: list[str | Path] = [environment("other_loaders") / "target-postgres"]
        return self._run(command, settings, messages, {"PGTZ": "UTC"})

    @override
    def output(self, schema: str) -> dict[str, Any]:
        """Return the database of the raw tables."""
        where = loader_settings(self.port)
        database = {"dbname": where.pop("database")}
        return {"type": "postgres", **where, **database, "schema": schema, "threads": 1}


@dataclass(frozen=True)
class Snowflake(Warehouse):
    """The emulator of Snowflake; raw tables and models are in databases of their own."""

    port: int = 0

    variables: ClassVar[Mapping[str, str]] = {"zoom_cc_database": "RAW"}

    @override
    def load(self, messages: Path, schema: str, *, append: bool = False) -> str:
        """Load with target-snowflake."""
        settings = documented("Snowflake") | {
            "account": "emulator",
            "user": "test",
            "password": "not asked for",
            "database": "RAW",
            "default_target_schema": schema,
        }
        if append:
            settings["load_method"] = "append-only"
        python = environment("snowflake_loader") / "python"
        variables = {"SNOWFLAKE_EMULATOR_PORT": str(self.port)}
        return self._run([python, PROGRAMS / "snowflake_loader.py"], settings, messages, variables)

    @override
    def output(self, schema: str) -> dict[str, Any]:
        """Return the database of the models."""
        return {
            "type": "snowflake",
            "account": "emulator",
            "host": "127.0.0.1",
            "port": self.port,
            "protocol": "http",
            "user": "test",
            "password": "not asked for",
            "database": "ANALYTICS",
            "schema": schema,
            "threads": 1,
        }


@dataclass(frozen=True)
class BigQuery(Warehouse):
    """The emulator of BigQuery."""

    port: int = 0

    @property
    def url(self) -> str:
        """The address in place of Google's."""
        return f"http://127.0.0.1:{self.port}"

    @override
    def load(self, messages: Path, schema: str, *, append: bool = False) -> str:
        """Load with target-bigquery."""
        settings = documented("BigQuery") | {"project": "project", "dataset": schema}
        if append:
            settings["upsert"] = False
        # A token that has not expired needs no server that renews it.
        credentials = self.folder / "credentials.json"
        names = ("client_id", "client_secret", "refresh_token", "token")
        token = {"type": "authorized_user", "expiry": "2999-01-01T00:00:00Z"}
        credentials.write_text(json.dumps(token | dict.fromkeys(names, "any")), "utf-8")
        python = environment("bigquery_loader") / "python"
        variables = {
            "BIGQUERY_EMULATOR_HOST": self.url,
            "GOOGLE_APPLICATION_CREDENTIALS": str(credentials),
        }
        return self._run([python, PROGRAMS / "bigquery_loader.py"], settings, messages, variables)

    @override
    def output(self, schema: str) -> dict[str, Any]:
        """Return the project of the raw tables."""
        return {
            "type": "bigquery",
            "method": "oauth-secrets",
            "token": "any",
            "project": "project",
            "location": "US",
            "api_endpoint": self.url,
            "dataset": schema,
            "threads": 1,
        }


def published(loader: str) -> dict[str, object]:
    """Return the settings that meltano.yml gives a loader."""
    plugins = yaml.safe_load((ROOT / "meltano.yml").read_text("utf-8"))["plugins"]
    (found,) = (each for each in plugins["loaders"] if each["name"] == loader)
    return _values(found)


def documented(name: str) -> dict[str, object]:
    """Return the settings that a block of docs/targets.md gives a loader."""
    (found,) = yaml.safe_load(block(name).text)
    return _values(found)


def _values(loader: dict[str, Any]) -> dict[str, object]:
    settings = loader["settings"]
    return {each["name"]: each["value"] for each in settings if "value" in each}
