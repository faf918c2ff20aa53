"""Small data, specs and an independent network for the unit tests."""

import csv
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny networks: threads only cost

import numpy as np
import pytest

from filter_sparsity.data import prepared
from filter_sparsity.data.sources.base import ArraySource
from filter_sparsity.paths import run_folder
from filter_sparsity.planning.build import anchor_paths, build_plan, merge
from filter_sparsity.planning.validation import read_yaml
from filter_sparsity.records.record import sealed
from filter_sparsity.spec import Network, Spec
from helpers.experiments import as_printed

ROOT = Path(__file__).parents[1]
TINY = Network(name="tiny", filters=(4, 6, 5), kernels=(5, 3, 3), pool_after=(1, 3), conv_bias=False, hidden=(8,))


@pytest.fixture(scope="session")
def root():
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def paper_settings():
    """The merged configuration of the scale `paper`, with paths that hold from any folder."""
    settings = merge(read_yaml(ROOT / "config/config.yaml"), read_yaml(ROOT / "config/scales/paper.yaml"))
    return anchor_paths(settings, ROOT)


@pytest.fixture(scope="session")
def paper_plan(paper_settings):
    return build_plan(paper_settings)


@pytest.fixture(scope="session")
def published():
    """The printed rows of a table of the paper."""

    def read(name):
        with (ROOT / f"report/references/paper/{name}.csv").open(newline="") as file:
            return list(csv.DictReader(file))

    return read


@pytest.fixture(scope="session")
def make_spec():
    """A tiny spec, Adam with L2, changed where the test says."""
    spec = Spec(
        dataset="blobs",
        flip=True,
        network=TINY,
        negative_slope=0,
        gamma_init=1,
        beta_init=0,
        optimizer="adam",
        algorithm="Adam",
        rate=1e-3,
        hyperparameters={"betas": [0.9, 0.99], "eps": 1e-8},
        gamma_rate_scale=1,
        beta_rate_scale=1,
        regularizer="l2",
        strength=1e-3,
        batch_size=8,
        phase_steps=(10, 5),
        rate_decay=0.1,
    )
    return lambda **changes: replace(spec, **changes)


@pytest.fixture(scope="session")
def make_data(tmp_path_factory):
    """Prepared random images of 3 classes, told apart by their mean level and one bright column."""

    def make(train=50, test=20, channels=3, side=8, seed=0):
        draw = np.random.default_rng(seed)

        def split(n):
            labels = np.arange(n) % 3
            images = draw.integers(0, 120, (n, channels, side, side)) + 60 * labels[:, None, None, None]
            images[np.arange(n), :, :, labels] = 255
            return images.astype(np.uint8), labels

        source = ArraySource(classes=("a", "b", "c"), train=split(train), test=split(test))
        path = tmp_path_factory.mktemp("data") / "blobs.safetensors"
        prepared.write("blobs", source, path)
        return prepared.read(path)

    return make


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "digits.safetensors"
    prepared.prepare("digits", Path("unused"), path)
    return prepared.read(path)


@pytest.fixture(scope="session")
def plain():
    """The network of the supplement written down again: conv, BatchNorm, activation, and only then pooling.

    Gives an nn.Sequential with the weights of a ConvNet, and the places of its activations.
    """
    from torch import nn

    def build(spec, model):
        modules, activations, channels = [], [], model.convs[0].weight.shape[1]
        for i, (conv, norm) in enumerate(zip(model.convs, model.norms, strict=True), start=1):
            filters, kernel = spec.network.filters[i - 1], spec.network.kernels[i - 1]
            modules.append(nn.Conv2d(channels, filters, kernel, padding="same", bias=spec.network.conv_bias))
            modules[-1].load_state_dict(conv.state_dict())
            modules.append(nn.BatchNorm2d(filters))
            modules[-1].load_state_dict(norm.state_dict())
            activations.append(len(modules))
            modules.append(nn.LeakyReLU(spec.negative_slope) if spec.negative_slope else nn.ReLU())
            if i in spec.network.pool_after:
                modules.append(nn.AvgPool2d(2) if spec.network.pool == "average" else nn.MaxPool2d(2))
            channels = filters
        if spec.network.head_pool == "average":
            modules.append(nn.AdaptiveAvgPool2d(1))
        modules.append(nn.Flatten())
        for i, linear in enumerate(model.head):
            modules.append(nn.Linear(linear.in_features, linear.out_features))
            modules[-1].load_state_dict(linear.state_dict())
            if spec.network.hidden_norm and i < len(spec.network.hidden):
                modules.append(nn.BatchNorm1d(linear.out_features))
                modules[-1].load_state_dict(model.head_norms[i].state_dict())
            modules.append(nn.ReLU())
        return nn.Sequential(*modules[:-1]).train(model.training), activations

    return build


@pytest.fixture(scope="session")
def make_model():
    """A network as after a training: random weights, gammas, betas and running statistics."""
    import torch

    from filter_sparsity.training.models import build

    def make(spec, channels, side, classes=3, seed=0):
        torch.manual_seed(seed)
        model = build(spec, channels, side, classes)
        for norm in model.norms:
            for tensor, low, high in (
                (norm.weight.data, 0.5, 1.5),
                (norm.bias.data, -0.5, 0.8),
                (norm.running_mean, -0.5, 0.5),
                (norm.running_var, 0.5, 2.0),
            ):
                tensor.uniform_(low, high)
        return model.eval()

    return make


@pytest.fixture(scope="session")
def python():
    """Run a program in an interpreter of its own; what it printed."""

    def run(program):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


BASICNET = [f"C{i}" for i in range(1, 8)]


def printed_of(spec: Spec) -> dict:
    """A spec's measurements as the paper prints them, found by the spec's own fields, table by table."""
    found: dict = {"sparsity_by_gamma": {}, "sparsity_by_activation": {}}
    for path in sorted(
        (ROOT / "report/references/paper").glob("table[123].csv"), reverse=True
    ):  # Table 2 prints 47 where Table 3 has 46
        for line in csv.DictReader(path.open()):
            if (
                (line["dataset"], line["optimizer"], line["regularizer"])
                == (spec.dataset, spec.optimizer, spec.regularizer)
                and float(line["strength"]) == spec.strength
                and float(line.get("negative_slope") or 0) == spec.negative_slope
                and float(line.get("beta_init") or 0) == spec.beta_init
                and float(line.get("gamma_lr_scale") or 1) == spec.gamma_rate_scale
                and float(line.get("beta_lr_scale") or 1) == spec.beta_rate_scale
            ):
                found |= {k: float(line[k]) for k in ("train_loss", "test_loss")}
                found |= {k: float(line[k]) / 100 for k in ("test_error", "pruned_test_error")}
                found["params_pruned"] = float(line.get("conv_params_pruned") or 0) / 100
                found["sparsity_by_gamma"] = {k: float(line[k]) / 100 for k in (*BASICNET, "total")}
    plain = not (spec.negative_slope or spec.beta_init) and spec.gamma_rate_scale == spec.beta_rate_scale == 1
    for line in csv.DictReader((ROOT / "report/references/paper/table4.csv").open()):
        own = (line["optimizer"], line["regularizer"], float(line["strength"]))
        if plain and own == (spec.optimizer, spec.regularizer, spec.strength):
            for kind in ("activation", "gamma"):
                value = float(line[f"{spec.dataset}_sparsity_by_{kind}"]) / 100
                found[f"sparsity_by_{kind}"].setdefault("total", value)
            found.setdefault("test_error", float(line[f"{spec.dataset}_test_error"]) / 100)
    return found


@pytest.fixture(scope="session")
def campaign(tmp_path_factory, paper_plan, published):
    """The plan of the published settings, its tables as printed, and runs that measured just what the paper printed."""
    printed = {name: as_printed(paper_plan, published(name), name) for name in ("table1", "table2", "table3", "table4")}
    plan = replace(paper_plan, tables=paper_plan.tables | printed)
    runs = tmp_path_factory.mktemp("runs")
    for spec_id, spec in paper_plan.specs.items():
        measured = printed_of(spec)
        for seed in paper_plan.seeds:
            folder = run_folder(runs, spec_id, seed)
            folder.mkdir(parents=True)
            record = {"spec_id": spec_id, "seed": seed, "measured": measured}
            (folder / "record.json").write_text(sealed(record))
    return plan, runs
