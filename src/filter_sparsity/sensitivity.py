"""Facts that the supplement does not print, varied one at a time: which brings ours nearest to the paper's. Torch-free.

The first row of a group is as configured, each other row has another value of one fact. A run's distance is that of its
pattern over the layers to the one that the paper prints. What a row changes is taken seed by seed against the first
row, with the interval that claims have: the row is `closer` or `farther` if the whole interval of the distance's change
says so, and `undecided` else. This ranks suspects; away from the paper's scale it decides none.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from . import stored
from .aggregate import find_published, published_value, read_published
from .claims import interval
from .errors import UserError
from .plan import Plan
from .resolve import multiplier
from .spec import Spec

METRIC = "sparsity_by_gamma"
CHANGED = ("total", "distance")  # against the group's first row


def compare(plan: Plan, name: str, reference: Path, published: Path) -> pd.DataFrame:
    """A line for each row of the table: means and deviations over its seeds, its changes and its verdict.

    Shares are fractions. `<layer>`, `total`, `test_error` and `distance` are means, `..._sd` their deviations and
    `..._paper` the paper's; `..._change` is the change against the group's first row, with its interval `..._low` and
    `..._high`: a negative one of `distance` is nearer to the paper. `even` is the distance of a network that is equally
    sparse in all layers. A row without stored runs has n = 0. `width` is a share of the published one; `by_scale` is
    true of the first row, and of those that differ from it in nothing but width and steps.
    """
    table = plan.table(name)
    lines = stored.tidy(reference) if any((plan.runs or {}).values()) else pd.DataFrame(columns=stored.COLUMNS)
    paper = read_published(published / table["reference"])
    frames = []
    for group in (group for panel in table["panels"] for group in panel["groups"]):
        (settings,) = group["rows"][0]["published"].values()
        printed = find_published(paper, settings, plan.usual)
        rows = [_row(row, table["layers"], lines, printed, settings["dataset"]) for row in group["rows"]]
        frame = pd.DataFrame([_line(*row, base=None if row is rows[0] else rows[0][1]) for row in rows])
        sizes = _sizes(plan, [plan.specs[spec_id] for row in group["rows"] for spec_id in row["specs"].values()])
        label = f"{group['label']}{_stronger(plan, settings['optimizer'])}"
        frames.append(pd.concat([frame.assign(group=label), sizes], axis=1))
    return pd.concat(frames, ignore_index=True)


def read_compared(path: Path) -> pd.DataFrame:
    """What `compare` gave, from its CSV. Raises UserError."""
    try:
        frame = pd.read_csv(path, keep_default_na=False, na_values=[""], dtype={"row": str, "verdict": str})
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {' '.join(str(error).split())}") from None
    if "by_scale" not in frame:
        raise UserError(f"{path} is no comparison of varied facts: delete it and compare again")
    return frame


def by_scale(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Of each group the measured rows that only width and steps tell apart, from the smallest scale to the largest."""
    rows = frame[frame["by_scale"] & (frame["n"] > 0)].sort_values(["width", "steps"])
    return {str(label): own for label, own in rows.groupby("group", sort=False)}


def _stronger(plan: Plan, optimizer: str) -> str:
    """What the scale does to an optimizer's printed strength and rate, behind the group's name."""
    strength, rate = (multiplier(plan.settings[f"{key}_multiplier"], optimizer) for key in ("strength", "rate"))
    return (f" × {strength:g}" if strength != 1 else "") + (f", rate × {rate:g}" if rate != 1 else "")


def _sizes(plan: Plan, specs: list[Spec]) -> pd.DataFrame:
    """Width and steps of a group's rows, a line each, and whether nothing else differs from the first."""

    def alike(spec: Spec) -> bool:
        network = replace(spec.network, filters=first.network.filters)
        shares = len(spec.phase_steps) == len(first.phase_steps)  # of a row that has the same phases, in other numbers
        return shares and replace(spec, network=network, phase_steps=first.phase_steps) == first

    first, unit = specs[0], plan.settings["width"] / specs[0].network.filters[0]
    lines = [(unit * spec.network.filters[0], spec.steps, alike(spec)) for spec in specs]
    return pd.DataFrame(lines, columns=["width", "steps", "by_scale"])


def _row(
    row: dict[str, Any], layers: list[str], lines: pd.DataFrame, printed: dict[str, str] | None, dataset: str
) -> tuple[str, pd.DataFrame, pd.Series]:
    """A row's label, what its runs measured (a line a seed), and the paper's numbers."""
    (spec_id,) = row["specs"].values()
    own = lines[lines["spec_id"] == spec_id]
    shares = own[own["metric"] == METRIC].pivot(index="seed", columns="layer", values="value").reindex(columns=layers)
    errors = own[own["metric"] == "test_error"].set_index("seed")["value"]
    cells = {**{layer: (METRIC, layer) for layer in layers}, "test_error": ("test_error", "")}
    told = pd.Series({key: published_value(printed, dataset, *cell)[0] for key, cell in cells.items()})
    return row["label"], shares.assign(test_error=errors, distance=distance(shares, told)), told


def _line(label: str, runs: pd.DataFrame, told: pd.Series, base: pd.DataFrame | None) -> dict[str, Any]:
    line = {"row": label, "n": len(runs), **runs.mean(), **runs.std().add_suffix("_sd"), **told.add_suffix("_paper")}
    none = pd.DataFrame(0.0, index=[0], columns=told.index.drop("test_error"))
    line["even"] = distance(none, told).iloc[0]
    if base is None:
        return line
    for key in CHANGED:
        ends = interval((runs[key] - base[key]).dropna())[:3]
        line |= dict(zip((f"{key}_change", f"{key}_low", f"{key}_high"), ends, strict=True))
    return {**line, "verdict": verdict(len(runs), line["distance_low"], line["distance_high"])}


def distance(shares: pd.DataFrame, told: pd.Series) -> pd.Series:
    """Of each seed (a line of layers' sparsities) how far its pattern over the layers is from the paper's.

    The mean absolute difference of the layers, after what all of them have in common is taken off: how sparse a network
    is as a whole depends on the scale.
    """
    layers = shares.columns.drop("total")
    apart = shares[layers] - told[layers]
    return apart.sub(apart.mean(axis=1), axis=0).abs().mean(axis=1)


def verdict(n: int, low: float, high: float) -> str:
    """What the interval of a change of distance says; fewer than two seeds have none."""
    return "not measured" if n == 0 else "closer" if high < 0 else "farther" if low > 0 else "undecided"
