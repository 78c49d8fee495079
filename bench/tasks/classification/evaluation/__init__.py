"""Task `evaluate`: weights that are tested as they are."""
