"""The nets of the paper."""
