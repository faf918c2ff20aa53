"""How fast a training goes: this engine against the loop people would otherwise write, alternating in one run.

    make bench                                       # or python benchmarks/training.py [--widths 1 0.125] [--seconds 4]
    python benchmarks/training.py --widths 1 --minutes 3 --precision tf32             # on a GPU, within four minutes

The plain loop is what the well-known pruning repositories do: a DataLoader with a transform of each PIL image, float32,
torch's optimizer as it comes. Network, data (CIFAR's shape, random pixels), mini-batch and optimizer (Adam with L2) are
the same. Each gets the same cores: the plain loop as threads of one process, the engine as processes of one thread,
which is how the workflow runs it; on a GPU also as trainings that take turns in one process, a stream each. All have
the command line's settings of torch, and the precision asked for. They take turns, so that a noisy machine is noisy for
both. Writes benchmarks/training.json after each turn (of a GPU, training-<its name>-<precision>.json), and at the end,
on a processor, the table in docs/training.md. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
IMAGES, BATCH = 5000, 40
Steps = Callable[..., Iterator[None]]  # takes a training's step at each `next`
BEGIN, END = "<!-- benchmark: written by make bench -->\n", "<!-- end of benchmark -->\n"


def setting(width: float) -> tuple[Any, Any]:
    """BasicNet with Adam and L2 as published but for its width, and data of CIFAR-10's shape."""
    import numpy as np

    from filter_sparsity.data.prepared import PreparedArrays
    from filter_sparsity.planning.build import anchor_paths, build_plan, merge
    from filter_sparsity.planning.validation import read_yaml

    settings = merge(read_yaml(ROOT / "config/config.yaml"), read_yaml(ROOT / "config/scales/paper.yaml"))
    settings = anchor_paths(settings, ROOT) | {"width": width}
    spec = next(iter(build_plan(settings).specs.values()))
    chance = np.random.default_rng(0)
    pixels = chance.integers(0, 256, (IMAGES, 3, 32, 32), dtype=np.uint8)
    labels = chance.integers(0, 10, IMAGES)
    half = (0.5, 0.5, 0.5)
    images, classes = (dict.fromkeys(("train", "test"), each) for each in (pixels, labels))
    data = PreparedArrays("random", tuple("0123456789"), half, half, "", classes, 3, 32, images)
    return replace(spec, phase_steps=(10**9,)), data


def engine(width: float, device: str, precision: str, together: int = 1) -> Iterator[None]:
    """A step of one of `together` trainings, in turn, at each `next`, without evaluation."""
    import torch

    from filter_sparsity.training.loop import Training

    spec, data = setting(width)
    trainings = [Training(spec, seed, data, torch.device(device), 1, precision) for seed in range(together)]
    if device == "cuda":
        torch.cuda.synchronize()  # they were built on another stream than they train on
    while True:
        for training in trainings:
            training.images.shuffle(spec.batch_size, training.generator)
        for i in range(trainings[0].per_epoch):
            for training in trainings:
                with training.on_device():
                    training.images.load(i)
                    training.one_step()
                yield


class Pictures:
    """A dataset as torchvision has them: a PIL image, transformed, and its label."""

    def __init__(self, data: Any, change: Callable[..., Any]) -> None:
        self.pixels, self.labels, self.change = data.images["train"], data.labels["train"], change

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[Any, int]:
        from PIL import Image

        return self.change(Image.fromarray(self.pixels[i].transpose(1, 2, 0))), int(self.labels[i])


def plain(width: float, device: str, workers: int) -> Iterator[None]:
    """The same training as people write it."""
    import torch
    from torch.nn import functional as F

    from filter_sparsity.data.torchvision_cpu import torchvision

    torchvision()
    from torchvision import transforms

    spec, data = setting(width)
    change = transforms.Compose(
        [transforms.RandomHorizontalFlip(), transforms.ToTensor(), transforms.Normalize(data.mean, data.deviation)]
    )

    layers: list[torch.nn.Module] = []
    channels = 3
    for i, (filters, kernel) in enumerate(zip(spec.network.filters, spec.network.kernels, strict=True), start=1):
        layers += [torch.nn.Conv2d(channels, filters, kernel, padding=kernel // 2, bias=False)]
        layers += [torch.nn.BatchNorm2d(filters), torch.nn.ReLU()]
        layers += [torch.nn.AvgPool2d(2)] if i in spec.network.pool_after else []
        channels = filters
    layers += [torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(channels, 256)]
    layers += [torch.nn.BatchNorm1d(256), torch.nn.ReLU(), torch.nn.Linear(256, 10)]
    model = torch.nn.Sequential(*layers).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=1e-3)
    loader = torch.utils.data.DataLoader(
        Pictures(data, change),
        BATCH,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        multiprocessing_context="fork" if workers else None,
    )
    while True:
        for images, labels in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images.to(device)), labels.to(device))
            loss.backward()
            optimizer.step()
            loss.item()  # they print it, or average it
            yield


def worker(
    pipe: Any,
    make: Callable[..., Iterator[None]],
    threads: int,
    device: str,
    precision: str,
    arguments: tuple[Any, ...],
) -> None:
    """Take steps for as long as each message says; answer with steps, seconds and peak memory. Ends with the pipe."""
    from filter_sparsity.training.torch_setup import select_device, set_precision

    select_device(device, threads)  # before anything else imports torch
    set_precision(precision)
    import torch

    steps = make(*arguments)
    for _ in range(40):  # warm-up and capture, of as many trainings as there are
        next(steps)
    with contextlib.suppress(EOFError, BrokenPipeError):  # the benchmark has ended, or was killed
        pipe.send("ready")
        while True:
            seconds = pipe.recv()
            began, done = time.perf_counter(), 0
            while time.perf_counter() - began < seconds:
                next(steps)
                done += 1
            if device == "cuda":
                torch.cuda.synchronize()
            pipe.send((done, time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


class Group:
    """Processes that work at the same time."""

    def __init__(
        self,
        count: int,
        make: Callable[..., Iterator[None]],
        threads: int,
        device: str,
        precision: str,
        *arguments: Any,
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipes = []
        for _ in range(count):
            ours, theirs = context.Pipe()
            context.Process(target=worker, args=(theirs, make, threads, device, precision, arguments)).start()
            theirs.close()  # so that a worker that fails is noticed
            self.pipes.append(ours)
        self.rates: list[float] = []  # images per second of all together, a turn each
        self.memory = 0.0

    def wait(self) -> None:
        """Until all are ready."""
        for pipe in self.pipes:
            pipe.recv()

    def turn(self, seconds: float) -> None:
        for pipe in self.pipes:
            pipe.send(seconds)
        answers = [pipe.recv() for pipe in self.pipes]
        self.rates.append(sum(BATCH * done / taken for done, taken, _ in answers))
        self.memory = max(memory for *_, memory in answers)

    def close(self) -> None:
        for pipe in self.pipes:
            pipe.close()


def peak(device: str, precision: str, threads: int) -> float:
    """FLOP per second of a matrix product in a precision."""
    import torch

    from filter_sparsity.training.torch_setup import PRECISIONS, select_device, set_precision

    select_device(device, threads)
    set_precision(precision)
    size = 8192 if device == "cuda" else 1024
    a = torch.randn(
        size, size, device=device, dtype=torch.bfloat16 if PRECISIONS[precision].autocast else torch.float32
    )
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(5):
            a @ a
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, (time.perf_counter() - began) / 5)
    return 2 * size**3 / best


def flop(width: float) -> int:
    """Floating-point operations of a training step, as torch counts them."""
    import torch
    from torch.nn import functional as F
    from torch.utils.flop_counter import FlopCounterMode

    from filter_sparsity.training.models import build

    spec, _ = setting(width)
    model = build(spec, 3, 32, 10)
    with FlopCounterMode(display=False) as counter:
        F.cross_entropy(model(torch.zeros(BATCH, 3, 32, 32)), torch.zeros(BATCH, dtype=torch.int64)).backward()
    return counter.get_total_flops()


def checkpoint_seconds(width: float, folder: Path) -> float:
    import torch

    from filter_sparsity.training.checkpoint import Checkpoints
    from filter_sparsity.training.loop import Training
    from filter_sparsity.training.run import Checkpointer

    spec, data = setting(width)
    training = Training(spec, 0, data, torch.device("cpu"), 100)
    training.images.shuffle(BATCH, training.generator)
    training.images.load(0)
    training.one_step()
    checkpointer = Checkpointer(training, Checkpoints(folder, {}, print), 0, lambda: "")
    checkpointer.write()
    checkpointer.write()
    return checkpointer.cost


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def measure(
    width: float, device: str, precision: str, turns: int, seconds: float, end: float
) -> Iterator[dict[str, Any]]:
    """What is known after each turn, until time `end` is reached."""
    import tempfile

    cores = len(os.sched_getaffinity(0))
    several = cores if device == "cpu" else 4
    work = flop(width) / BATCH
    peaks = {threads: peak(device, precision, threads) for threads in (1, cores)}
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = checkpoint_seconds(width, Path(folder))
    with contextlib.ExitStack() as stack:

        def start(count: int, make: Steps, threads: int, *arguments: Any) -> Group:
            group = stack.enter_context(contextlib.closing(Group(count, make, threads, device, precision, *arguments)))
            group.wait()
            return group

        groups = {
            "plain, one core": start(1, plain, 1, width, device, 0),
            "plain, all cores": start(1, plain, cores, width, device, cores),
            "engine, one job": start(1, engine, 1, width, device, precision),
            f"engine, {several} jobs": start(several, engine, 1, width, device, precision),
        }
        alone, crowd, one, many = groups.values()
        for together in (2, 4, 8) if device == "cuda" else ():
            groups[f"engine, {together} in turns"] = start(1, engine, 1, width, device, precision, together)
        for _ in range(turns):
            for group in groups.values():
                group.turn(seconds)
            best = [max(pair) for pair in zip(alone.rates, crowd.rates, strict=True)]  # what suits plain better
            yield {
                "width": width,
                "turns": len(best),
                "images per second": {name: spread(group.rates) for name, group in groups.items()},
                "ratio, one core": spread([b / a for a, b in zip(alone.rates, one.rates, strict=True)]),
                "ratio, all cores": spread([b / a for a, b in zip(best, many.rates, strict=True)]),
                "jobs": several,
                "growth": statistics.median(many.rates) / statistics.median(one.rates),
                "share of peak": statistics.median(many.rates) * work / peaks[cores],
                "peak, GFLOP/s": {str(threads): value / 1e9 for threads, value in peaks.items()},
                "MFLOP per image": work / 1e6,
                "peak memory of a job, MB": {name: round(group.memory) for name, group in groups.items()},
                "seconds per checkpoint": checkpoint,
            }
            if time.monotonic() > end:
                return


def table(result: dict[str, Any]) -> str:
    """The table of docs/training.md."""
    startup = json.loads((ROOT / "benchmarks/startup.json").read_text())["seconds"]["train"]
    lines = [
        f"On {result['device']}, {result['cores']} cores, {result['precision']}, torch {result['torch']}; medians of "
        f"{result['turns']} turns, in brackets the least and the most:",
        "",
        "| width | plain loop, images/s | engine, images/s | speed-up, all cores | one core | of the processor's peak "
        "| memory of a job |",
        "|---|---|---|---|---|---|---|",
    ]
    for each in result["widths"]:
        rates = each["images per second"]
        theirs = max(rates["plain, one core"]["median"], rates["plain, all cores"]["median"])
        ours = rates[f"engine, {each['jobs']} jobs"]["median"]
        all_cores, one = each["ratio, all cores"], each["ratio, one core"]
        memory = each["peak memory of a job, MB"][f"engine, {each['jobs']} jobs"]
        lines.append(
            f"| {each['width']:g} | {theirs:,.0f} | {ours:,.0f} "
            f"| {all_cores['median']:.2f} ({all_cores['least']:.2f}-{all_cores['most']:.2f}) "
            f"| {one['median']:.2f} ({one['least']:.2f}-{one['most']:.2f}) "
            f"| {100 * each['share of peak']:.0f} % | {memory:,} MB |"
        )
    grows = ", ".join(f"{each['growth']:.2f} times at width {each['width']:g}" for each in result["widths"])
    costs = ", ".join(f"{each['seconds per checkpoint']:.2f} s at width {each['width']:g}" for each in result["widths"])
    lines += [
        "",
        f"{result['widths'][0]['jobs']} jobs at a time are faster than one: {grows}. "
        f"A job takes {startup:.1f} s to start. "
        f"A checkpoint takes {costs}, and comes seldom enough to cost at most 0.5 % of the time.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--widths", type=float, nargs="+", default=[1, 0.25, 0.125])
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--precision", choices=["float32", "tf32", "bfloat16"], default="float32")
    parser.add_argument("--minutes", type=float, help="after which the turn under way is the last one")
    args = parser.parse_args()
    end = time.monotonic() + 60 * (args.minutes or float("inf"))
    from filter_sparsity.training.torch_setup import check_precision, collect_provenance, select_device, tf32_switches

    device = select_device("auto", 1)  # before anything else imports torch
    import torch

    check_precision(args.precision, device)
    origin = collect_provenance(device)
    name = "training" if device.type == "cpu" else f"training-{origin['device'].replace(' ', '-')}-{args.precision}"
    out = ROOT / f"benchmarks/{name}.json"
    measured: list[dict[str, Any]] = []
    result = {
        "device": origin["device"],
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.platform(),
        "torch": torch.__version__,
        "versions": origin["versions"],
        "commit": origin["commit"],
        "date": origin["date"],
        "precision": args.precision,
        "turns": args.turns,
        "widths": measured,
    }
    for width in args.widths:
        for known in measure(width, device.type, args.precision, args.turns, args.seconds, end):
            result["tf32"] = tf32_switches()  # set for the peak
            measured[:] = [each for each in measured if each["width"] != width] + [known]
            out.write_text(json.dumps(result, indent=1) + "\n")
        if time.monotonic() > end:
            break
    print(table(result))
    if device.type == "cpu":
        page = ROOT / "docs/training.md"
        before, _, rest = page.read_text().partition(BEGIN)
        _, _, after = rest.partition(END)
        page.write_text(before + BEGIN + "\n" + table(result) + "\n" + END + after)


if __name__ == "__main__":
    main()
