"""Watching the sparsity of a network while it trains."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from .. import metrics
from ..errors import UserError


class Monitor:
    """Sparsity by gamma of every BatchNorm, as a line of a CSV file each time `step` is called.

        monitor = Monitor(model, "sparsity.csv")
        for epoch in range(epochs):
            train(model)
            print(monitor.step())

    Columns: step, total, and each BatchNorm by name. `total` is the share of all their features with |gamma| < 1e-3.
    `tensorboard` is a folder for TensorBoard's files. Compiled, wrapped and frozen models work: only gammas are read.
    An existing file is continued if it has the same columns. Raises UserError if the model has no BatchNorm with a
    scale, if the file has other columns, or if `tensorboard` is given and not installed.
    """

    def __init__(self, model: nn.Module, path: str | Path | None = None, tensorboard: str | Path | None = None) -> None:
        inner = getattr(model, "_orig_mod", model)
        inner = inner.module if isinstance(inner, nn.DataParallel | nn.parallel.DistributedDataParallel) else inner
        self.norms = {n: m for n, m in inner.named_modules() if isinstance(m, _BatchNorm) and m.affine}
        if not self.norms:
            raise UserError(f"{type(inner).__name__} has no BatchNorm with a scale: there is no gamma to watch")
        self.path = Path(path) if path is not None else None
        self.steps = 0
        self._writer: Any = None
        columns = ["step", "total", *self.norms]
        if self.path is not None and self.path.exists():
            with self.path.open(newline="", encoding="utf-8") as file:
                lines = list(csv.reader(file))
            if lines[:1] != [columns]:
                raise UserError(f"{self.path} is not of this network: delete it, or name another file")
            self.steps = len(lines) - 1
        elif self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._append(columns)
        if tensorboard is not None:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                raise UserError(
                    "TensorBoard is not installed: pip install tensorboard, or leave `tensorboard` out"
                ) from None
            self._writer = SummaryWriter(str(tensorboard))

    @torch.no_grad()
    def step(self) -> float:
        """Write the next line, and return the total in [0, 1]. Raises UserError if a gamma is not a number."""
        dead = {}
        for name, norm in self.norms.items():
            if not norm.weight.isfinite().all():
                raise UserError(f"{name}.weight has values that are not finite: the training diverged")
            dead[name] = (norm.weight.abs() < metrics.GAMMA_THRESHOLD).float().mean().item()
        sizes = {name: norm.num_features for name, norm in self.norms.items()}
        total = sum(dead[name] * sizes[name] for name in dead) / sum(sizes.values())
        if self.path is not None:
            self._append([self.steps, f"{total:.6g}", *(f"{share:.6g}" for share in dead.values())])
        if self._writer is not None:
            for name, share in {"total": total, **dead}.items():
                self._writer.add_scalar(f"sparsity by gamma/{name}", share, self.steps)
            self._writer.flush()
        self.steps += 1
        return total

    def _append(self, line: list[Any]) -> None:
        assert self.path is not None
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerow(line)
