"""Forgeries of published results, and the honest copy of the project that they are made in: README.md of tests/."""
