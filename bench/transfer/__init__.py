"""Run folders on their way from one machine to another: `python -m bench pack` and `unpack`."""
