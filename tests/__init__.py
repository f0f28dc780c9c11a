"""Tests that read like the promises which they check; `python3 dev/test.py` runs them."""
