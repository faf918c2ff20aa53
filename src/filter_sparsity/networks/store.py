"""Networks and images from files, and shrunk networks into files that open without the code that made them."""

from __future__ import annotations

import importlib
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import UserError
from .agreement import difference

SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".webp"}


def load_model(factory: str, weights: Path | None) -> nn.Module:
    """Call "module:function" without arguments, and load weights: safetensors, or a state dict of torch.

    Nothing is unpickled but tensors (`weights_only`). The model is returned in evaluation mode. Raises UserError if
    there is no such function, or if the weights are damaged or another model's.
    """
    module, _, function = factory.partition(":")
    sys.path.insert(0, str(Path.cwd()))  # as `python -m` does
    try:
        create: Any = importlib.import_module(module)
        for part in function.split("."):
            create = getattr(create, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"there is no {factory}: {error}; name it as MODULE:FACTORY") from None
    finally:
        sys.path.pop(0)
    model = create()
    if not isinstance(model, nn.Module):
        raise UserError(f"{factory} gives {type(model).__name__}: it must give a torch.nn.Module")
    if weights is not None:
        try:
            model.load_state_dict(_state(weights))
        except RuntimeError as error:
            said = " ".join(str(error).split())[:200]
            raise UserError(f"{weights} does not fit {factory}: {said}") from None
    return model.eval()


def _state(weights: Path) -> dict[str, Tensor]:
    import pickle

    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if weights.suffix == ".safetensors":
            return load_file(weights)
        state = torch.load(weights, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, EOFError, RuntimeError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{weights} cannot be read as weights: {said}; save model.state_dict()") from None
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict):
        raise UserError(f"{weights} holds {type(state).__name__}: save model.state_dict()")
    return state


def example_input(shape: Sequence[int]) -> Tensor:
    """Noise of this shape, the same each time."""
    return torch.randn(tuple(shape), generator=torch.Generator().manual_seed(0))


class Images:
    """The images of a folder, and of those inside it, in batches (images, 3, size, size) for `measure`."""

    def __init__(self, folder: Path, size: int, batch: int, mean: Sequence[float], std: Sequence[float]) -> None:
        """Raises UserError if the folder has no images. `mean` and `std` are of the channels, for values in [0, 1]."""
        self.paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
        if not self.paths:
            raise UserError(f"{folder} has no images: files that end in {', '.join(sorted(SUFFIXES))}")
        self.size, self.batch = size, batch
        self.mean, self.std = (torch.tensor(v)[:, None, None] for v in (mean, std))

    def __len__(self) -> int:
        return -(-len(self.paths) // self.batch)

    def __iter__(self) -> Iterator[Tensor]:
        for start in range(0, len(self.paths), self.batch):
            yield torch.stack([self._read(path) for path in self.paths[start : start + self.batch]])

    def _read(self, path: Path) -> Tensor:
        try:
            from PIL import Image, UnidentifiedImageError
        except ImportError:
            raise UserError("reading images needs Pillow: pip install pillow") from None
        try:
            with Image.open(path) as image:
                resized = image.convert("RGB").resize((self.size, self.size))
        except (UnidentifiedImageError, SyntaxError) as error:
            raise UserError(f"{path} cannot be read as an image: {error}") from None
        pixels = torch.from_numpy(np.array(resized, dtype=np.float32) / 255).permute(2, 0, 1)
        return (pixels - self.mean) / self.std


def save_exported(model: nn.Module, inputs: Tensor, path: Path, tolerance: float = 1e-4) -> None:
    """Write the network as torch.export's .pt2 for inputs of this shape; open the file again and compare."""

    def write(temporary: Path) -> None:
        torch.export.save(torch.export.export(model, (inputs,)), temporary)

    def run(temporary: Path) -> Tensor:
        return torch.export.load(temporary).module()(inputs)

    _save(model, inputs, path, ".pt2", write, run, tolerance)


def save_onnx(model: nn.Module, inputs: Tensor, path: Path, tolerance: float = 1e-4) -> None:
    """Write the network as ONNX for inputs of this shape; open the file again with ONNX Runtime and compare."""
    try:
        import onnxruntime
        import onnxscript  # noqa: F401 (torch.onnx needs it)
    except ImportError:
        raise UserError("ONNX needs its packages: pip install onnx onnxruntime onnxscript") from None

    def write(temporary: Path) -> None:
        torch.onnx.export(model, (inputs,), temporary, dynamo=True, external_data=False, verbose=False)

    def run(temporary: Path) -> Tensor:
        session = onnxruntime.InferenceSession(str(temporary), providers=["CPUExecutionProvider"])
        return torch.from_numpy(session.run(None, {session.get_inputs()[0].name: inputs.numpy()})[0])

    _save(model, inputs, path, ".onnx", write, run, tolerance)


def _save(
    model: nn.Module,
    inputs: Tensor,
    path: Path,
    suffix: str,
    write: Callable[[Path], None],
    run: Callable[[Path], Tensor],
    tolerance: float,
) -> None:
    if path.suffix != suffix:
        raise UserError(f"{path} must end in {suffix}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder, torch.no_grad():
        temporary = Path(folder) / path.name
        write(temporary)
        apart = difference(run(temporary), model(inputs))
        if not apart <= tolerance:
            raise UserError(f"{path}: what was written differs from the network by {apart:.1e}: nothing was kept")
        temporary.replace(path)
