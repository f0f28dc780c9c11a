"""Warehouses for tests: DuckDB, PostgreSQL, and emulators of Snowflake and of BigQuery.

`environments` installs what each needs, by the pins in `pins/`. `programs/` are scripts that run in
these environments. A script that starts an emulator names what the emulator lacks, or does
otherwise than the vendor documents, and makes up for it: neither the loaders nor dbt nor the models
know that they talk to an emulator. `rows` compares what was loaded or built.
"""
