"""Warehouses for tests: DuckDB, PostgreSQL, and emulators of Snowflake and of BigQuery.

`environments` installs what each needs, by the pins in `pins/`. `programs/` are scripts that run in
these environments. A script that starts an emulator names what the emulator lacks, or does
otherwise than the vendor documents, and makes up for it: neither the loaders nor dbt nor the models
know that they talk to an emulator.

`messages` is what the tap gives a loader, `warehouse` loads it and says how dbt gets there,
`dbt_project` is a project of somebody who uses the models, and `rows` compares what was built.
"""
