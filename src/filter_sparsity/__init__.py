"""A reproduction of the supplement of *On Implicit Filter Level Sparsity in Convolutional Neural Networks*."""

from importlib import import_module as _import_module
from typing import Any as _Any

# For people's own networks. Imported when first asked for: most of the package works without torch.
_NETWORKS = ("LayerTable", "Monitor", "Report", "measure", "shrink")


def __getattr__(name: str) -> _Any:
    if name in _NETWORKS:
        return getattr(_import_module(f"{__name__}.networks"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
