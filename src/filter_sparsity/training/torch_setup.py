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
        # Else a kernel fills every new tensor, some 200 a step.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    return torch.device(name)


def machine(device: torch.device) -> dict[str, str]:
    """What decides the bits of a result beside the code: the device's name and the versions of its libraries."""
    import torch

    if device.type != "cuda":
        return {"device": provenance.processor(), "torch": torch.__version__}
    name = torch.cuda.get_device_name(device)
    return {"device": name, "torch": torch.__version__, "cudnn": str(torch.backends.cudnn.version())}


def collect_provenance(device: torch.device) -> dict[str, Any]:
    """Provenance of something computed now on a torch device."""
    import torch

    own = machine(device)
    origin = provenance.collect(own["device"], torch.get_num_threads())
    if "cudnn" in own:
        origin["versions"]["cudnn"] = own["cudnn"]
    return origin
