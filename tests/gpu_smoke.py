"""Whether a GPU trains what the code says, in under three minutes, before hours are spent on it.

    make gpu-smoke        # or: PYTHONPATH=src python tests/gpu_smoke.py

It needs a checkout, Python 3.11 or newer, torch, numpy, safetensors and pandas: it makes its own data and plan.
`--device cpu` rehearses all but what only a GPU can show. pytest calls the same checks: test_gpu_smoke.py.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src"
sys.path.insert(0, str(SOURCE))

from filter_sparsity.training.torch_setup import machine, select_device  # noqa: E402 (torch is set before it computes)

OPTIMIZERS: dict[str, dict] = {
    "sgd": {"algorithm": "SGD", "rate": 0.1, "hyperparameters": {"momentum": 0.9}},
    "adam": {"algorithm": "Adam", "rate": 1e-3, "hyperparameters": {"betas": [0.9, 0.99]}},
    "amsgrad": {"algorithm": "Adam", "rate": 1e-3, "hyperparameters": {"betas": [0.9, 0.99], "amsgrad": True}},
    "adagrad": {"algorithm": "Adagrad", "rate": 1e-2, "hyperparameters": {}},
    "adadelta": {"algorithm": "Adadelta", "rate": 1.0, "hyperparameters": {}},
    "rmsprop": {"algorithm": "RMSprop", "rate": 1e-3, "hyperparameters": {}},
    "adamax": {"algorithm": "Adamax", "rate": 2e-3, "hyperparameters": {}},
}
BATCH, PER_EPOCH = 40, 10
PHASES = (25, 25)  # steps: five epochs, the second phase begins in the middle of the third
IMAGES = {"train": BATCH * PER_EPOCH, "test": 50}
FILTERS = (64, 128, 128, 256, 256, 512, 512)
SIZES = {"cuda": (1, 32), "cpu": (16, 8)}  # divisor of the width, side of the images: as published on a GPU
FIRST_STEPS = 5  # held against the CPU
FIRST_LOSS, FIRST_LOSSES = 1e-5, 1e-3  # relative differences allowed: rounding, and what it grows to. TF32 is coarser


class Failed(Exception):
    """A check that does not hold. Its text says what differs."""


def make_spec(device: str, optimizer: str = "adam", regularizer: str = "l2"):
    """BasicNet: as published on a GPU, whose kernels depend on the shapes, and small on a CPU."""
    from filter_sparsity.spec import Network, Spec

    network = Network(
        name="basicnet",
        filters=tuple(count // SIZES[device][0] for count in FILTERS),
        kernels=(5, 3, 3, 3, 3, 3, 3),
        pool_after=(1, 3, 5),
        conv_bias=False,
        hidden=(256,),
        pool="average",
        hidden_norm=True,
        head_pool="average",
    )
    return Spec(
        dataset="random",
        flip=True,
        network=network,
        negative_slope=0.0,
        gamma_init=1.0,
        beta_init=0.0,
        optimizer=optimizer,
        gamma_rate_scale=1.0,
        beta_rate_scale=1.0,
        regularizer=regularizer,
        strength=1e-3,
        batch_size=BATCH,
        phase_steps=PHASES,
        rate_decay=0.1,
        **OPTIMIZERS[optimizer],
    )


def write_data(path: Path, side: int) -> None:
    """A prepared dataset of random images, told apart by their mean level."""
    import numpy as np

    from filter_sparsity.data import tensorfile

    draw, arrays = np.random.default_rng(0), {}
    for split, count in IMAGES.items():
        labels = np.arange(count, dtype=np.int64) % 10
        pixels = draw.integers(0, 160, (count, 3, side, side)) + 9 * labels[:, None, None, None]
        arrays |= {f"{split}_images": pixels.astype(np.uint8), f"{split}_labels": labels}
    about = {"name": "random", "digest": "random", "classes": list("0123456789")}
    about |= {"mean": [0.45] * 3, "deviation": [0.2] * 3}
    tensorfile.write(path, "prepared", about, arrays)


@dataclass(frozen=True)
class Bench:
    """What the checks share: the device, the data, and a folder to write into."""

    device: object
    data: object
    folder: Path
    kind: str  # of the device for which specs and data are made

    def spec(self, *changes: str):
        return make_spec(self.kind, *changes)

    def training(self, spec, seed: int = 0, precision: str = "float32"):
        from filter_sparsity.training.loop import Training

        return Training(spec, seed, self.data, self.device, 5, precision)

    @property
    def precisions(self) -> list[str]:
        """Those that the device has: TF32 needs a GPU."""
        return ["float32", "tf32", "bfloat16"] if self.device.type == "cuda" else ["float32", "bfloat16"]


def make_bench(device: str, folder: Path) -> Bench:
    from filter_sparsity.data.prepared import read

    path = folder / "random.safetensors"
    write_data(path, SIZES[device][1])
    return Bench(select_device(device, 1), read(path), folder, device)


@contextmanager
def uncaptured() -> Iterator[None]:
    """Trainings in which no step is captured."""
    from filter_sparsity.training import loop

    before, loop.WARM_UP = loop.WARM_UP, 10**9
    try:
        yield
    finally:
        loop.WARM_UP = before


def must_be_equal(one, two) -> None:
    """Raises Failed unless two trainings ended in the same state, bit for bit."""
    import torch

    (tensors, facts), (others, other_facts) = one.state(), two.state()
    if tensors.keys() != others.keys():
        raise Failed(f"other tensors: {sorted(tensors.keys() ^ others.keys())}")
    differing = [name for name, value in tensors.items() if not torch.equal(value, others[name])]
    if differing:
        most = max(float((tensors[n].double() - others[n].double()).abs().max()) for n in differing)
        raise Failed(f"{len(differing)} of {len(tensors)} tensors differ, by {most:.3g} at most: {differing[0]}, ...")
    if facts != other_facts:
        raise Failed("the same weights, but other losses")


def captured_equals_plain(bench: Bench, optimizer: str, regularizer: str, precision: str) -> None:
    """A training whose steps are replayed ends with the bits of one whose steps are not captured."""
    spec = bench.spec(optimizer, regularizer)
    captured, plain = (bench.training(spec, precision=precision) for _ in range(2))
    captured.run()
    if bench.device.type == "cuda" and captured.one_step.graph is None:
        raise Failed("nothing was captured")
    with uncaptured():
        plain.run()
    must_be_equal(captured, plain)


def resumed_equals_whole(bench: Bench, optimizer: str, precision: str) -> None:
    """A training that is interrupted in the middle of an epoch, and goes on elsewhere, ends with the same bits."""
    spec = bench.spec(optimizer)
    whole, begun, resumed = (bench.training(spec, precision=precision) for _ in range(3))
    whole.run()
    for _ in begun.turns():
        if begun.step == PHASES[0] - 2:  # in the middle of the third epoch, near the end of the first phase
            break
    resumed.restore(*begun.state())
    resumed.run()
    must_be_equal(whole, resumed)


def together_equals_alone(bench: Bench, precision: str) -> None:
    """Trainings that take turns, a stream each, end with the bits of trainings one after the other."""
    from filter_sparsity.training.together import take_turns

    jobs = [(bench.spec("adam"), 0), (bench.spec("sgd", "wd"), 1), (bench.spec("adamax"), 2), (bench.spec("adam"), 3)]
    alone, together = ([bench.training(*job, precision=precision) for job in jobs] for _ in range(2))
    for training in alone:
        training.run()
    for ended in take_turns((training.turns() for training in together), len(jobs)):
        if ended.error:
            raise Failed(str(ended.error))
    for one, two in zip(alone, together, strict=True):
        must_be_equal(one, two)


def first_losses(bench: Bench, optimizer: str) -> list[float]:
    training = bench.training(bench.spec(optimizer))
    for _ in training.turns():
        if training.step == FIRST_STEPS:
            break
    with training.on_device():
        return training.losses[:FIRST_STEPS].tolist()


def first_steps_equal_the_cpus(bench: Bench, optimizer: str) -> None:
    """The first losses are the CPU's but for rounding: float32 is not TF32."""
    import torch

    on_cpu = first_losses(replace(bench, device=torch.device("cpu")), optimizer)
    here = first_losses(bench, optimizer)
    apart = [abs(a - b) / b for a, b in zip(here, on_cpu, strict=True)]
    if not (apart[0] <= FIRST_LOSS and max(apart) <= FIRST_LOSSES):
        raise Failed(f"losses differ from the CPU's by {', '.join(f'{value:.1e}' for value in apart)}, relatively")


def command_line(bench: Bench) -> None:
    """`campaign`, from a plan and data to records and the tar of them, in a process of its own."""
    from filter_sparsity.parts import Dataset
    from filter_sparsity.plan import Plan
    from filter_sparsity.records import record

    specs = [bench.spec("adam"), bench.spec("sgd", "wd")]
    settings = {"scale": "smoke", "device": bench.device.type, "precision": bench.precisions[-2], "history_points": 5}
    settings |= {"pack_seeds": False}
    about = dict.fromkeys(("version", "access", "instructions", "source", "licence", "citation"), "")
    sizes = {"train": IMAGES["train"], "test": IMAGES["test"], "classes": 10, "channels": 3}
    dataset = Dataset("random", **about, **sizes, side=SIZES[bench.kind][1], flip=True, digest="random")
    plan = Plan(settings, [0, 1], {spec.id: spec for spec in specs}, {}, {}, {}, {"random": dataset}, [])
    (bench.folder / "plan.json").write_text(plan.to_json())
    words = ["campaign", "--plan", "plan.json", "--data", ".", "--together", "4"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(SOURCE), *filter(None, [os.getenv("PYTHONPATH")])])}
    called = [sys.executable, "-m", "filter_sparsity", *words]
    done = subprocess.run(called, cwd=bench.folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"exit code {done.returncode}: {done.stderr.strip().splitlines()[-1]}")
    out = plan.results_folder
    for spec in specs:
        for seed in plan.seeds:
            path = bench.folder / out.run(spec.id, seed) / "record.json"
            origin = record.read(path, spec.id, seed)["provenance"]
            if origin["device"] != machine(bench.device)["device"]:
                raise Failed(f"{path} was made on {origin['device']}")
    if not (bench.folder / out.path / "campaign.tar.000").exists():
        raise Failed("the records are not packed")


def checks(bench: Bench) -> Iterator[tuple[str, Callable[[], None]]]:
    """Every check with its name; what tells most comes first."""
    for precision in bench.precisions:
        for optimizer in OPTIMIZERS:
            for regularizer in ("l2", "wd"):
                name = f"captured = plain: {optimizer} {regularizer} {precision}"
                yield name, partial(captured_equals_plain, bench, optimizer, regularizer, precision)
    for optimizer in ("sgd", "adam"):
        yield f"first steps = the CPU's: {optimizer} float32", partial(first_steps_equal_the_cpus, bench, optimizer)
    for precision in bench.precisions:
        yield f"resumed = whole: adam {precision}", partial(resumed_equals_whole, bench, "adam", precision)
    yield "resumed = whole: sgd float32", partial(resumed_equals_whole, bench, "sgd", "float32")
    for precision in bench.precisions:
        yield f"together = alone: 4 trainings {precision}", partial(together_equals_alone, bench, precision)
    yield "command line: campaign to record", partial(command_line, bench)


def run(bench: Bench) -> int:
    """Run every check and print a line for each; returns how many failed."""
    failed, began = 0, time.monotonic()
    for name, check in checks(bench):
        start = time.monotonic()
        try:
            check()
            said = "ok    "
        except Exception as error:  # whatever it is, the other checks say more
            failed += 1
            said = "FAILED"
            name += f": {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        print(f"{said} {name} ({time.monotonic() - start:.1f} s)", flush=True)
    count = sum(1 for _ in checks(bench))
    seconds = time.monotonic() - began
    print(f"{count - failed} of {count} checks hold, in {seconds:.0f} s, on {json.dumps(machine(bench.device))}")
    if bench.device.type == "cpu":
        print("rehearsed on a CPU: nothing is captured there, TF32 is missing, and the CPU is held against itself")
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    args = parser.parse_args()
    import torch

    if args.device == "cuda" and not torch.cuda.is_available():
        print(
            f"error: torch {torch.__version__} finds no CUDA device here: rehearse with `--device cpu`, or see "
            "docs/gpu.md for the driver that it wants",
            file=sys.stderr,
        )
        return 1
    with tempfile.TemporaryDirectory() as folder:
        return min(1, run(make_bench(args.device, Path(folder))))


if __name__ == "__main__":
    sys.exit(main())
