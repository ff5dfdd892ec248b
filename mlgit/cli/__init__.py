"""The command line: the only layer that reads the environment, prints, or knows Typer and Rich."""
