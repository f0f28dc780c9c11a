"""Measures the tap against what it is bound by, and against what people would otherwise use.

The tap is run as users run it, as a process of its own, on the simulator; every row of the table is
a ratio within one run of the benchmark, so that it means the same on a slow machine as on a fast
one. It is a development tool and not part of the wheel: ``python -m benchmark --help``.
"""
