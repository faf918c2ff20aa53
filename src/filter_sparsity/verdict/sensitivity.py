"""Facts that the supplement does not print, varied one at a time: which brings ours nearest to the paper's. Torch-free.

The first row of a group is where the study began, each other row has another value of one fact. Two numbers say how
near a run comes to the paper. Its contrast is the mean sparsity of the early layers minus that of the last two, which
is above 0 under SGD and below 0 under Adam in the paper. Its distance is that of the whole pattern over the layers,
small for a network without any pattern, too. What a row changes is taken seed by seed against the first row, with the
interval that claims have: the row is `closer` or `farther` if the whole interval says so, and `undecided` else. The
rule by which a recipe is chosen from this is in docs/recipe.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from ..errors import UserError
from ..parts import Row
from ..plan import Plan
from ..planning.resolver import FACTS, multiplier
from ..records import archive
from ..spec import HIDDEN
from .published import find_published, published_value, read_published
from .statistics import confidence_interval
from .verdicts import ShiftVerdict

METRIC = "sparsity_by_gamma"
LATE = 2  # layers, the last ones
CHANGED = ("total", "distance", "contrast_off")  # against the group's first row


def compare_sensitivity(plan: Plan, name: str, reference: Path, published: Path) -> pd.DataFrame:
    """A line for each row of the table: means and deviations over its seeds, its changes and its verdict.

    Shares are fractions. `<layer>`, `total`, `test_error` and `distance` are means, `..._sd` their deviations and
    `..._paper` the paper's; `..._change` is the change against the group's first row, with its interval `..._low` and
    `..._high`: a negative one of `distance` or of `contrast_off`, which is how far `contrast` is from the paper's, is
    nearer to the paper; `verdict` and `contrast_verdict` say so in a word. `even` is the distance of a network that is
    equally sparse in all layers. `silent_contrast` is the contrast of the shares of silent features at the end,
    `silent_hidden` the share of silent hidden units then, and `silent_start` the largest share of a layer's features
    that are silent at 1 % of the steps. A row without stored runs has n = 0.
    """
    table = plan.table(name)
    lines = archive.tidy(reference) if any((plan.runs or {}).values()) else pd.DataFrame(columns=archive.COLUMNS)
    if not table["reference"]:
        raise UserError(f"{name} has no `reference`: give the paper's table with which it is compared")
    published_lines, defaults = read_published(published / table["reference"]), dict[str, object](plan.row_defaults)
    frames = []
    for group in (group for panel in table["panels"] for group in panel["groups"]):
        (settings,) = group["rows"][0]["published"].values()
        # The paper's row, whatever network the study began with.
        first = {key: defaults[key] if key in FACTS else value for key, value in settings.items()}
        printed = find_published(published_lines, first, plan.row_defaults)
        rows = [_row(row, table["layers"], lines, printed, settings["dataset"]) for row in group["rows"]]
        frame = pd.DataFrame([_line(*row, base=None if row is rows[0] else rows[0][1]) for row in rows])
        frames.append(frame.assign(group=f"{group['label']}{_stronger(plan, settings['optimizer'])}"))
    return pd.concat(frames, ignore_index=True)


def read_compared(path: Path) -> pd.DataFrame:
    """What `compare` gave, from its CSV. Raises UserError."""
    try:
        frame = pd.read_csv(path, keep_default_na=False, na_values=[""], dtype={"row": str, "verdict": str})
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {' '.join(str(error).split())}") from None
    if "contrast_off" not in frame:
        raise UserError(f"{path} is no comparison of varied facts: delete it and compare again")
    return frame


def _stronger(plan: Plan, optimizer: str) -> str:
    """What the scale does to an optimizer's printed strength and rate, behind the group's name."""
    strength = multiplier(plan.settings["strength_multiplier"], optimizer)
    rate = multiplier(plan.settings["lr_multiplier"], optimizer)
    return (f" × {strength:g}" if strength != 1 else "") + (f", rate × {rate:g}" if rate != 1 else "")


def _row(
    row: Row, layers: list[str], lines: pd.DataFrame, printed: dict[str, str] | None, dataset: str
) -> tuple[str, pd.DataFrame, pd.Series]:
    """A row's label, what its runs measured (a line a seed), and the paper's numbers."""
    (spec_id,) = row["specs"].values()
    own = lines[lines["spec_id"] == spec_id]
    features = [layer for layer in layers if layer != "total"]

    def by_layer(metric: str, names: list[str]) -> pd.DataFrame:
        """A line a seed, a column a layer."""
        found = own[own["metric"] == metric].pivot(index="seed", columns="layer", values="value")
        return found.reindex(columns=names).astype(float)

    shares, silent = by_layer(METRIC, layers), by_layer("silent_late", [*features, HIDDEN])
    cells = {**{layer: (METRIC, layer) for layer in layers}, "test_error": ("test_error", "")}
    paper = pd.Series({key: published_value(printed, dataset, *cell)[0] for key, cell in cells.items()})
    paper["contrast"] = contrast(paper[features].to_frame().T).iloc[0]
    runs = shares.assign(
        test_error=own[own["metric"] == "test_error"].set_index("seed")["value"],
        distance=distance(shares, paper),
        contrast=contrast(shares[features]),
        contrast_off=(contrast(shares[features]) - paper["contrast"]).abs(),
        silent_contrast=contrast(silent[features]),
        silent_hidden=silent[HIDDEN],
        silent_start=by_layer("silent_early", features).max(axis=1),
    )
    return row["label"], runs, paper


def _line(label: str, runs: pd.DataFrame, paper: pd.Series, base: pd.DataFrame | None) -> dict[str, Any]:
    line = {"row": label, "n": len(runs), **runs.mean(), **runs.std().add_suffix("_sd"), **paper.add_suffix("_paper")}
    none = pd.DataFrame(0.0, index=[0], columns=paper.index.drop(["test_error", "contrast"]))
    line["even"] = distance(none, paper).iloc[0]
    if base is None:
        return line
    for key in CHANGED:
        ends = confidence_interval((runs[key] - base[key]).dropna())[:3]
        line |= dict(zip((f"{key}_change", f"{key}_low", f"{key}_high"), ends, strict=True))
    verdicts = {"verdict": "distance", "contrast_verdict": "contrast_off"}
    return line | {name: verdict(len(runs), line[f"{key}_low"], line[f"{key}_high"]) for name, key in verdicts.items()}


def contrast(layers: pd.DataFrame) -> pd.Series:
    """Of each line the mean of the early layers minus that of the last two. `layers` has a column each, C1 first."""
    return layers.iloc[:, :-LATE].mean(axis=1) - layers.iloc[:, -LATE:].mean(axis=1)


def distance(shares: pd.DataFrame, paper: pd.Series) -> pd.Series:
    """Of each seed (a line of layers' sparsities) how far its pattern over the layers is from the paper's.

    The mean absolute difference of the layers, after what all of them have in common is taken off: how sparse a network
    is as a whole depends on the scale.
    """
    layers = shares.columns.drop("total")
    apart = shares[layers] - paper[layers]
    return apart.sub(apart.mean(axis=1), axis=0).abs().mean(axis=1)


def verdict(n: int, low: float, high: float) -> ShiftVerdict:
    """What the interval of a change of distance says; fewer than two seeds have none."""
    if n == 0:
        return ShiftVerdict.NOT_MEASURED
    return ShiftVerdict.CLOSER if high < 0 else ShiftVerdict.FARTHER if low > 0 else ShiftVerdict.UNDECIDED
