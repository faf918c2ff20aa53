"""People's own networks: measure their filters, remove the dead ones, watch a training."""

from .monitor import Monitor
from .removal import Report, shrink
from .table import LayerTable, measure

__all__ = ["LayerTable", "Monitor", "Report", "measure", "shrink"]
