"""Files of rows: cut into spans, read, and written back with their predictions."""
