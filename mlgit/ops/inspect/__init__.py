"""Looking at a repository: what changed, what is tracked and how large it is. Nothing here changes anything."""
