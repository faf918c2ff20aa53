"""Tables as LaTeX, from the numbers that `aggregate` made. Torch-free."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypedDict

import pandas as pd

from ..errors import UserError
from ..metrics import METRICS
from ..parts import MultiplierKey, Table
from ..plan import Plan
from ..planning.resolver import multiplier
from ..sparsity import conv_parameters
from ..spec import Spec, short
from ..verdict.aggregate import COLUMNS, JUDGED, KEYS, columns
from ..verdict.labels import NAMES
from ..verdict.soundness import FAULTS
from ..verdict.verdicts import NumberVerdict
from .latex import fill, latex, number, spread
from .words import data_used, long_name, of_the_width

MARKS = {  # of rows whose spec has a fault, and the sentence that a table has of them
    "silent": ("†", "Share of features silent at 1 % of the steps, before regularization can explain it"),
    "unlearned": ("‡", "Did not learn"),
}
MOST_DATA = 2  # data sets that a sentence names


class Head(TypedDict):
    """A head above several columns: `first` to `last`, counted from 1 with the rows' labels."""

    label: str
    span: int
    first: int
    last: int


def read_values(path: Path) -> pd.DataFrame:
    """The numbers of a table, as `aggregate` wrote them."""
    labels = dict.fromkeys((*KEYS, "spec_id", *FAULTS, "reason", "verdict"), str)  # 1e-02 is a label
    try:
        empty = dict.fromkeys(("mean", "sd", "paper", *JUDGED[:3]), "")
        frame = pd.read_csv(path, dtype=labels, keep_default_na=False, na_values=empty)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {' '.join(str(error).split())}") from None
    if list(frame.columns) != list(COLUMNS):
        raise UserError(f"{path} is not a table's values: delete it and aggregate again")
    return frame


def typeset_table(plan: Plan, name: str, values: pd.DataFrame, template: Path) -> str:
    """A table as LaTeX, from its layout in the plan and the numbers that `aggregate` made."""
    layout = plan.table(name)
    if layout["missing_inputs"]:
        return fill(template, {"name": name, "caption": layout["caption"], "missing_inputs": layout["missing_inputs"]})
    cells = {tuple(cell[key] for key in KEYS): cell for cell in values.to_dict("records")}
    wanted = [
        (column_group, metric, layer) for column_group in layout["column_groups"] for metric, layer in columns(layout)
    ]

    def row(*labels: str) -> dict[str, Any]:
        """A row, by the labels of its panel, of its group and its own."""
        keys = [(*labels, *column) for column in wanted]
        if not cells.keys() >= {*keys}:
            raise UserError(f"{name}: the values lack cells of the row {labels[-1]!r}: aggregate it again")
        own = [cells[key] for key in keys]
        printed = any(pd.notna(cell["paper"]) for cell in own)
        marks = "".join(mark for fault, (mark, _) in MARKS.items() if any(cell[fault] for cell in own))
        measured = any(cell["n"] for cell in own) or not printed  # else the row is one line, the paper's
        return {"label": labels[-1] + marks, "printed": printed, "measured": measured, "cells": [*map(_cell, own)]}

    panels: list[Any] = copy.deepcopy(layout["panels"])
    for panel in panels:
        for group in panel["groups"]:
            group["rows"] = [row(panel["label"], group["label"], line["label"]) for line in group["rows"]]
    rows = [line["cells"] for panel in panels for group in panel["groups"] for line in group["rows"]]
    for column in zip(*rows, strict=True):
        room = max((cell["spread"] for cell in column), key=len)  # so that numbers stand below one another
        for cell in column:
            cell["room"] = room
    spec = plan.specs[plan.selected(name)[0]]
    grouped = any(group["label"] for panel in panels for group in panel["groups"])
    first = 3 if grouped else 2
    context = {
        "name": name,
        "missing_inputs": [],
        "caption": layout["caption"],
        "note": f"{over_seeds(values['n'])} {printed_by_paper(layout, values)} {describe_scale(plan, name)}",
        "faults": describe_faulty_rows(values),
        "grouped": grouped,
        "row_head": layout["row_head"],
        "width": first - 1 + len(wanted),
        "column_format": "r" * len(wanted),
        "heads": heads(layout, wanted, first),
        "columns": [{"label": stacked(column_head(spec, plan, layout, m, layer))} for _, m, layer in wanted],
        "panels": panels,
    }
    return fill(template, context)


def _cell(cell: dict[Any, Any]) -> dict[str, str]:
    metric, verdict = cell["metric"], cell["verdict"]
    ours, zero = number(cell["mean"], metric), number(0.0, metric)
    alike = ours == number(cell["sd"], metric) == zero  # 0 ± 0 is 0
    if verdict in (NumberVerdict.AGREES, NumberVerdict.DIFFERS):
        ours = rf"\{verdict}{{{ours}}}"  # in the look of its verdict
    return {
        "ours": ours,
        "spread": "" if alike else spread(cell["sd"], metric),
        "paper": number(cell["paper"], metric),
    }


def describe_faulty_rows(values: pd.DataFrame) -> list[str]:
    """A sentence for each kind of fault that rows of a table have: which rows, and how it shows."""
    sentences = []
    for fault, (mark, what) in MARKS.items():
        own = values[values[fault] != ""].drop_duplicates(["panel", "group", "row", "column_group"])
        rows = [
            f"{' '.join(filter(None, (cell['group'], cell['row'], cell['column_group'])))} ({cell[fault]})"
            for cell in own.to_dict("records")
        ]
        sentences += [f"{mark} {what}: {'; '.join(rows)}. No claim is decided by such a row."] if rows else []
    return sentences


def printed_by_paper(layout: Table, values: pd.DataFrame) -> str:
    """Where the gray numbers are from, if there are any."""
    if values["paper"].isna().all():
        return f"The paper prints no numbers of this ({layout['source']})."
    gray = f"Gray: the paper's number ({layout['source']})."
    if {*values["verdict"]} & {NumberVerdict.AGREES, NumberVerdict.DIFFERS}:
        gray += " Green: ours agrees with it; bold and red: it differs by more than rounding and seeds explain."
    return gray


def heads(layout: Table, wanted: list[tuple[str, str, str]], first: int) -> list[Head]:
    """The heads above those of the columns: labels of column groups, or a heading over the columns of the layers."""

    def label(key: tuple[str, str, str]) -> str:
        column_group, metric, _ = key
        if len(layout["column_groups"]) > 1:
            return column_group
        return METRICS[metric].layers_heading if len(layout["layers"]) > 1 else ""

    spans: list[Head] = []
    at = first
    for text, keys in itertools.groupby(wanted, key=label):
        span = len(list(keys))
        spans.append({"label": text, "span": span, "first": at, "last": at + span - 1})
        at += span
    return spans if any(s["label"] for s in spans) else []


def column_head(spec: Spec, plan: Plan, layout: Table, metric: str, layer: str) -> str:
    network = spec.network
    if METRICS[metric].by_layer and len(layout["layers"]) > 1:
        filters = dict(zip(network.layers, network.filters, strict=True))
        return f"{layer.capitalize()}\n({filters.get(layer, sum(network.filters))})"
    if metric == "params_pruned":
        channels = plan.datasets[spec.dataset].channels
        count = conv_parameters(network.filters, network.kernels, channels, network.conv_bias)
        return f"{METRICS[metric].heading}\n({count:.0f})"
    return METRICS[metric].heading


def stacked(text: str) -> str:
    r"""Lines of a column's head, one above the other."""
    lines = r"\\".join(latex(line) for line in text.split("\n"))
    return rf"\shortstack{{{lines}}}"


def over_seeds(counts: pd.Series) -> str:
    least, most = int(counts.min()), int(counts.max())
    if most == 0:
        return "Not measured: no run of this is there."
    there = int(counts[counts > 0].min())
    dash = " Rows in gray alone, and dashes: no run." if least == 0 else ""
    if there == most == 1:
        return f"One seed (n = 1).{dash}"
    return f"Mean ± standard deviation over n = {there if there == most else f'{there} to {most}'} seeds.{dash}"


def describe_scale(plan: Plan, name: str) -> str:
    """The sentence under a table or figure of networks: at which scale they are.

    Empty for what shows no networks, such as a simulation, or is not made.
    """
    selected, missing = plan.selected(name), (plan.tables | plan.figures)[name].get("missing_inputs")
    return scale_sentence(plan, plan.datasets_shown_by(name), selected) if selected and not missing else ""


def scale_sentence(plan: Plan, datasets: Iterable[str], specs: Iterable[str]) -> str:
    """A plan's scale, data, width, steps and multipliers, of some of its datasets and specs."""
    if not changes(plan):
        return f"Scale {plan.scale}: the published settings."
    settings, specs = plan.settings, [*specs]
    data = [plan.datasets[name] for name in dict.fromkeys(datasets)]
    strength, rate = (_times(plan, key, specs) for key in ("strength_multiplier", "lr_multiplier"))
    named = [data_used(each) for each in data]
    parts = [
        *named[:MOST_DATA],
        *([f"{len(named) - MOST_DATA} other data sets"] if len(named) > MOST_DATA else []),
        of_the_width(settings["width"]) if settings["width"] != 1 else "the published width",
        f"{settings['steps']:,} steps" if settings["steps"] is not None else "the published steps",
        f"printed L2 and WD times {strength}" if strength else "L2 and WD as printed",
        f"learning rates times {rate}" if rate else "learning rates as published",
    ]
    return f"Scale {plan.scale}, not comparable with the paper: {', '.join(parts)}."


def changes(plan: Plan) -> list[str]:
    """What this scale does otherwise than the paper, sentence by sentence; empty at the published settings."""
    settings, said = plan.settings, []
    for data in plan.datasets.values():
        if data.stands_for:
            said.append(
                f"In place of {long_name(data.stands_for)}: {long_name(data.name)}, {data.source}; {data.classes} "
                f"classes, {data.train:,} images to train on and {data.test:,} to test on, {data.side}x"
                f"{data.side} pixels, {data.channels} channel{'s' if data.channels > 1 else ''}, "
                f"{'with' if data.flip else 'without'} random flips."
            )
    if settings["width"] != 1:
        said.append(f"Every convolution has {short(settings['width'])} of its published width.")
    if settings["steps"] is not None:
        said.append(f"A training has {settings['steps']:,} iterations; the phases of the schedule keep their shares.")
    texts: tuple[tuple[MultiplierKey, str], ...] = (
        ("strength_multiplier", "Strengths of L2 and WD are those that label the rows, times {}."),
        ("lr_multiplier", "Base learning rates are the published ones, times {}."),
    )
    for key, what in texts:
        times = _times(plan, key, plan.specs)
        said += [what.format(times)] if times else []
    return said


def _times(plan: Plan, key: MultiplierKey, specs: Iterable[str]) -> str:
    """By which factor a setting of specs is multiplied, or by which for each optimizer; empty if by none."""
    used = sorted({plan.specs[spec].optimizer for spec in specs})
    factors = {optimizer: multiplier(plan.settings[key], optimizer) for optimizer in used}
    others = sorted({*factors.values()} - {1})
    each = [f"{short(f)} for {listed([NAMES.get(o, o) for o in used if factors[o] == f])}" for f in others]
    return short(others[0]) if others and {*factors.values()} == {*others[:1]} else " and ".join(each)


def listed(names: list[str]) -> str:
    """Adam, SGD and RMSProp."""
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
