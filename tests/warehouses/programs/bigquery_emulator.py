"""Starts the emulator of BigQuery, bqemulator 1.4.0, with what it lacks.

Started as `bqemulator` is, with its arguments. What is made up for:

- It wants DuckDB's extension for geography, which would have to be downloaded from elsewhere.
- A load job takes no file that is zipped, as target-bigquery's are.
- A load job keeps null where the schema says an array, and takes null inside of one. BigQuery
  stores an empty array, and refuses the file ("Only optional fields can be set to NULL").
- `MERGE … UPDATE SET target.column = …` fails: DuckDB wants the column without its table.
- `select *` in a subquery loses columns that are arrays, which the emulator's own list of columns
  lacks. It needs the list only for the type that some aggregates of decimals return.
"""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import sqlglot
from bqemulator.cli import main
from bqemulator.jobs import executor
from bqemulator.sql.translator import SQLTranslator
from bqemulator.storage.engine import DuckDBEngine

load_file = executor._load_path_into_target
translate = SQLTranslator.translate


def load_as_bigquery_does(path: str, job: Any, ctx: Any) -> None:
    """Load a file of JSON lines as BigQuery stores it."""
    content = Path(path).read_bytes()
    if content.startswith(b"\x1f\x8b"):
        content = gzip.decompress(content)
    fields = job.raw_config["schema"]["fields"]
    lines = [json.dumps(stored(json.loads(line), fields)) for line in content.splitlines()]
    Path(path).write_text("\n".join(lines), "utf-8")
    load_file(path, job, ctx)


def stored(record: dict[str, Any], fields: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a record as BigQuery stores it.

    Raises:
        ValueError: if it has an array with a null inside.
    """
    kept = dict(record)
    for field in fields:
        name = field["name"]
        value = record.get(name)
        repeated = field.get("mode") == "REPEATED"
        if repeated and None in (value or ()):
            raise ValueError(f"Only optional fields can be set to NULL. Field: {name}")
        if repeated:
            kept[name] = value or []
        if value and field["type"] == "RECORD":
            parts = [stored(part, field["fields"]) for part in (value if repeated else [value])]
            kept[name] = parts if repeated else parts[0]
    return kept


def translate_all(self: SQLTranslator, sql: str, **options: Any) -> Any:
    """Translate a statement of BigQuery to one of DuckDB."""
    if re.match(r"\s*merge\b", sql, re.IGNORECASE):
        tree = sqlglot.parse_one(sql, read="bigquery")
        for update in tree.find_all(sqlglot.exp.Update):
            for assignment in update.expressions:
                assignment.this.set("table", None)
        sql = tree.sql("bigquery")
    return translate(self, sql, **{**options, "schema": None})


DuckDBEngine._load_spatial = lambda _: None
DuckDBEngine._load_format_extensions = lambda _: None
executor._load_path_into_target = load_as_bigquery_does
SQLTranslator.translate = translate_all

if __name__ == "__main__":
    main()
