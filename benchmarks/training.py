"""How fast a training goes: this engine against the loop people would otherwise write, alternating in one run.

    make bench                                       # or python benchmarks/training.py [--widths 1 0.125] [--seconds 4]

The plain loop is what the well-known pruning repositories do: a DataLoader with a transform of each PIL image, float32,
torch's optimizer as it comes. Network, data (CIFAR's shape, random pixels), mini-batch and optimizer (Adam with L2) are
the same. Each gets the same cores: the plain loop as threads of one process, the engine as processes of one thread,
which is how the workflow runs it. They take turns, so that a noisy machine is noisy for both. Writes
benchmarks/training.json, and the table in docs/training.md. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
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


def engine(width: float, device: str, precision: str) -> Iterator[None]:
    """A step at each `next`."""
    import torch

    from filter_sparsity.training.loop import Training

    spec, data = setting(width)
    training = Training(spec, 0, data, torch.device(device), 1, precision)
    while True:
        training.images.shuffle(spec.batch_size, training.generator)
        for i in range(training.per_epoch):
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
        layers += [torch.nn.MaxPool2d(2)] if i in spec.network.pool_after else []
        channels = filters
    layers += [torch.nn.Flatten(), torch.nn.Linear(channels * 4, 256), torch.nn.ReLU(), torch.nn.Linear(256, 10)]
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


def worker(pipe: Any, make: Callable[..., Iterator[None]], threads: int, arguments: tuple[Any, ...]) -> None:
    """Take steps for as long as each message says; answer with steps, seconds and peak memory."""
    import torch

    torch.set_flush_denormal(True)
    torch.set_num_threads(threads)
    steps = make(*arguments)
    for _ in range(5):
        next(steps)
    pipe.send("ready")
    while seconds := pipe.recv():
        began, done = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            next(steps)
            done += 1
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        pipe.send((done, time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


class Group:
    """Processes that work at the same time."""

    def __init__(self, count: int, make: Callable[..., Iterator[None]], threads: int, *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipes = []
        for _ in range(count):
            ours, theirs = context.Pipe()
            context.Process(target=worker, args=(theirs, make, threads, arguments)).start()
            theirs.close()  # so that a worker that fails is noticed
            self.pipes.append(ours)
        for pipe in self.pipes:
            pipe.recv()
        self.rates: list[float] = []  # images per second of all together, a turn each
        self.memory = 0.0

    def turn(self, seconds: float) -> None:
        for pipe in self.pipes:
            pipe.send(seconds)
        answers = [pipe.recv() for pipe in self.pipes]
        self.rates.append(sum(BATCH * done / taken for done, taken, _ in answers))
        self.memory = max(memory for *_, memory in answers)

    def end(self) -> None:
        for pipe in self.pipes:
            pipe.send(0)


def peak(device: str, precision: str, threads: int) -> float:
    """FLOP per second of a matrix product."""
    import torch

    torch.set_num_threads(threads)
    size = 8192 if device == "cuda" else 1024
    a = torch.randn(size, size, device=device, dtype=getattr(torch, precision))
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


def measure(width: float, device: str, precision: str, turns: int, seconds: float) -> dict[str, Any]:
    import tempfile

    cores = len(os.sched_getaffinity(0))
    several = cores if device == "cpu" else 4
    groups = {
        "plain, one core": Group(1, plain, 1, width, device, 0),
        "plain, all cores": Group(1, plain, cores, width, device, cores),
        "engine, one job": Group(1, engine, 1, width, device, precision),
        f"engine, {several} jobs": Group(several, engine, 1, width, device, precision),
    }
    for _ in range(turns):
        for group in groups.values():
            group.turn(seconds)
    for group in groups.values():
        group.end()
    alone, crowd, one, many = groups.values()
    best = [max(pair) for pair in zip(alone.rates, crowd.rates, strict=True)]  # what suits the plain loop better
    work = flop(width) / BATCH
    peaks = {threads: peak(device, precision, threads) for threads in (1, cores)}
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = checkpoint_seconds(width, Path(folder))
    return {
        "width": width,
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
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    args = parser.parse_args()
    import torch

    from filter_sparsity.training.torch_setup import collect_provenance

    device = "cuda" if torch.cuda.is_available() else "cpu"
    origin = collect_provenance(torch.device(device))
    result = {
        "device": origin["device"],
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.platform(),
        "torch": torch.__version__,
        "commit": origin["commit"],
        "date": origin["date"],
        "precision": args.precision,
        "turns": args.turns,
        "widths": [measure(width, device, args.precision, args.turns, args.seconds) for width in args.widths],
    }
    name = "training" if device == "cpu" else f"training-{origin['device'].replace(' ', '-')}"
    (ROOT / f"benchmarks/{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    print(table(result))
    if device == "cpu":
        page = ROOT / "docs/training.md"
        before, _, rest = page.read_text().partition(BEGIN)
        _, _, after = rest.partition(END)
        page.write_text(before + BEGIN + "\n" + table(result) + "\n" + END + after)


if __name__ == "__main__":
    main()
