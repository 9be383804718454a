"""The report of a run: one self-contained HTML page."""

from simreal.report.page import build

__all__ = ["build"]
