"""Pipelines: stage file → graph → plan → run, each step a plain value that can be looked at before the next."""
