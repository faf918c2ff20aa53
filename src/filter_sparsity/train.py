"""Training a spec with a seed: the loop, what it writes, and the lines a person watches."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional as F

from . import provenance
from .data import Index, Prepared
from .errors import UserError
from .models import ConvNet, build
from .optim import Update
from .paths import TRAINED, write_bytes, write_text
from .spec import Spec
from .stream import Stream

EVALUATION_BATCH = 250  # at full width 0.25 GB of activations; 1000 took 0.6 GB and no less time
CONSOLE_SECONDS = 10.0  # between lines on a console that is not a terminal


@dataclass
class Epoch:
    """A line of history.csv; losses are means over images, the error a fraction."""

    epoch: int
    step: int
    rate_factor: float
    train_loss: float
    test_loss: float
    test_error: float


@dataclass
class Affine:
    """Gammas and betas of every layer at some steps of the training, for Figure 1."""

    steps: list[int] = field(default_factory=list)
    gammas: list[list[Tensor]] = field(default_factory=list)
    betas: list[list[Tensor]] = field(default_factory=list)

    def keep(self, step: int, model: ConvNet) -> None:
        self.steps.append(step)
        self.gammas.append([norm.weight.detach().cpu().clone() for norm in model.norms])
        self.betas.append([norm.bias.detach().cpu().clone() for norm in model.norms])

    def tensors(self, layers: tuple[str, ...]) -> dict[str, Tensor]:
        """`step` (points,) and, of each layer, `gamma_C1`, `beta_C1`, ... (points, filters)."""
        arrays = {"step": torch.tensor(self.steps)}
        for name, kept in (("gamma", self.gammas), ("beta", self.betas)):
            for layer, values in zip(layers, zip(*kept, strict=True), strict=True):
                arrays[f"{name}_{layer}"] = torch.stack(values)
        return arrays


class Images:
    """A dataset on the device: normalised images, followed by their mirror images where the spec flips them.

    So a batch is one indexing operation: index i + N is image i flipped.
    """

    def __init__(self, data: Prepared, split: str, device: torch.device, flip: bool) -> None:
        mean, deviation = (torch.tensor(v)[:, None, None] for v in (data.mean, data.deviation))
        images = (torch.from_numpy(data.images[split]).float() / 255 - mean) / deviation
        self.labels = torch.from_numpy(data.labels[split]).to(device)
        self.flip = flip
        both = torch.cat([images, images.flip(-1)]) if flip else images
        self.images = both.to(device).contiguous(memory_format=torch.channels_last)

    def __len__(self) -> int:
        return len(self.labels)

    def epoch(self, batch: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Shuffled whole batches of one pass, each image flipped or not with even chance; the rest is left out."""
        order = torch.randperm(len(self), generator=generator)
        flips = torch.randint(2, (len(self),), generator=generator) if self.flip else torch.zeros_like(order)
        for chosen in order[: len(self) // batch * batch].split(batch):
            yield self.images[chosen + flips[chosen] * len(self)], self.labels[chosen]

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """All images in their order, unflipped."""
        for start in range(0, len(self), EVALUATION_BATCH):
            labels = self.labels[start : start + EVALUATION_BATCH]
            yield self.images[start : start + len(labels)], labels


def opened(data: Prepared | Index, split: str, device: torch.device, flip: bool) -> Images | Stream:
    """A split to go through: on the device, or read from its files as it is needed."""
    return Stream(data, split, device, flip) if isinstance(data, Index) else Images(data, split, device, flip)


@torch.inference_mode()
def evaluate(model: ConvNet, data: Images | Stream) -> tuple[float, float]:
    """Mean cross-entropy and error (a fraction) over the unflipped images, with the running statistics."""
    model.eval()
    loss, wrong = 0.0, 0
    for images, labels in data.batches():
        logits = model(images)
        loss += F.cross_entropy(logits, labels, reduction="sum").item()
        wrong += int((logits.argmax(1) != labels).sum())
    model.train()
    return loss / len(data), wrong / len(data)


def train(
    spec: Spec,
    seed: int,
    data: Prepared | Index,
    device: torch.device,
    history_points: int,
    report: Callable[[Epoch, int], None] = lambda epoch, epochs: None,
) -> tuple[ConvNet, list[Epoch], Affine]:
    """Train a network. The same spec, seed, data and machine give the same weights, bit for bit.

    The seed decides initial weights, data order and flips, so equal seeds of different specs start alike and see the
    same batches. `report` is called with each epoch and the number of epochs. Raises UserError if the loss is not
    finite, or if the data do not fit the spec.
    """
    count = len(data.labels["train"])
    if spec.batch_size > count:
        raise UserError(f"the mini-batch of {spec.batch_size} is more than the {count} images of {data.name}")
    torch.manual_seed(seed)
    model = build(spec, data.channels, data.side, len(data.classes)).to(device)
    generator = torch.Generator().manual_seed(seed)
    train_images = opened(data, "train", device, spec.flip)
    test_images = opened(data, "test", device, flip=False)
    per_epoch = count // spec.batch_size
    epochs = math.ceil(spec.steps / per_epoch)
    phase_at = {step: phase for phase, step in enumerate([0, *itertools.accumulate(spec.phase_steps)][:-1])}
    keep_at = {round(spec.steps * i / history_points) for i in range(history_points + 1)}

    update, history, affine = Update(spec, model), [], Affine()
    affine.keep(0, model)
    step = 0
    for number in range(1, epochs + 1):
        losses = []
        for batch, labels in itertools.islice(train_images.epoch(spec.batch_size, generator), spec.steps - step):
            if step in phase_at:
                update.start_phase(phase_at[step])
            update.zero_grad()
            loss = F.cross_entropy(model(batch), labels)
            loss.backward()
            update.step()
            losses.append(loss.detach())
            step += 1
            if step in keep_at:
                affine.keep(step, model)
        test_loss, test_error = evaluate(model, test_images)
        epoch = Epoch(number, step, update.factor, float(torch.stack(losses).mean()), test_loss, test_error)
        if not (math.isfinite(epoch.train_loss) and math.isfinite(epoch.test_loss)):
            raise UserError(f"{spec.id}, seed {seed}: the training diverged in epoch {number}: the loss is not finite")
        history.append(epoch)
        report(epoch, epochs)
    return model, history, affine


def train_run(
    spec: Spec, seed: int, data: Prepared | Index, folder: Path, device: torch.device, history_points: int
) -> None:
    """Train and write the run's folder: weights, histories of losses and of gammas and betas, and where they come from.

    Nothing is written unless the training is whole.
    """
    began = time.time()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "train.log").open("w", buffering=1) as log:
        progress = Progress(f"{spec.id} seed {seed}", log)
        model, history, affine = train(spec, seed, data, device, history_points, progress)
    identity = {"run": f"{spec.id} seed {seed}"}  # one entry, since safetensors writes several in random order
    state = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    table = io.StringIO()
    lines = csv.writer(table, lineterminator="\n")
    lines.writerow(Epoch.__dataclass_fields__)
    lines.writerows(vars(epoch).values() for epoch in history)
    origin = provenance.collect(device) | {
        "spec_id": spec.id,
        "seed": seed,
        "spec": spec.to_dict(),
        "dataset": data.name,
        "data_digest": data.digest,
        "wall_seconds": round(time.time() - began, 2),
    }
    weights, kept, losses, source = (folder / name for name in TRAINED)
    write_bytes(weights, save(state, identity))
    write_bytes(kept, save(affine.tensors(spec.network.layers), identity))
    write_text(losses, table.getvalue())
    write_text(source, json.dumps(origin, indent=1) + "\n")


class Progress:
    """A line per epoch in the run's log; on the console the same line, in place or now and then."""

    def __init__(self, name: str, log: io.TextIOBase | io.TextIOWrapper) -> None:
        self.name, self.log = name, log
        self.began = self.last = time.monotonic()

    def __call__(self, epoch: Epoch, epochs: int) -> None:
        now = time.monotonic()
        left = (now - self.began) / epoch.epoch * (epochs - epoch.epoch)
        line = (
            f"epoch {epoch.epoch:>{len(str(epochs))}}/{epochs}  train loss {epoch.train_loss:.4f}  "
            f"test loss {epoch.test_loss:.4f}  test error {100 * epoch.test_error:.1f} %  "
            f"{clock(left)} left"
        )
        print(line, file=self.log)
        done = epoch.epoch == epochs
        if sys.stderr.isatty():
            print(f"\r{self.name}  {line}", end="\n" if done else "", file=sys.stderr, flush=True)
        elif done or now - self.last >= CONSOLE_SECONDS:
            print(f"{self.name}  {line}", file=sys.stderr, flush=True)
            self.last = now


def clock(seconds: float) -> str:
    """3725 s is 1:02:05; 65 s is 1:05."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
