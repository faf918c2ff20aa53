"""Images held on the device, and which loader a dataset takes: `streaming` has that of images too many to hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from ..data.prepared import Prepared, PreparedArrays, PreparedFiles
from .base import Loader, spread

# At full width 250 images take 0.25 GB of activations; on a CPU 1,000 take no less time. A GPU wants few kernels.
EVALUATION_BATCH = {"cpu": 250, "cuda": 1000}


@dataclass
class Held:
    """A split on a device, held once for all loaders that have the same."""

    data: PreparedArrays
    pixels: Tensor  # as bytes, (N, channels, side, side); or normalised, and mirrored as images N to 2N - 1
    labels: Tensor  # (N,), or (2N,)


_held: WeakValueDictionary[tuple[int, str, torch.device, bool, bool], Held] = WeakValueDictionary()


class ArrayLoader(Loader):
    """A split on the device, where its batches are gathered.

    On a CPU it lies there as bytes, and each batch is normalised and flipped: a quarter of the memory, an eighth with
    flips. On a GPU it is `ready`: normalised, and mirrored where training flips, once and for all (1.2 GB of CIFAR), so
    that a batch costs two kernels and not ten. Both give the same bits.
    """

    def __init__(
        self, data: PreparedArrays, split: str, device: torch.device, flip: bool, ready: bool | None = None
    ) -> None:
        super().__init__(data, device)
        self.ready, self.flip = device.type == "cuda" if ready is None else ready, flip
        # A key is another dataset's only when this one's `Held`, which has the dataset, is gone.
        key = id(data), split, device, self.ready, self.ready and flip
        self.held = _held.get(key) or _held.setdefault(key, self._hold(data, split))
        self.pixels, self.labels = self.held.pixels, self.held.labels
        self.count = len(data.labels[split])
        self.chosen = torch.empty(0, dtype=torch.int64, device=device)  # numbers of the batch's images

    def _hold(self, data: PreparedArrays, split: str) -> Held:
        pixels = torch.from_numpy(data.images[split]).to(self.device)
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        labels = torch.from_numpy(data.labels[split]).to(self.device)
        if self.ready:
            pixels = self.normalised(pixels)
            if self.flip:
                pixels, labels = torch.cat([pixels, pixels.flip(-1)]), torch.cat([labels, labels])
        return Held(data, pixels, labels)

    def __len__(self) -> int:
        return self.count

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
        if self.ready:
            return self.pixels[self.chosen], self.labels[self.chosen]
        which = self.chosen % len(self)
        images = self.normalised(self.pixels[which])
        if self.flip:
            images = torch.where((self.chosen >= len(self))[:, None, None, None], images.flip(-1), images)
        return images, self.labels[which]

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        size = EVALUATION_BATCH[self.device.type]
        for start in range(0, len(self), size):
            end = min(start + size, len(self))
            yield self._normal(self.pixels[start:end]), self.labels[start:end]

    def sample(self, count: int) -> Tensor:
        return self._normal(self.pixels[spread(len(self), count)])

    def _normal(self, images: Tensor) -> Tensor:
        return images if self.ready else self.normalised(images)


def open_loader(data: Prepared, split: str, device: torch.device, flip: bool) -> Loader:
    """The loader of a split: on the device, or from its files as they are needed."""
    if isinstance(data, PreparedFiles):
        from .streaming import FileLoader  # it decodes images: only such data need its packages

        return FileLoader(data, split, device, flip)
    assert isinstance(data, PreparedArrays)
    return ArrayLoader(data, split, device, flip)
