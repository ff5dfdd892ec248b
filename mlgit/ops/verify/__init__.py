"""The determinism proof: what a second run of a stage wrote, held against what its lock entry recorded.

Import from the modules: `report` (the verdict over all outputs) and `deviation` (one output). Nothing is imported here,
so that a run whose outputs are all the same never loads what reads Parquet or NumPy files.
"""
