"""Benchmarks: mlgit against the floors of disk and Python, and against rivals where they are installed."""
