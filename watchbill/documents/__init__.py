"""One module per kind of file: its model, how it is read, how it is written. They link by id, never by import."""
