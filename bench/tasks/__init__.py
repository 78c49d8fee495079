"""One folder a kind of experiment; one Run in, one result out."""
