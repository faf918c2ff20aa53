"""The command line: one verb a step."""

from .program import main, parser

__all__ = ["main", "parser"]
