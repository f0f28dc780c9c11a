"""What a run is given, what it tells, and how it is ended: the parts of the tap share these."""
