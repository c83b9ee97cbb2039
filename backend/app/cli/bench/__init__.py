"""`mlforge bench`: how fast a running server answers for one of its models."""
