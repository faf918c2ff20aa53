"""Does the fast training come out as the plain one does? Two samples of seeds, one trained each way, compared.

    python benchmarks/equivalence.py [--seeds 8] [--precision float32]

The plain way: contiguous tensors, torch's own convolutions and its for-loop optimizers, pooling after the activation,
float32 throughout. Initial weights, data order and flips are the same, so that only rounding differs; a training
amplifies it, and what comes out differs as another seed's would. So the two are tested as samples: Welch's t and
Mann and Whitney's U, two-sided, for what the tables print. Specs of the scale quick, where something is sparse. Writes
benchmarks/equivalence.json.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import multiprocessing
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SPECS = [("table1", "Adam", "L2: 1e-3"), ("table1", "SGD", "L2: 1e-3")]
BEGIN, END = "<!-- equivalence -->\n", "<!-- end of equivalence -->\n"
METRICS = ("sparsity_by_gamma", "test_error", "train_loss")


def spec_of(plan: Any, table: str, group: str, row: str) -> str:
    for each in plan.table(table)["panels"][0]["groups"]:
        for line in each["rows"]:
            if (each["label"], line["label"]) == (group, row):
                return next(iter(line["specs"].values()))
    raise KeyError(row)


def fast(spec: Any, seed: int, data: Any, precision: str) -> tuple[Any, float]:
    import torch

    from filter_sparsity.training.loop import Training

    training = Training(spec, seed, data, torch.device("cpu"), 1, precision)
    training.run()
    return training.model, training.history[-1].train_loss


def plain(spec: Any, seed: int, data: Any, precision: str) -> tuple[Any, float]:
    import torch
    from torch.nn import functional as F

    from filter_sparsity.training.models import build

    torch.manual_seed(seed)
    model = build(spec, data.channels, data.side, len(data.classes)).to(memory_format=torch.contiguous_format)
    l2 = spec.strength if spec.regularizer == "l2" else 0.0
    hyperparameters = {k: tuple(v) if isinstance(v, list) else v for k, v in spec.hyperparameters.items()}
    kind = getattr(torch.optim, spec.algorithm)
    optimizer = kind(model.parameters(), lr=spec.rate, weight_decay=l2, foreach=False, fused=False, **hyperparameters)
    mean, deviation = (torch.tensor(v)[:, None, None] for v in (data.mean, data.deviation))
    images = (torch.from_numpy(data.images["train"]).float() / 255 - mean) / deviation
    labels = torch.from_numpy(data.labels["train"])
    generator = torch.Generator().manual_seed(seed)
    drop, step, losses = spec.phase_steps[0], 0, []
    while step < spec.steps:
        order, losses = torch.randperm(len(labels), generator=generator), []
        for chosen in itertools.islice(order[: len(order) // spec.batch_size * spec.batch_size].split(spec.batch_size),
                                       spec.steps - step):  # fmt: skip
            if step == drop:
                optimizer.param_groups[0]["lr"] *= spec.rate_decay
            x = images[chosen]
            for i, (conv, norm) in enumerate(zip(model.convs, model.norms, strict=True), start=1):
                x = F.relu(norm(F.conv2d(x, conv.weight, padding=conv.padding)))
                x = F.max_pool2d(x, 2) if i in model.pool_after else x
            loss = F.cross_entropy(model.classify(x), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            step += 1
    return model, statistics.mean(losses)


def one(job: tuple[str, str, int, str, str]) -> dict[str, float]:
    """Train one way and measure."""
    import torch

    from filter_sparsity.data.prepared import read
    from filter_sparsity.measuring.extract import measure
    from filter_sparsity.spec import Spec

    way, text, seed, path, precision = job
    torch.set_flush_denormal(True)
    torch.set_num_threads(1)
    spec, data = Spec.from_dict(json.loads(text)), read(Path(path))
    model, train_loss = {"fast": fast, "plain": plain}[way](spec, seed, data, precision)
    measured, _ = measure(spec, model, data)
    return {
        "sparsity_by_gamma": measured["sparsity_by_gamma"]["total"],
        "test_error": measured["test_error"],
        "train_loss": train_loss,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    args = parser.parse_args()
    import torch
    from scipy import stats

    from filter_sparsity.data import prepared
    from filter_sparsity.planning.build import build_plan
    from filter_sparsity.planning.validation import read_yaml
    from filter_sparsity.training.torch_setup import collect_provenance

    os.chdir(ROOT)
    plan = build_plan(read_yaml(Path("config/config.yaml")))
    found = []
    with tempfile.TemporaryDirectory() as folder, multiprocessing.get_context("spawn").Pool() as pool:
        digits = Path(folder) / "digits.safetensors"
        prepared.prepare("digits", Path(folder), digits)
        for place in SPECS:
            spec = plan.specs[spec_of(plan, *place)]
            text = json.dumps(spec.to_dict())
            jobs = [(way, text, s, str(digits), args.precision) for s in range(args.seeds) for way in ("fast", "plain")]
            results = pool.map(one, jobs, chunksize=1)
            for metric in METRICS:
                ours, theirs = ([r[metric] for r in results[start::2]] for start in (0, 1))
                same = len({*ours, *theirs}) == 1
                found.append(
                    {
                        "spec": spec.id,
                        "metric": metric,
                        "n": args.seeds,
                        "fast": {"mean": statistics.mean(ours), "sd": statistics.stdev(ours)},
                        "plain": {"mean": statistics.mean(theirs), "sd": statistics.stdev(theirs)},
                        "p, Welch": 1.0 if same else float(stats.ttest_ind(ours, theirs, equal_var=False).pvalue),
                        "p, Mann-Whitney": 1.0 if same else float(stats.mannwhitneyu(ours, theirs).pvalue),
                        "difference in standard deviations": (statistics.mean(ours) - statistics.mean(theirs))
                        / (math.hypot(statistics.stdev(ours), statistics.stdev(theirs)) / math.sqrt(2) or 1.0),
                    }
                )
                print(json.dumps(found[-1]))
    origin = collect_provenance(torch.device("cpu"))
    result = {"precision": args.precision, **{k: origin[k] for k in ("device", "commit", "date")}, "compared": found}
    (ROOT / "benchmarks/equivalence.json").write_text(json.dumps(result, indent=1) + "\n")
    page = ROOT / "docs/training.md"
    before, _, rest = page.read_text().partition(BEGIN)
    page.write_text(before + BEGIN + "\n" + table(result) + "\n" + END + rest.partition(END)[2])


def table(result: dict[str, Any]) -> str:
    """The table of docs/training.md."""
    lines = [
        f"{result['device']}, {result['precision']}, commit {result['commit']}; mean ± standard deviation over seeds.",
        "",
        "| spec | what | n, each way | fast | plain | p (Welch) | p (Mann-Whitney) |",
        "|---|---|---|---|---|---|---|",
    ]
    for line in result["compared"]:
        ways = (f"{line[way]['mean']:.4f} ± {line[way]['sd']:.4f}" for way in ("fast", "plain"))
        chances = (f"{line[p]:.2f}" for p in ("p, Welch", "p, Mann-Whitney"))
        what = line["metric"].replace("_", " ")
        lines.append(f"| {' | '.join([line['spec'], what, str(line['n']), *ways, *chances])} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
