"""Folders of measured runs, without a training."""

from __future__ import annotations

import numpy as np
from safetensors.numpy import save_file

from filter_sparsity.paths import run_folder
from filter_sparsity.records.record import sealed

MEASURED = {"test_error": 0.1 + 0.2, "sparsity_by_gamma": {"C1": 1 / 3, "total": 0}, "gamma_positive": {}}
ORIGIN = {"commit": "c", "versions": {"torch": "2"}, "device": "d", "threads": 1, "date": "x", "wall_seconds": 1.5}


def make_run(plan, runs, spec_id, seed, digest="data", **measured):
    """The folder of a run with two points of gammas and betas, random features, and a record."""
    folder = run_folder(runs, spec_id, seed)
    folder.mkdir(parents=True, exist_ok=True)
    spec = plan.specs[spec_id]
    origin = {**ORIGIN, "spec_id": spec_id, "seed": seed, "spec": spec.to_dict(), "data_digest": digest, "more": [seed]}
    record = {"spec_id": spec_id, "seed": seed, "spec": spec.to_dict(), "provenance": origin}
    (folder / "record.json").write_text(sealed({**record, "measured": {**MEASURED, **measured}}))
    draw = np.random.default_rng(seed)
    layers = [*zip(spec.network.layers, spec.network.filters, strict=True)]
    affine = {f"{k}_{layer}": draw.random((2, n), np.float32) for layer, n in layers for k in ("gamma", "beta")}
    save_file({"step": np.arange(2), **affine}, folder / "affine.safetensors")
    lines = [f"{layer},{i}," + ",".join(f"{v:.7g}" for v in draw.random(4)) for layer, n in layers for i in range(n)]
    header = "layer,filter,gamma,beta,largest_activation,universality"
    (folder / "features.csv").write_text("\n".join([header, *lines]) + "\n")
    return folder
