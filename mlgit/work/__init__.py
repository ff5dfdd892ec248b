"""The working tree against the store: pointers, add, status, checkout and diff."""
