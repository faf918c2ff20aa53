"""Torch as every job uses it: deterministic, on the device asked for. Importing this module does not import torch."""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING, Any

from .. import provenance
from ..errors import UserError

if TYPE_CHECKING:
    import torch


def select_device(name: str, threads: int) -> torch.device:
    """A torch device, with torch set to compute the same bits every time. Before the first parallel operation."""
    gc.disable()  # looking through torch's objects as it is imported, and at the end, is a quarter of a job's start-up
    import torch

    gc.freeze()
    gc.enable()
    torch.set_flush_denormal(True)  # dead filters decay into denormals, which are up to 65 times slower
    torch.set_num_threads(threads)
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device is cuda, but torch finds no CUDA device here: set `device: cpu` or `auto`")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":  # what we use on a CPU computes the same bits anyway, and this imports for over a second
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS is not deterministic
        torch.use_deterministic_algorithms(True)
    return torch.device(name)


def collect_provenance(device: torch.device) -> dict[str, Any]:
    """Provenance of something computed now on a torch device."""
    import torch

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else provenance.processor()
    return provenance.collect(name, torch.get_num_threads())
