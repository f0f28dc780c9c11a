"""Starts the emulator of Snowflake, fakesnow 0.12.1, with what it lacks.

Started as `fakesnow` is, with its arguments. What is made up for:

- FLATTEN's INDEX counts through all rows instead of through each array.
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

import snowflake.connector.errors
from fakesnow import macros
from fakesnow.cli import main
from fakesnow.cursor import FakeSnowflakeCursor

FLATTEN = string.Template("""
create or replace macro ${catalog}._fs_flatten(input) as table
    select
        cast(hash(to_json(input)) as ubigint) as seq,
        item.k as key,
        coalesce(item.k, '[' || item.i || ']') as path,
        item.i as index,
        item.v as value,
        to_json(input) as this
    from (
        select unnest(
            case json_type(to_json(input))
                when 'OBJECT' then list_transform(
                    json_keys(to_json(input)),
                    lambda name: {
                        'k': name,
                        'i': cast(null as bigint),
                        'v': cast(to_json(input) -> name as json)
                    }
                )
                else list_transform(
                    cast(to_json(input) as json[]),
                    lambda element, position: {
                        'k': cast(null as varchar),
                        'i': cast(position - 1 as bigint),
                        'v': element
                    }
                )
            end,
            recursive := true
        )
    ) as item (k, i, v)
""")
STAGED = re.compile(r"'@~/target-snowflake/([\w-]+)'")
MERGED = re.compile(r"using \((select .*?)\) s on ", re.DOTALL)
COPIED = re.compile(r"copy into (\S+) (\(.*?\)) from \((.*)\)\s*$", re.DOTALL)

execute = FakeSnowflakeCursor.execute


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
    return COPIED.sub(r"insert into \1 \2 \3", command)


macros.FS_FLATTEN = FLATTEN
FakeSnowflakeCursor.execute = execute_all

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
