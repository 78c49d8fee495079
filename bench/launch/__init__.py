"""Which runs, where, at what cost; and following them."""
