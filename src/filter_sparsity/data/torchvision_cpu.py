"""torchvision, importable beside a CPU build of torch.

PyPI has no CPU build of torchvision. Beside a CPU torch the import fails because two operators of its compiled
extension are not declared; declaring them (nothing here calls them) lets datasets, transforms and models work.
"""

from __future__ import annotations

import importlib
from types import ModuleType

import torch
from torch import library

_OPERATORS = ("nms", "qnms")
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_declared: library.Library | None = None


def torchvision() -> ModuleType:
    """Import torchvision; beside a CPU build of torch, declare the missing operators first."""
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
    global _declared  # the declarations last as long as this object
    _declared = library.Library("torchvision", "FRAGMENT")
    for name in _OPERATORS:
        if not hasattr(torch.ops.torchvision, name):
            _declared.define(name + _SCHEMA)
    return importlib.import_module("torchvision")
