"""Counts what was loaded for the picture of plot.py: by stream, queue and quarter of an hour.

Each target stores rows in its own way, so that each has a query of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timezone
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import psycopg

if TYPE_CHECKING:
    from datetime import datetime

NO_QUEUE = "no queue"

POSTGRES = ("postgresql://", "postgres://")
"""How the address of a database of PostgreSQL begins."""

JSONL_COLUMNS = (
    "{account_id: 'VARCHAR', engagement_id: 'VARCHAR', start_time: 'TIMESTAMP', queues: 'JSON'}"
)
DUCKDB_COUNTS = """
with engagements as (
    -- Where a target appends, an engagement may have several rows.
    select start_time, any_value(queues::json) as queues
    from {source}
    group by account_id, engagement_id, start_time
),
visits as (
    select
        time_bucket(interval 15 minutes, start_time) as quarter,
        unnest(
            case when json_array_length(queues) > 0
                then from_json(queues, '[{{"queue_name": "VARCHAR"}}]')
                else [{{'queue_name': '{no_queue}'}}]
            end
        ) as queue
    from engagements
)
select quarter, coalesce(queue.queue_name, 'unnamed queue'), count(*)
from visits
group by all
"""
POSTGRES_COUNTS = """
with visits as (
    select
        date_bin('15 minutes', start_time, timestamp '2000-01-01') as quarter,
        unnest(
            case when cardinality(queues) > 0
                then queues
                else array[jsonb_build_object('queue_name', '{no_queue}')]
            end
        ) as queue
    from {source}
)
select quarter, coalesce(queue ->> 'queue_name', 'unnamed queue'), count(*)
from visits
group by 1, 2
"""


class UnreadableError(Exception):
    """What was loaded cannot be read; the message says why."""


@dataclass(frozen=True)
class QuarterOfQueue:
    """How many engagements of a queue began in a quarter of an hour, whose begin is in UTC.

    Where a time zone's hours do not begin with those of UTC, they begin at a quarter of them.
    """

    begin: datetime
    queue: str
    engagements: int


def read(store: str, schema: str, stream: str) -> list[QuarterOfQueue]:
    """Return a stream's counts; none if it was not loaded.

    Args:
        store: a file of target-duckdb, a folder of target-jsonl, or the address of a database of
            target-postgres, as in ``postgresql://user@host/database``.
        schema: where the tables are in PostgreSQL.
        stream: the name of the stream.

    Raises:
        UnreadableError: when the store is not there, or cannot be read.
    """
    if store.startswith(POSTGRES):
        rows = _read_postgres(store, f'"{schema}"."{stream}"')
    elif not Path(store).exists():
        msg = f"There is no {store}: load something first."
        raise UnreadableError(msg)
    else:
        rows = _read_duckdb(Path(store), stream)
    return [
        QuarterOfQueue(begin.replace(tzinfo=timezone.utc), queue, count)
        for begin, queue, count in rows
    ]


def _read_postgres(address: str, table: str) -> list[tuple[datetime, str, int]]:
    try:
        with psycopg.connect(address) as connection:
            query = POSTGRES_COUNTS.format(source=table, no_queue=NO_QUEUE)
            return connection.execute(query.encode()).fetchall()
    except psycopg.errors.UndefinedTable:
        return []
    except psycopg.Error as error:
        # The address may hold a password, so that it is not shown.
        msg = f"PostgreSQL could not be read: {' '.join(str(error).split())}"
        raise UnreadableError(msg) from None


def _read_duckdb(store: Path, stream: str) -> list[tuple[datetime, str, int]]:
    if store.is_dir():
        path = store / f"{stream}.jsonl"
        if not path.exists():
            return []
        escaped = str(path).replace("'", "''")
        source = f"read_ndjson('{escaped}', columns = {JSONL_COLUMNS})"
        connection = duckdb.connect()
    else:
        source = stream
        connection = duckdb.connect(str(store), read_only=True)
    with connection:
        try:
            query = DUCKDB_COUNTS.format(source=source, no_queue=NO_QUEUE)
            return connection.execute(query).fetchall()
        except duckdb.CatalogException:
            return []
