"""What a sync does: windows are planned, fetched, checked and emitted."""
