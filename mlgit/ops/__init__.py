"""Operations on a repository: each folder answers one kind of question and may be deleted without breaking the core."""
