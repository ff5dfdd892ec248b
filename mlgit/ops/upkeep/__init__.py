"""Keeping stores healthy: collecting what nothing names, finding and mending damage."""
