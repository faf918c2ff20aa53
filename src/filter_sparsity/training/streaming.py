"""Images that are decoded as they are needed, by worker processes: for data too large to be held."""

from __future__ import annotations

import functools
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..data.prepared import PreparedFiles
from ..data.sources.images import naming_image
from ..data.torchvision_cpu import torchvision
from ..errors import UserError
from ..progress import cores
from .base import Loader, spread

EVALUATION_BATCH = 100
COMING = 2  # batches that a worker makes ahead
SHARED_MEMORY = "/dev/shm"
LONGEST_TMPDIR = 107 - len("/pymp-12345678/listener-12345678")  # bytes, since a socket's path has 107 at most
RESIZED = 256 / 224  # of the crop's side: the shorter side of a test image before its centre is cut out


class FileLoader(Loader):
    """A split read from its files; training crops are random, others are the centre.

    Order, crops and flips are functions of the generator alone, whatever the number of workers.
    """

    def __init__(
        self, data: PreparedFiles, split: str, device: torch.device, flip: bool, workers: int | None = None
    ) -> None:
        super().__init__(data, device)
        self.files = _Files(data.root, data.files[split], data.labels[split], data.side, flip)
        self.workers = cores() if workers is None else workers
        self._allocate(0)

    def _allocate(self, batch: int) -> None:
        """Memory for the batch that `load` brings."""
        shape = (batch, 3, self.files.side, self.files.side)
        self.pixels = torch.empty(shape, dtype=torch.uint8, device=self.device)
        self.labels = torch.empty(batch, dtype=torch.int64, device=self.device)

    def __len__(self) -> int:
        return len(self.files.labels)

    def shuffle(self, batch: int, generator: torch.Generator, first: int = 0) -> None:
        order = torch.randperm(len(self), generator=generator)
        seeds = torch.randint(2**62, (len(self),), generator=generator)
        whole = len(self) // batch * batch
        items = list(zip(order[:whole].tolist(), seeds[:whole].tolist(), strict=True))
        self.coming = self._load(items[first * batch :], batch)
        if len(self.labels) != batch:  # else they stay where they are: a captured graph reads them in every epoch
            self._allocate(batch)

    def load(self, i: int) -> None:
        pixels, labels = next(self.coming)
        self.pixels.copy_(pixels, non_blocking=True)
        self.labels.copy_(labels, non_blocking=True)

    def batch(self) -> tuple[Tensor, Tensor]:
        return self.normalised(self.pixels), self.labels

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        for pixels, labels in self._load([(i, None) for i in range(len(self))], EVALUATION_BATCH):
            yield self.normalised(pixels.to(self.device, non_blocking=True)), labels.to(self.device, non_blocking=True)

    def sample(self, count: int) -> Tensor:
        (pixels, _), *_ = self._load([(i, None) for i in spread(len(self), count)], count)
        return self.normalised(pixels.to(self.device))

    def normalised(self, pixels: Tensor) -> Tensor:
        return super().normalised(pixels).contiguous(memory_format=torch.channels_last)

    def _load(self, items: Sequence[tuple[int, int | None]], batch: int) -> Iterator[tuple[Tensor, Tensor]]:
        if self.workers:
            _check_workers_memory(self.workers, batch * 3 * self.files.side**2)
        lists: list[Any] = [items[start : start + batch] for start in range(0, len(items), batch)]
        loader: Any = DataLoader(
            self.files,
            batch_sampler=lists,
            num_workers=self.workers,
            prefetch_factor=COMING if self.workers else None,
            pin_memory=self.device.type == "cuda",
            generator=torch.Generator(),  # the workers' seeds, which nothing here uses
        )
        try:
            yield from loader
        except UserError as error:  # from a worker it comes with the worker's traceback
            raise UserError(str(error).rpartition("UserError: ")[2].strip()) from None
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise UserError(
                "a process that decoded images was ended from outside: is there too little memory?"
            ) from None


def _check_workers_memory(workers: int, batch: int) -> None:
    """Raise UserError if batches of so many bytes cannot come from worker processes: through sockets, in shared memory.

    torch would wait for ever in a long TMPDIR, and its workers would die where /dev/shm is full.
    """
    if len(temporary := os.fsencode(tempfile.gettempdir())) > LONGEST_TMPDIR:
        raise UserError(
            f"TMPDIR has {len(temporary)} bytes, and processes that decode images can meet in one of {LONGEST_TMPDIR} "
            "at most: export TMPDIR=/tmp"
        )
    needed, free = (COMING * workers + 2) * batch, shutil.disk_usage(SHARED_MEMORY).free
    if free < needed:
        raise UserError(
            f"{SHARED_MEMORY} has {free / 1e6:,.0f} MB free, and {workers} processes that decode images need "
            f"{needed / 1e6:,.0f} MB: start the container with --ipc=host or --shm-size={math.ceil(needed / 1e9)}g"
        )


class _Files(Dataset):
    """Item (i, seed): image i, cropped and flipped as the seed says, or its centre where the seed is None."""

    def __init__(self, root: Path, files: Sequence[str], labels: np.ndarray, side: int, flip: bool) -> None:
        self.root, self.labels, self.side, self.flip = root, labels, side, flip
        self.files = np.array(files)  # one object, so that workers do not copy a million of them

    def __getitem__(self, item: tuple[int, int | None]) -> tuple[Tensor, int]:
        index, seed = item
        path = self.root / str(self.files[index])
        with naming_image(path), Image.open(path) as file:
            image = file.convert("RGB")
        with torch.random.fork_rng(devices=[]):
            if seed is not None:
                torch.manual_seed(seed)
            image = _crop(self.side, seed is not None, self.flip)(image)
        return torch.from_numpy(np.array(image)).permute(2, 0, 1), int(self.labels[index])


@functools.cache
def _crop(side: int, random: bool, flip: bool) -> Callable[[Image.Image], Image.Image]:
    transforms = torchvision().transforms
    if not random:
        return transforms.Compose([transforms.Resize(round(side * RESIZED)), transforms.CenterCrop(side)])
    return transforms.Compose([transforms.RandomResizedCrop(side), transforms.RandomHorizontalFlip(0.5 * flip)])
