"""What the command does besides a sync: `check` (also ``--test``), `reconcile`, and `observe`."""
