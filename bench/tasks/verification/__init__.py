"""Face verification: embeddings of people, tested on pairs of strangers."""
