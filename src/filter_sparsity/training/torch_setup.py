"""Torch as every job uses it: deterministic, on the device asked for. Importing this module does not import torch."""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import provenance
from ..errors import UserError

if TYPE_CHECKING:
    import torch


class Precision(NamedTuple):
    """In what a training's products of matrices and convolutions are computed. All else is float32."""

    tf32: bool  # factors rounded to 10 bits of mantissa, sums in float32: GPUs from NVIDIA's Ampere on
    autocast: bool  # in forward and backward passes factors and results are bfloat16, 7 bits


PRECISIONS = {
    "float32": Precision(tf32=False, autocast=False),
    "tf32": Precision(tf32=True, autocast=False),
    "bfloat16": Precision(tf32=True, autocast=True),  # the evaluation of an epoch, not autocast, is in TF32
}
TF32_SINCE = (8, 0)  # CUDA's compute capability


def set_precision(name: str) -> None:
    """Set both of torch's switches: for matrix products TF32 is off by default, for convolutions on.

    Whoever computes sets it first, since it holds for the whole process. These are torch's older names: they set the
    newer ones (`fp32_precision`, from torch 2.9 on) too, while torch raises where newer are set and older are read.
    """
    import torch

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = PRECISIONS[name].tf32


def tf32_switches() -> dict[str, bool]:
    """What is set, as torch says it."""
    import torch

    return {"matmul": torch.backends.cuda.matmul.allow_tf32, "convolution": torch.backends.cudnn.allow_tf32}


def check_precision(name: str, device: torch.device) -> None:
    """Raises UserError if the device does not have the precision: it would compute in float32 without a word."""
    import torch

    if name != "tf32" or (device.type == "cuda" and torch.cuda.get_device_capability(device) >= TF32_SINCE):
        return
    raise UserError(
        f"precision is tf32, which {machine(device)['device']} does not have: "
        "set `precision: float32`, or train on an NVIDIA GPU of compute capability 8.0 or newer"
    )


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
    set_precision("float32")
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
