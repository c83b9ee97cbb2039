"""API keys without any I/O: their form, who holds them, and what that allows."""
