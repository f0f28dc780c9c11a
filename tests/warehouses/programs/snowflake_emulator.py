"""Starts the emulator of Snowflake, fakesnow 0.12.1, with what it lacks.

Started as `fakesnow` is, with its arguments. What is made up for:

- FLATTEN's INDEX counts through all rows instead of through each array.
- Of a part of a VARIANT that GET takes out, the text has JSON's quotes. ARRAY_SIZE is unsigned, so
  that nothing may be subtracted. IS_OBJECT is missing.
- DESCRIBE TABLE finds no columns of a table in another database than the session's.
- Primary keys are enforced.
- A timestamp that is null comes to the client as the first second of 1970.
- There are no temporary tables for other sessions of the same dbt run to look at.
- A failure of the emulator itself is answered with 500, after which the client tries again for
  minutes.
- The stage of a user (`@~`), a query on staged files, and REMOVE are missing. target-snowflake puts
  its files there, casts what it selects from them, and merges or copies that. Here the files go to
  a named stage and from there into a table, and the rest of the statement runs as it is written. So
  the loader's casts and its MERGE are tested; that Snowflake reads its files is not.
"""

from __future__ import annotations

import re
import string
import sys
from typing import Any

import pyarrow as pa
import snowflake.connector.errors
from fakesnow import arrow, macros
from fakesnow.cli import main
from fakesnow.cursor import FakeSnowflakeCursor
from fakesnow.transforms import transforms
from sqlglot import exp

# Of arrays; the models flatten nothing else.
FLATTEN = string.Template("""
create or replace macro ${catalog}._fs_flatten(input) as table
    select
        cast(hash(to_json(input)) as ubigint) as seq,
        cast(null as varchar) as key,
        '[' || item.i || ']' as path,
        item.i as index,
        item.v as value,
        to_json(input) as this
    from (
        select unnest(
            list_transform(
                cast(to_json(input) as json[]),
                lambda element, position: {'i': cast(position - 1 as bigint), 'v': element}
            ),
            recursive := true
        )
    ) as item (i, v)
""")
STAGED = re.compile(r"'@~/target-snowflake/([\w-]+)'")
MERGED = re.compile(r"using \((select .*?)\) s on ", re.DOTALL)
COPIED = re.compile(r"copy into (\S+) (\(.*?\)) from \((.*)\)\s*$", re.DOTALL)

execute = FakeSnowflakeCursor.execute
transform = FakeSnowflakeCursor._transform
timestamps_for_client = arrow.timestamp_to_sf_struct


def execute_all(self: FakeSnowflakeCursor, command: str, *arguments: Any, **options: Any) -> Any:
    """Run a statement, and fail as Snowflake does."""
    try:
        return execute(self, rewritten(self, command), *arguments, **options)
    except snowflake.connector.errors.Error:
        raise
    except Exception as error:
        raise snowflake.connector.errors.ProgrammingError(msg=f"{error}; in: {command}") from error


def rewritten(cursor: FakeSnowflakeCursor, command: str) -> str:
    """Return a statement that the emulator can run, after what has to run before it."""
    if re.match(r"remove |drop file format ", command, re.IGNORECASE):
        return "select 1"
    if staged := STAGED.search(command):
        return from_stage(cursor, command, staged)
    return re.sub("create or replace temporary table", "create or replace table", command)


def as_documented(node: exp.Expression) -> exp.Expression:
    """Return a part of a statement as one that means in DuckDB what the vendor documents."""
    to_text = isinstance(node, exp.Cast) and node.to.is_type(*exp.DataType.TEXT_TYPES)
    if to_text and isinstance(node.this, exp.GetExtract):
        return call("json_extract_string", node.this, exp.Literal.string("$"))
    if isinstance(node, exp.ArraySize):
        return exp.cast(node.copy(), "bigint")
    if isinstance(node, exp.Anonymous) and node.name.lower() == "is_object":
        return exp.EQ(this=call("json_type", *node.expressions), expression=exp.convert("OBJECT"))
    return node


def call(name: str, *arguments: exp.Expression) -> exp.Expression:
    return exp.Anonymous(this=name, expressions=[each.copy() for each in arguments])


def transform_all(self: FakeSnowflakeCursor, expression: exp.Expression, parameters: Any) -> Any:
    for node in reversed(list(expression.walk())):
        if isinstance(node, exp.PrimaryKey):
            node.pop()
            continue
        documented = as_documented(node)
        if documented is not node:
            node.replace(documented)
    return transform(self, expression, parameters)


def timestamps_with_nulls(timestamps: pa.ChunkedArray) -> pa.StructArray:
    """Return timestamps as the client wants them: null where they are null."""
    column = timestamps.combine_chunks()
    made = timestamps_for_client(column)
    parts = [part.fill_null(0) for part in made.flatten()]
    return pa.StructArray.from_arrays(parts, fields=list(made.type), mask=column.is_null())


def from_stage(cursor: FakeSnowflakeCursor, command: str, staged: re.Match[str]) -> str:
    """Return a statement of target-snowflake on staged files as one on a table of their lines."""

    def run(statement: str) -> None:
        execute(cursor, statement, server=True)

    schema = f"{cursor._conn.database}.STAGED"
    run(f"create schema if not exists {schema}")
    run(f"create stage if not exists {schema}.FILES")
    name = staged[1].replace("-", "_").upper()
    files = f"@{schema}.FILES/{name}"
    if command.startswith("put "):
        return command.replace(staged[0], files)
    run(f"create or replace table {schema}.{name} (LINE variant)")
    run(f"copy into {schema}.{name} from {files} file_format = (type = json)")
    command = command.replace(staged[0], f"{schema}.{name}")
    command = re.sub(r"\(file_format => [^)]*\)|file_format = \([^)]*\)", "", command)
    command = command.replace("$1:", "LINE:").replace("SEQ8()", "rowid")
    if merged := MERGED.search(command):
        run(f"create or replace table {schema}.{name}_CAST as {merged[1]}")
        return command.replace(f"({merged[1]})", f"{schema}.{name}_CAST")
    run(COPIED.sub(r"insert into \1 \2 \3", command))
    # What COPY INTO answers: file, status, rows parsed, rows loaded.
    return f"select '{name}', 'LOADED', count(*), count(*) from {schema}.{name}"


arrow.timestamp_to_sf_struct = timestamps_with_nulls
macros.FS_FLATTEN = FLATTEN
transforms.SQL_DESCRIBE_TABLE = string.Template(
    transforms.SQL_DESCRIBE_TABLE.template.replace("FROM _fs", "FROM _fs_global._fs")
)
FakeSnowflakeCursor.execute = execute_all
FakeSnowflakeCursor._transform = transform_all

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
