"""A study: many cells, each one candidate trained and judged on one target, kept in one table.

A cell is known by a hash of everything that decides its result, so that a study which was interrupted,
or grown, computes what is missing and nothing twice.
"""

from simreal.study.cells import Cell, Place, Source, cell, settings_of
from simreal.study.computing import Computed, compute, keeping, run_cell, shared_of, tune_target_only
from simreal.study.table import Table

__all__ = [
    "Cell", "Computed", "Place", "Source", "Table", "cell", "compute", "keeping", "run_cell", "settings_of",
    "shared_of", "tune_target_only",
]  # fmt: skip
