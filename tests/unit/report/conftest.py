"""One report for all tests of this folder."""

from small_report import report, tables

__all__ = ["report", "tables"]
