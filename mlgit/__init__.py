"""mlgit: Git for data, models, metrics and pipelines."""

__version__ = "0.1.0"
