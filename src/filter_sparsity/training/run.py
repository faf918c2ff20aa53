"""A run: one spec trained once with one seed, what it writes, when it stops, and the lines a person watches."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from .. import provenance
from ..data.prepared import Prepared
from ..errors import Unfinished, UserError
from ..files import write_bytes, write_text
from ..paths import TRAINED
from ..records import record
from ..spec import Spec
from .checkpoint import Checkpoints
from .loop import Epoch, Training, Turn
from .together import take_turns
from .torch_setup import collect_provenance, machine, tf32_switches

CONSOLE_SECONDS = 10.0  # between lines on a console that is not a terminal
CHECKPOINT_SHARE = 0.005  # of the time is what checkpoints may take


class Checkpointer:
    """Called between steps: writes a checkpoint now and then, and ends the call with one when it is to stop.

    `stop` says why, or is empty. Checkpoints come `every` so many seconds, and seldom enough to cost next to nothing,
    though each holds up the `together` trainings of the process.
    """

    def __init__(
        self,
        training: Training,
        checkpoints: Checkpoints,
        every: float,
        stop: Callable[[], str],
        together: int = 1,
    ) -> None:
        self.training, self.checkpoints, self.every, self.stop = training, checkpoints, every, stop
        self.together = together
        self.began = self.last = time.monotonic()
        self.before = 0.0  # seconds of earlier calls
        self.cost = 0.0  # of a checkpoint, in seconds
        self.machine = machine(training.losses.device)
        if found := checkpoints.newest():
            tensors, facts = found
            training.restore(tensors, facts)
            self.before = facts["seconds"]
            if (other := facts.get("machine", self.machine)) != self.machine:  # older checkpoints do not say
                checkpoints.say(
                    f"begun on {_described(other)}, goes on on {_described(self.machine)}: "
                    "the result can differ in rounding from that of one machine"
                )

    @property
    def seconds(self) -> float:
        return self.before + time.monotonic() - self.began

    def __call__(self) -> None:
        why = self.stop()
        if why or time.monotonic() - self.last >= max(self.every, self.together * self.cost / CHECKPOINT_SHARE):
            self.write()
        if why:
            spec, step = self.training.spec, self.training.step
            raise Unfinished(
                f"{spec.id} seed {self.training.seed}: stopped at step {step:,} of {spec.steps:,} ({why}); "
                "the same call goes on from there"
            )

    def write(self) -> None:
        began = time.monotonic()
        tensors, facts = self.training.state()
        self.checkpoints.save(self.training.step, tensors, {**facts, "seconds": self.seconds, "machine": self.machine})
        self.last = time.monotonic()
        self.cost = self.last - began


def _described(machine: dict[str, str]) -> str:
    """A machine in a line: `NVIDIA H100, torch 2.11.0, cudnn 91002`."""
    return ", ".join([machine["device"], *(f"{k} {v}" for k, v in machine.items() if k != "device")])


@dataclass(frozen=True)
class Settings:
    """How a call trains. Device and precision decide the rounding of what comes out, all else nothing."""

    device: torch.device
    history_points: int = 100
    precision: str = "float32"  # one of `torch_setup.PRECISIONS`
    checkpoint_seconds: float = 60.0
    stop: Callable[[], str] = lambda: ""
    together: int = 1  # how many trainings take turns


def train_run(
    spec: Spec, seed: int, data: Prepared, folder: Path, checkpoints: Path, settings: Settings
) -> Checkpoints:
    """Train and write a run alone, in one go, as `training_turns` does."""
    [ended] = take_turns([training_turns(spec, seed, data, folder, checkpoints, settings)], together=1)
    if ended.error:
        raise ended.error
    assert ended.result
    return ended.result


def training_turns(
    spec: Spec, seed: int, data: Prepared, folder: Path, checkpoints: Path, settings: Settings
) -> Generator[None, None, Checkpoints]:
    """Train, a step at each `next` (see `together.take_turns`), and write the run's folder.

    It holds weights, histories of losses and of gammas and betas, start-up health, and where they come from. Nothing is
    written unless the training is whole. It goes on from the newest checkpoint; the generator returns the checkpoints
    with the last one still there, for the caller to clear, who knows when nothing can be lost any more. Raises
    UserError if the training diverges, Unfinished if it was to stop.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{spec.id} seed {seed}"
    identity = {"spec": spec.to_dict(), "seed": seed, "data_digest": data.digest}
    identity |= {"history_points": settings.history_points, "precision": settings.precision}
    with (folder / "train.log").open("w", buffering=1, encoding="utf-8") as log:

        def say(line: str) -> None:
            print(line, file=log)
            print(f"{name}  {line}", file=sys.stderr, flush=True)

        kept = Checkpoints(checkpoints, identity, say)
        with kept.locked() as waited:
            if waited and is_trained(folder, spec, seed, data):
                say("the other process has trained it")
                return kept
            origin = collect_provenance(settings.device)  # whatever fails here fails before hours of training
            print(f"device {settings.device.type}: {_described(machine(settings.device))}", file=log)
            training = Training(spec, seed, data, settings.device, settings.history_points, settings.precision)
            checkpointer = Checkpointer(training, kept, settings.checkpoint_seconds, settings.stop, settings.together)
            progress = Progress(name, log, in_place=sys.stderr.isatty() and settings.together == 1)
            for epoch in training.history:
                progress.recall(epoch, training.epochs)
            if training.step:
                say(f"goes on from step {training.step:,} of {spec.steps:,}")
            for turn in _logged(training.turns(), log):
                if isinstance(turn, Epoch):
                    progress(turn, training.epochs)
                if turn is not Turn.WAITING:
                    checkpointer()
                yield
            _write(folder, training, data, settings, origin, checkpointer.seconds)
            if checkpointer.seconds >= settings.checkpoint_seconds:  # else training it again costs no more
                checkpointer.write()
    return kept


def _logged(turns: Iterator[Epoch | Turn], log: io.TextIOBase | io.TextIOWrapper) -> Iterator[Epoch | Turn]:
    """The turns of a training; an error that ends them is in its log, too, which Snakemake shows."""
    try:
        yield from turns
    except UserError as error:
        print(f"error: {error}", file=log)
        raise


def is_trained(folder: Path, spec: Spec, seed: int, data: Prepared) -> bool:
    """Whether a run's folder holds all that a training of this spec and seed on these data writes."""
    try:
        origin = record.read_provenance(folder / TRAINED[-1], spec.id, seed)  # it is written last
    except UserError:
        return False
    # Snakemake may have deleted what lay there before the other process wrote the last of it.
    return origin.get("data_digest") == data.digest and all((folder / name).exists() for name in TRAINED)


def _write(
    folder: Path,
    training: Training,
    data: Prepared,
    settings: Settings,
    origin: dict[str, Any],
    seconds: float,
) -> None:
    spec = training.spec
    identity = {"run": f"{spec.id} seed {training.seed}"}  # one entry: safetensors writes several in random order
    state = {key: value.detach().cpu().contiguous() for key, value in training.model.state_dict().items()}
    origin = origin | {
        "date": provenance.now(),
        "spec_id": spec.id,
        "seed": training.seed,
        "spec": spec.to_dict(),
        "dataset": data.name,
        "data_digest": data.digest,
        "precision": settings.precision,
        "trained_together": settings.together,
        "wall_seconds": round(seconds, 2),
    }
    with training.on_device():
        origin["tf32"] = tf32_switches()
    weights, kept, losses, silent, source = (folder / name for name in TRAINED)
    write_bytes(weights, save(state, identity))
    write_bytes(kept, save(training.histories(), identity))
    write_text(losses, record.as_csv([vars(epoch) for epoch in training.history]))
    write_text(silent, record.as_csv(training.silent))
    origin["files_digest"] = record.files_digest(folder)
    write_text(source, json.dumps(origin, indent=1) + "\n")


class Progress:
    """A line per epoch in the run's log; on the console the same line, in place or now and then."""

    def __init__(self, name: str, log: io.TextIOBase | io.TextIOWrapper, in_place: bool = False) -> None:
        self.name, self.log, self.in_place = name, log, in_place
        self.began = self.last = time.monotonic()
        self.recalled = 0  # epochs of earlier calls

    def recall(self, epoch: Epoch, epochs: int) -> None:
        """Write the line of an epoch of an earlier call."""
        print(self.line(epoch, epochs), file=self.log)
        self.recalled = epoch.epoch

    def line(self, epoch: Epoch, epochs: int) -> str:
        return (
            f"epoch {epoch.epoch:>{len(str(epochs))}}/{epochs}  train loss {epoch.train_loss:.4f}  "
            f"test loss {epoch.test_loss:.4f}  test error {100 * epoch.test_error:.1f} %"
        )

    def __call__(self, epoch: Epoch, epochs: int) -> None:
        now = time.monotonic()
        left = (now - self.began) / (epoch.epoch - self.recalled) * (epochs - epoch.epoch)
        line = f"{self.line(epoch, epochs)}  {clock(left)} left"
        print(line, file=self.log)
        done = epoch.epoch == epochs
        if self.in_place:
            print(f"\r{self.name}  {line}", end="\n" if done else "", file=sys.stderr, flush=True)
        elif done or now - self.last >= CONSOLE_SECONDS:
            print(f"{self.name}  {line}", file=sys.stderr, flush=True)
            self.last = now


def clock(seconds: float) -> str:
    """3725 s is 1:02:05; 65 s is 1:05."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
