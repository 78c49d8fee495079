"""One Run in, one result out."""
