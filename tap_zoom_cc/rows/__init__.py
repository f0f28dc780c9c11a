"""How a row of Zoom becomes a record: its key, its types, and the column for what has no place."""
