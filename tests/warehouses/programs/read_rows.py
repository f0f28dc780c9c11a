"""Reads tables with the client of each vendor, and prints their rows as JSON.

Run with the environment of dbt, which has all clients: `read_rows.py < question.json`. The question
has `output`, a connection as in dbt's profiles.yml, `statements` to run before, and `tables`, what
to select from by the names to answer with. The answer has a list of rows by name, each an object by
column in lower case, as the client gives it: instants as ISO 8601, decimals as numbers.
"""

from __future__ import annotations

import json
import sys
from datetime import date, datetime
from decimal import Decimal
from typing import Any


def connection(output: dict[str, Any]) -> Any:
    """Return a connection of Python's DB-API."""
    kind = output.pop("type")
    if kind == "duckdb":
        import duckdb

        return duckdb.connect(output["path"])
    if kind == "postgres":
        import psycopg2

        connected = psycopg2.connect(**output)
        connected.autocommit = True
        return connected
    if kind == "snowflake":
        import snowflake.connector

        return snowflake.connector.connect(**output)
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import bigquery
    from google.cloud.bigquery import dbapi

    client = bigquery.Client(
        project=output["project"],
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": output["api_endpoint"]},
    )
    return dbapi.connect(client=client, prefer_bqstorage_client=False)


def plain(value: object) -> object:
    """Return a value that JSON does not have as one that it has."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, date | datetime):
        return value.isoformat()
    raise TypeError(f"no way to compare a {type(value).__name__}: {value!r}")


def rows(cursor: Any, table: str) -> list[dict[str, Any]]:
    cursor.execute(f"select * from {table}")
    names = [column[0].lower() for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


if __name__ == "__main__":
    question = json.load(sys.stdin)
    cursor = connection(question["output"]).cursor()
    for statement in question["statements"]:
        cursor.execute(statement)
    answer = {name: rows(cursor, table) for name, table in question["tables"].items()}
    json.dump(answer, sys.stdout, default=plain)
