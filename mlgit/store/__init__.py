"""Content-addressed objects: one format for the cache and every remote, over any backend."""
