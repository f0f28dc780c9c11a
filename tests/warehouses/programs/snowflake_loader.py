"""Runs target-snowflake against the emulator: it has no setting for another host than Snowflake's.

It loads one stream after another: side by side the emulator's MERGEs get into each other's way.
Started as `target-snowflake` is; SNOWFLAKE_EMULATOR_PORT says where the emulator listens.
"""

from __future__ import annotations

import os
from typing import Any

from snowflake.connector.connection import SnowflakeConnection
from target_snowflake.target import TargetSnowflake

connect = SnowflakeConnection.connect


def connect_to_emulator(self: SnowflakeConnection, **options: Any) -> None:
    """Connect to the emulator, whatever account is asked for."""
    port = int(os.environ["SNOWFLAKE_EMULATOR_PORT"])
    connect(self, **{**options, "host": "127.0.0.1", "port": port, "protocol": "http"})


SnowflakeConnection.connect = connect_to_emulator
TargetSnowflake.max_parallelism = 1

if __name__ == "__main__":
    TargetSnowflake.cli()
