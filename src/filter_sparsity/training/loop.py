"""Training a spec with a seed: the step, and the loop around it. What a run writes and prints is in `run`."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..data.prepared import Prepared
from ..errors import UserError
from ..spec import Spec
from .base import Loader
from .dominance import Dominance, dominance
from .health import EARLY, SAMPLE, silent
from .loaders import open_loader
from .models import ConvNet, build
from .optim import Update, param_groups
from .torch_setup import PRECISIONS, check_precision, set_precision

WARM_UP = 3  # steps before a GPU's are captured: they choose kernels and make the optimizer's state


@dataclass
class Epoch:
    """A line of history.csv; losses are means over images, the error a fraction."""

    epoch: int
    step: int
    rate_factor: float
    train_loss: float
    test_loss: float
    test_error: float


class Turn(Enum):
    """How a turn of a training ends that does not end an epoch."""

    STEP = "the training is between two steps, where it may be interrupted"
    WAITING = "the GPU has not yet computed what ends the epoch"


@dataclass
class ScaleHistory:
    """Gammas and betas of every layer at some steps of the training, for Figure 1."""

    steps: list[int] = field(default_factory=list)
    gammas: list[list[Tensor]] = field(default_factory=list)
    betas: list[list[Tensor]] = field(default_factory=list)

    def append(self, step: int, model: ConvNet) -> None:
        self.steps.append(step)
        # They stay on the device: reading them would wait for all steps queued there.
        self.gammas.append([norm.weight.detach().clone() for norm in model.norms])
        self.betas.append([norm.bias.detach().clone() for norm in model.norms])

    def tensors(self, layers: tuple[str, ...]) -> dict[str, Tensor]:
        """On the CPU `step` (points,) and, of each layer, `gamma_C1`, `beta_C1`, ... (points, filters)."""
        arrays = {"step": torch.tensor(self.steps)}
        for name, kept in (("gamma", self.gammas), ("beta", self.betas)):
            for layer, values in zip(layers, zip(*kept, strict=True), strict=True):
                arrays[f"{name}_{layer}"] = torch.stack([value.cpu() for value in values])
        return arrays

    @classmethod
    def from_tensors(cls, arrays: dict[str, Tensor], layers: tuple[str, ...]) -> ScaleHistory:
        """The inverse of `tensors`."""
        gammas, betas = ([arrays[f"{name}_{layer}"] for layer in layers] for name in ("gamma", "beta"))
        return cls(
            arrays["step"].tolist(),
            [list(point) for point in zip(*gammas, strict=True)],
            [list(point) for point in zip(*betas, strict=True)],
        )


@torch.inference_mode()
def evaluation(model: ConvNet, data: Loader) -> Tensor:
    """Mean cross-entropy and error (a fraction) over the unflipped images, with the running statistics: (2,) float64.

    They stay on the device.
    """
    model.eval()
    sums = torch.zeros(2, dtype=torch.float64, device=model.convs[0].weight.device)
    for images, labels in data.batches():
        logits = model(images)
        loss = F.cross_entropy(logits, labels, reduction="sum")
        sums += torch.stack([loss.double(), (logits.argmax(1) != labels).sum().double()])
    model.train()
    return sums / len(data)


def evaluate(model: ConvNet, data: Loader) -> tuple[float, float]:
    """The numbers of `evaluation`, read from the device."""
    loss, error = evaluation(model, data).tolist()
    return loss, error


class Step:
    """One training step: forward, backward, update. With a stream (of a GPU) it is captured as a graph, and replayed.

    Warm-up and capture are on the stream, which is not the default one: there nothing can be captured.
    """

    def __init__(
        self,
        model: ConvNet,
        update: Update,
        data: Loader,
        autocast: bool,
        stream: torch.cuda.Stream | None,
        dominance: Dominance | None = None,
    ) -> None:
        self.model, self.update, self.data, self.stream = model, update, data, stream
        self.dominance = dominance  # None: it is not counted
        self.reduced = torch.autocast(model.convs[0].weight.device.type, torch.bfloat16, enabled=autocast)
        self.done = 0
        self.graph: torch.cuda.CUDAGraph | None = None

    def compute(self) -> Tensor:
        """The step itself, on the batch that is loaded; gives its loss."""
        self.update.zero_grad()
        images, labels = self.data.batch()
        with self.reduced:
            loss = F.cross_entropy(self.model(images), labels)
        loss.backward()
        if self.dominance:
            self.dominance.count()
        self.update.step()
        return loss.detach()

    def start_phase(self, phase: int) -> None:
        """Set the learning rates. A graph has them inside, so that another one is captured."""
        self.update.start_phase(phase)
        self.graph = None

    def __call__(self) -> Tensor:
        self.done += 1
        if self.stream is None or self.done <= WARM_UP:
            return self.compute()
        if self.graph is None:
            self.graph = torch.cuda.CUDAGraph()
            # Only this thread's calls can break the capture: a loader's thread pins memory meanwhile.
            with torch.cuda.graph(self.graph, stream=self.stream, capture_error_mode="thread_local"):
                self.loss = self.compute()
        self.graph.replay()
        return self.loss


class Training:
    """A training as it stands after `step` steps, with everything that decides how it goes on.

    The seed decides initial weights, data order and flips, so equal seeds of different specs start alike and see the
    same batches. The same spec, seed, data and machine give the same weights, bit for bit, in one go or in several,
    alone or in turns with others. Raises UserError if the data do not fit the spec, or the precision the device.
    """

    def __init__(
        self,
        spec: Spec,
        seed: int,
        data: Prepared,
        device: torch.device,
        history_points: int,
        precision: str = "float32",
    ) -> None:
        count = len(data.labels["train"])
        if spec.batch_size > count:
            raise UserError(f"the mini-batch of {spec.batch_size} is more than the {count} images of {data.name}")
        check_precision(precision, device)
        self.spec, self.seed, self.precision = spec, seed, precision
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        torch.manual_seed(seed)
        self.model = build(spec, data.channels, data.side, len(data.classes)).to(device)
        self.generator = torch.Generator().manual_seed(seed)
        self.before_epoch = self.generator.get_state()  # of the epoch that is under way
        self.images = open_loader(data, "train", device, spec.flip)
        self.tests = open_loader(data, "test", device, flip=False)
        self.update = Update(spec, param_groups(spec, self.model))
        autocast, counted = PRECISIONS[precision].autocast, dominance(spec, self.model)
        self.one_step = Step(self.model, self.update, self.images, autocast, self.stream, counted)
        self.per_epoch = count // spec.batch_size
        self.losses = torch.zeros(self.per_epoch, device=device)  # of the epoch that is under way
        self.phase_starts = [0, *itertools.accumulate(spec.phase_steps)][:-1]
        self.keep_at = {round(spec.steps * i / history_points) for i in range(history_points + 1)}
        self.step = self.phase = 0
        self.history: list[Epoch] = []
        self.scales = ScaleHistory()
        self.scales.append(0, self.model)
        self.early = max(1, round(EARLY * spec.steps))  # when start-up health is looked at, and once more at the end
        self.silent: list[dict[str, float]] = []  # of `health.silent`: early, and at the end

    @property
    def epochs(self) -> int:
        return math.ceil(self.spec.steps / self.per_epoch)

    def run(
        self,
        report: Callable[[Epoch, int], None] = lambda epoch, epochs: None,
        pause: Callable[[], None] = lambda: None,
    ) -> None:
        """Train to the end. `report` gets every epoch and their number; `pause` is called between steps, and may raise.

        Raises UserError if the loss is not finite.
        """
        for turn in self.turns():
            if isinstance(turn, Epoch):
                report(turn, self.epochs)
            if turn is not Turn.WAITING:
                pause()

    def turns(self) -> Iterator[Epoch | Turn]:
        """Train to the end, a step at each `next`: several trainings can take turns on a device (see `together`).

        Gives each epoch when it is complete. Raises UserError if the loss is not finite.
        """
        if self.stream is not None:  # the network was built, or restored, on the default stream
            self.stream.wait_stream(torch.cuda.default_stream(self.losses.device))
        work = self._work()
        while True:
            with self.on_device():  # not while others have their turns
                turn = next(work, None)
            if turn is None:
                return
            yield turn

    @contextmanager
    def on_device(self) -> Iterator[None]:
        """The device set as this training uses it: its precision and, on a GPU, its stream."""
        set_precision(self.precision)
        with nullcontext() if self.stream is None else torch.cuda.stream(self.stream):
            yield

    def _work(self) -> Iterator[Epoch | Turn]:
        while self.step < self.spec.steps:
            if self.step % self.per_epoch == 0:
                self.before_epoch = self.generator.get_state()
            yield from self._rest_of_epoch()

    def _rest_of_epoch(self) -> Iterator[Epoch | Turn]:
        """The steps of an epoch that are still to be made, and its evaluation.

        On a GPU they are only queued, and nothing is read back before the epoch ends: while one training's numbers are
        waited for, nothing can be queued for the others. The two looks at start-up health are the exception.
        """
        number, first = divmod(self.step, self.per_epoch)
        last = min(self.per_epoch, self.spec.steps - number * self.per_epoch)
        self.generator.set_state(self.before_epoch)
        self.images.shuffle(self.spec.batch_size, self.generator, first)
        for i in range(first, last):
            phase = bisect_right(self.phase_starts, self.step) - 1
            if phase != self.phase:
                self.one_step.start_phase(phase)
                self.phase = phase
            self.images.load(i)
            self.losses[i] = self.one_step()
            self.step += 1
            if self.step in self.keep_at:
                self.scales.append(self.step, self.model)
            if self.step in (self.early, self.spec.steps):
                self.silent.append({"step": self.step, **silent(self.model, self.images.sample(SAMPLE))})
            if i + 1 < last:
                yield Turn.STEP
        self.model.count_batches(self.step)
        numbers = torch.cat([self.losses[:last].mean().double()[None], evaluation(self.model, self.tests)])
        train_loss, test_loss, test_error = yield from self._read(numbers)
        if not (math.isfinite(train_loss) and math.isfinite(test_loss)):
            raise UserError(
                f"{self.spec.id}, seed {self.seed}: the training diverged in epoch {number + 1}: the loss is not finite"
            )
        self.history.append(Epoch(number + 1, self.step, self.update.factor, train_loss, test_loss, test_error))
        yield self.history[-1]

    def _read(self, numbers: Tensor) -> Generator[Turn, None, list[float]]:
        """Numbers on the device, read when they are there; until then others have their turns."""
        if self.stream is not None:
            computed = self.stream.record_event()
            while not computed.query():
                yield Turn.WAITING
        return numbers.tolist()

    def histories(self) -> dict[str, Tensor]:
        """Of every layer gammas and betas (points, filters), and how often L2 dominated (filters,) where that is known.

        See `ScaleHistory.tensors` and `Dominance.shares`; they are on the CPU.
        """
        counted = self.one_step.dominance
        shares = counted.shares(self.step) if counted else {}
        return self.scales.tensors(self.spec.network.layers) | shares

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All that decides how it goes on, as tensors on the CPU and as JSON. Not while the training is WAITING."""
        within = self.step % self.per_epoch
        with self.on_device():  # behind the steps that are queued there
            self.model.count_batches(self.step)
            tensors = {
                **{f"model.{key}": value for key, value in self.model.state_dict().items()},
                **{f"optimizer.{key}": value for key, value in self.update.state().items()},
                **{f"affine.{key}": value for key, value in self.scales.tensors(self.spec.network.layers).items()},
                "generator": self.before_epoch if within else self.generator.get_state(),
                "losses": self.losses[:within],
            }
            if self.one_step.dominance:
                tensors["l2_dominates"] = self.one_step.dominance.steps
            tensors = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
        return tensors, {"step": self.step, "history": [vars(epoch) for epoch in self.history], "silent": self.silent}

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """The inverse of `state`. Of a state of an earlier version, which did not count, nothing is counted either."""

        def part(name: str) -> dict[str, Tensor]:
            return {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}

        self.step, self.history = facts["step"], [Epoch(**epoch) for epoch in facts["history"]]
        self.silent = facts["silent"]
        self.model.load_state_dict(part("model"))
        self.update.restore(part("optimizer"))
        self.scales = ScaleHistory.from_tensors(part("affine"), self.spec.network.layers)
        self.before_epoch = tensors["generator"]
        self.generator.set_state(self.before_epoch)
        self.losses[: len(tensors["losses"])] = tensors["losses"]
        if "l2_dominates" not in tensors:
            self.one_step.dominance = None
        elif self.one_step.dominance:
            self.one_step.dominance.steps.copy_(tensors["l2_dominates"])


def train(
    spec: Spec,
    seed: int,
    data: Prepared,
    device: torch.device,
    history_points: int,
    report: Callable[[Epoch, int], None] = lambda epoch, epochs: None,
) -> tuple[ConvNet, list[Epoch], ScaleHistory]:
    """Train a network in one go."""
    training = Training(spec, seed, data, device, history_points)
    training.run(report)
    return training.model, training.history, training.scales
