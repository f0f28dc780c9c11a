"""The simulator's own tests. Those in the folder above are the tap's."""
