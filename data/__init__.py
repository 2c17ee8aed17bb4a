"""Records and files: what the tables hold, and how they are read, written and filled."""
