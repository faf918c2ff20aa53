"""Images held on the device, and which loader a dataset takes: `streaming` has that of images too many to hold."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ..data.prepared import Prepared, PreparedArrays, PreparedFiles
from .base import Loader, spread

EVALUATION_BATCH = 250  # at full width 0.25 GB of activations; 1000 took 0.6 GB and no less time


class ArrayLoader(Loader):
    """A split as bytes on the device; batches are gathered, normalised and flipped there."""

    def __init__(self, data: PreparedArrays, split: str, device: torch.device, flip: bool) -> None:
        super().__init__(data, device)
        pixels = torch.from_numpy(data.images[split]).to(device)
        self.pixels = pixels.contiguous(memory_format=torch.channels_last)
        self.labels = torch.from_numpy(data.labels[split]).to(device)
        self.flip = flip
        self.chosen = torch.empty(0, dtype=torch.int64, device=device)  # numbers of the batch's images

    def __len__(self) -> int:
        return len(self.labels)

    def shuffle(self, batch: int, generator: torch.Generator, first: int = 0) -> None:
        order = torch.randperm(len(self), generator=generator)
        flips = torch.randint(2, (len(self),), generator=generator) if self.flip else torch.zeros_like(order)
        whole = order[: len(self) // batch * batch]
        numbers = (whole + flips[whole] * len(self)).view(-1, batch)  # image i flipped is number i + N
        self.order = numbers.to(self.device)
        if len(self.chosen) != batch:  # else it stays where it is: a captured graph reads it there in every epoch
            self.chosen = torch.empty_like(self.order[0])

    def load(self, i: int) -> None:
        self.chosen.copy_(self.order[i])

    def batch(self) -> tuple[Tensor, Tensor]:
        which = self.chosen % len(self)
        images = self.normalised(self.pixels[which])
        if self.flip:
            images = torch.where((self.chosen >= len(self))[:, None, None, None], images.flip(-1), images)
        return images, self.labels[which]

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, len(self), EVALUATION_BATCH):
            end = start + EVALUATION_BATCH
            yield self.normalised(self.pixels[start:end]), self.labels[start:end]

    def sample(self, count: int) -> Tensor:
        return self.normalised(self.pixels[spread(len(self), count)])


def open_loader(data: Prepared, split: str, device: torch.device, flip: bool) -> Loader:
    """The loader of a split: on the device, or from its files as they are needed."""
    if isinstance(data, PreparedFiles):
        from .streaming import FileLoader  # it decodes images: only such data need its packages

        return FileLoader(data, split, device, flip)
    assert isinstance(data, PreparedArrays)
    return ArrayLoader(data, split, device, flip)
