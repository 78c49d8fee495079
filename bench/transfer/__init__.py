"""Runs on their way from one machine to another: `python -m bench pack`, `unpack` and `export`."""
