"""Where a file, an object or a stage's results come from, and what used them. Nothing here changes anything."""
