"""What every loader gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor

from ..data.prepared import Prepared


class Loader(ABC):
    """A split of a dataset, normalised on the device: batches to train on in random order, or all images in theirs.

    An epoch is `shuffle`d once and then gone through by `load(i)`, which says which batch `batch()` gives. Only `load`
    knows the batch's number, and what `batch` reads stays where it is from epoch to epoch: so all the rest of a step is
    the same every time, and a GPU can replay it.
    """

    def __init__(self, data: Prepared, device: torch.device) -> None:
        self.device = device
        self.mean, self.deviation = (torch.tensor(v, device=device)[:, None, None] for v in (data.mean, data.deviation))

    @abstractmethod
    def __len__(self) -> int:
        """How many images the split has."""

    @abstractmethod
    def shuffle(self, batch: int, generator: torch.Generator, first: int = 0) -> None:
        """Draw order and flips of a pass of whole batches, the rest left out. It begins with batch `first`."""

    @abstractmethod
    def load(self, i: int) -> None:
        """Make batch i of the epoch the one that `batch` gives. They come in the order of their numbers."""

    @abstractmethod
    def batch(self) -> tuple[Tensor, Tensor]:
        """Normalised images (batch, channels, side, side), each flipped or not, and their labels (batch,)."""

    @abstractmethod
    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """All images in their order, neither flipped nor cropped by chance."""

    @abstractmethod
    def sample(self, count: int) -> Tensor:
        """Some images as `batches` gives them: the same ones at every call, evenly over the split."""

    def normalised(self, pixels: Tensor) -> Tensor:
        return (pixels.float() / 255 - self.mean) / self.deviation


def spread(length: int, count: int) -> list[int]:
    """`count` numbers below `length`, evenly from the first on; all of them if there are no more."""
    return [i * length // count for i in range(count)] if count < length else list(range(length))
