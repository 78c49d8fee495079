"""A user's own images: folders of classes, read from disk or held in memory, and arrays of a .npz file."""
