"""Measuring a trained run: from weights and images to a record."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from .. import metrics, provenance, sparsity
from ..data.prepared import Prepared
from ..errors import UserError
from ..files import write_text
from ..records.arrays import FEATURES
from ..records.associations import of_layers
from ..records.record import Record, as_csv, as_text, files_digest, read_affine, read_lines, read_provenance, sealed
from ..spec import Spec
from ..training.base import Loader
from ..training.loaders import open_loader
from ..training.loop import evaluate
from ..training.models import ConvNet, build
from ..training.optim import decay_floor
from ..training.torch_setup import set_precision
from .prune import remove


def activations(model: ConvNet, data: Loader) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield (layer from 0, activations (images, filters, height, width) before pooling) for each batch and layer.

    Images are unflipped; BatchNorm uses its running statistics.
    """
    model.eval()
    for x, _ in data.batches():
        for i, (normed, _) in enumerate(model.layer_outputs(x)):
            yield i, model.activation(normed)


@torch.inference_mode()
def responses(model: ConvNet, data: Loader) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Universality and largest absolute activation of each layer's features, (filters,) both; see `sparsity`.

    Passes over the data twice, first for each feature's largest response, then for the images that activate it:
    the spatial maxima of all images would be 10 GB for ImageNet.
    """
    zeros = [torch.zeros(norm.num_features, device=norm.weight.device) for norm in model.norms]
    highest, largest, active = [z - torch.inf for z in zeros], list(zeros), list(zeros)
    for i, x in activations(model, data):
        high, low = x.amax((0, 2, 3)), x.amin((0, 2, 3))
        highest[i] = torch.maximum(highest[i], high)
        largest[i] = torch.maximum(largest[i], torch.maximum(high, -low))
    for i, x in activations(model, data):
        active[i] = active[i] + (x.amax((2, 3)) > metrics.UNIVERSALITY_THRESHOLD * highest[i]).sum(0)
    return [a.double().cpu().numpy() / len(data) for a in active], [v.cpu().numpy() for v in largest]


def measure(
    spec: Spec, model: ConvNet, data: Prepared, dominated: Mapping[str, np.ndarray] | None = None
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The record's measurements, and a line for every feature. Sparsities have a value per layer and a total.

    Pruning removes the features with |gamma| < 1e-3 (captions of Tables 1-3). `pruned_test_error` is that of the
    network without them; `pruned_test_error_folded` keeps the constants that removed features with beta > 0 gave to
    the next layer (see `prune.remove`). `universality` is the mean over a layer's features, dead ones too;
    `universality_living`, and the shares `gamma_positive` and `beta_positive`, are of its features that live by gamma,
    and leave out a layer in which none does. `dominated` is each feature's share of steps in which L2 outweighed
    gamma's gradient, (filters,) by layer, if the training counted it; `l2_dominates` is its mean over all features.
    The metrics of `records.associations` follow. All in float32, whatever the training's precision.
    """
    set_precision("float32")
    device = next(model.parameters()).device
    images, tests = (open_loader(data, split, device, flip=False) for split in ("train", "test"))
    universal, largest = responses(model, images)
    gammas = [norm.weight.detach().cpu().numpy() for norm in model.norms]
    betas = [norm.bias.detach().cpu().numpy() for norm in model.norms]
    layers, filters = spec.network.layers, spec.network.filters
    by_gamma = [sparsity.dead_by_gamma(g) for g in gammas]
    by_activation = [sparsity.dead_by_activation(v) for v in largest]

    def shares(each: list[float]) -> dict[str, float]:
        return {**dict(zip(layers, each, strict=True)), "total": sparsity.total(each, filters)}

    def of_living(formula: Callable[..., float | None], values: list[np.ndarray]) -> dict[str, float]:
        found = {layer: formula(v, dead) for layer, v, dead in zip(layers, values, by_gamma, strict=True)}
        return {layer: number for layer, number in found.items() if number is not None}

    gone = [torch.from_numpy(d).to(device) for d in by_gamma]
    pruned_shares = [float(d.mean()) for d in by_gamma]
    silent_shares = [float(d.mean()) for d in by_activation]
    network = spec.network
    test_loss, test_error = evaluate(model, tests)
    measured = {
        "test_loss": test_loss,
        "test_error": test_error,
        "sparsity_by_gamma": shares(pruned_shares),
        "sparsity_by_activation": shares(silent_shares),
        "params_pruned": sparsity.params_pruned(
            pruned_shares, filters, network.kernels, data.channels, network.conv_bias
        ),
        "pruned_test_error": evaluate(remove(model, gone), tests)[1],
        "pruned_test_error_folded": evaluate(remove(model, gone, fold=True), tests)[1],
        "universality": {layer: float(u.mean()) for layer, u in zip(layers, universal, strict=True)},
        "universality_living": of_living(sparsity.mean_of_living, universal),
        "gamma_positive": of_living(sparsity.share_positive, gammas),
        "beta_positive": of_living(sparsity.share_positive, betas),
    }
    columns = {"gamma": gammas, "beta": betas, "largest_activation": largest, "universality": universal}
    if dominated:
        columns["l2_dominates"] = [dominated[layer] for layer in layers]
        measured["l2_dominates"] = {layer: float(dominated[layer].mean()) for layer in layers}
    by_layer = {layer: {name: each[i] for name, each in columns.items()} for i, layer in enumerate(layers)}
    features = [
        {"layer": layer, "filter": j, **{name: values[j] for name, values in own.items()}}
        for (layer, own), count in zip(by_layer.items(), filters, strict=True)
        for j in range(count)
    ]
    return measured | of_layers(by_layer.items()), features


def load(spec: Spec, seed: int, weights: Path, data: Prepared, device: torch.device) -> ConvNet:
    """The trained network of a run. Raises UserError if the file is missing, damaged or another run's."""
    model = build(spec, data.channels, data.side, len(data.classes))
    try:
        with safe_open(weights, "pt") as file:
            run = (file.metadata() or {}).get("run")
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        if run != f"{spec.id} seed {seed}":
            raise UserError(
                f"{weights} holds {run or 'no run'}, not {spec.id} seed {seed}: delete its folder and train again"
            )
        model.load_state_dict(state)
    except FileNotFoundError:
        raise UserError(f"{weights} is not there: train the run first") from None
    except (SafetensorError, RuntimeError) as error:
        said = str(error).splitlines()[0]
        raise UserError(f"{weights} is damaged ({said}): delete its folder and train again") from None
    return model.to(device)


def extract_run(spec: Spec, seed: int, data: Prepared, folder: Path, device: torch.device) -> None:
    """Write `record.json` and `features.csv` of a trained run. Raises UserError if it is damaged or of other data."""
    model = load(spec, seed, folder / "weights.safetensors", data, device)
    origin = read_provenance(folder / "provenance.json", spec.id, seed)
    if origin.get("data_digest") != data.digest:
        raise UserError(
            f"{folder} was trained on other data than those now prepared as {data.name}: delete it and train again"
        )
    history, startup = (read_lines(folder / name) for name in ("history.csv", "silent.csv"))
    if origin.get("files_digest", "") not in ("", files_digest(folder)):  # runs of earlier versions have none
        raise UserError(f"{folder} does not hold what was trained, but something changed: delete it and train again")
    histories = read_affine(folder / "affine.safetensors")
    dominated = {layer: histories[k] for layer in spec.network.layers if (k := f"l2_dominates_{layer}") in histories}
    measured, features = measure(spec, model, data, dominated)
    lines = [
        {"layer": f["layer"], "filter": f["filter"], **{k: as_text(f.get(k, math.nan)) for k in FEATURES}}
        for f in features
    ]
    record: Record = {
        "spec_id": spec.id,
        "seed": seed,
        "spec": spec.to_dict(),
        "provenance": {**origin, "measured_by": provenance.commit(), "measuring": metrics.MEASURING},
        "measured": {
            "train_loss": history[-1]["train_loss"],
            **measured,
            **{
                name: {layer: share for layer, share in line.items() if layer != "step"}
                for name, line in (("silent_early", startup[0]), ("silent_late", startup[-1]))
            },
            "decay_floor": decay_floor(spec),
        },
    }
    write_text(folder / "features.csv", as_csv(lines))
    write_text(folder / "record.json", sealed(record))


def summary(folder: Path) -> str:
    """A line for the console: test error and both sparsities."""
    measured = json.loads((folder / "record.json").read_text(encoding="utf-8"))["measured"]
    return (
        f"test error {100 * measured['test_error']:.1f} %, sparsity by gamma "
        f"{100 * measured['sparsity_by_gamma']['total']:.0f} %, by activation "
        f"{100 * measured['sparsity_by_activation']['total']:.0f} %"
    )
