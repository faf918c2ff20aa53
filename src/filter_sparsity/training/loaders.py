"""Images held on the device: what a step reads. `streaming.Stream` is the same for data too large to be held."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ..data.prepared import Index, Prepared
from .streaming import Stream, spread

EVALUATION_BATCH = 250  # at full width 0.25 GB of activations; 1000 took 0.6 GB and no less time


class Images:
    """A split of a dataset, as bytes on the device; batches are gathered, normalised and flipped there.

    An epoch is `shuffle`d once and then gone through by `load(i)`, which says which batch `batch()` gives. Only `load`
    knows the batch's number, so that all the rest of a step is the same every time and a GPU can replay it.
    """

    def __init__(self, data: Prepared, split: str, device: torch.device, flip: bool) -> None:
        pixels = torch.from_numpy(data.images[split]).to(device)
        self.pixels = pixels.contiguous(memory_format=torch.channels_last)
        self.labels = torch.from_numpy(data.labels[split]).to(device)
        self.mean, self.deviation = (torch.tensor(v, device=device)[:, None, None] for v in (data.mean, data.deviation))
        self.flip = flip
        self.chosen = torch.empty(0, dtype=torch.int64, device=device)  # numbers of the batch's images

    def __len__(self) -> int:
        return len(self.labels)

    def shuffle(self, batch: int, generator: torch.Generator, first: int = 0) -> None:
        """Draw order and flips of a pass of whole batches, the rest left out. It begins with batch `first`."""
        order = torch.randperm(len(self), generator=generator)
        flips = torch.randint(2, (len(self),), generator=generator) if self.flip else torch.zeros_like(order)
        whole = order[: len(self) // batch * batch]
        numbers = (whole + flips[whole] * len(self)).view(-1, batch)  # image i flipped is number i + N
        self.order = numbers.to(self.labels.device)
        if len(self.chosen) != batch:  # else it stays where it is: a captured graph reads it there in every epoch
            self.chosen = torch.empty_like(self.order[0])

    def load(self, i: int) -> None:
        """Make batch i of the epoch the one that `batch` gives."""
        self.chosen.copy_(self.order[i])

    def batch(self) -> tuple[Tensor, Tensor]:
        """Normalised images (batch, channels, side, side), each flipped or not, and their labels (batch,)."""
        which = self.chosen % len(self)
        images = self.normalised(self.pixels[which])
        if self.flip:
            images = torch.where((self.chosen >= len(self))[:, None, None, None], images.flip(-1), images)
        return images, self.labels[which]

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """All images in their order, unflipped."""
        for start in range(0, len(self), EVALUATION_BATCH):
            end = start + EVALUATION_BATCH
            yield self.normalised(self.pixels[start:end]), self.labels[start:end]

    def sample(self, count: int) -> Tensor:
        """Some images, normalised and unflipped: the same ones at every call, evenly over the split."""
        return self.normalised(self.pixels[spread(len(self), count)])

    def normalised(self, pixels: Tensor) -> Tensor:
        return (pixels.float() / 255 - self.mean) / self.deviation


def opened(data: Prepared | Index, split: str, device: torch.device, flip: bool) -> Images | Stream:
    """A split to go through: on the device, or read from its files as it is needed."""
    return Stream(data, split, device, flip) if isinstance(data, Index) else Images(data, split, device, flip)
