"""Captions (reStructuredText) and labels of the HTML page, `snakemake page --report`. Torch-free: the Snakefile's."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from ..plan import Plan
from .words import data_used

TEMPLATES = Path("report/captions")  # one for each category of the page
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

# How the page labels files that share a category.
LABELS = {
    "table csv": {"form": "all digits (CSV)"},
    "table pdf": {"form": "PDF"},
    "cells": {"what": "every printed number (CSV)"},
    "claims": {"what": "every claim (CSV)"},
    "overview": {"what": "all in one picture"},
    "layers": {"what": "Table 1, layer by layer"},
    "report": {"what": "the whole report"},
}


def template(category: str) -> Path:
    """The caption's template of a category, which shows one of `page_captions`."""
    return TEMPLATES / f"{category.lower()}.rst"


def describe_data(plan: Plan, datasets: Iterable[str]) -> str:
    """Which data at which scale, and whether the numbers can be compared with the paper's."""
    used = [plan.datasets[name] for name in dict.fromkeys(datasets)]
    names = [data_used(each) for each in used]
    own = plan.settings
    return f"Scale {plan.results_folder.name}{': ' if names else ''}{', '.join(names)}." + (
        f" Width {own['width']}, {own['steps'] or 'the published number of'} iterations:"
        " not comparable with the paper's numbers."
        if not plan.is_paper_scale
        else ""
    )


def caption(plan: Plan, name: str) -> str:
    """A table's or figure's own caption, and its data."""
    shown = (plan.tables | plan.figures)[name]
    data = plan.datasets_shown_by(name)
    plain = re.sub(r"[\\*`_|]", r"\\\g<0>", shown["caption"])  # which mean something else in reStructuredText
    plain = re.sub(r"\^\{(.*?)\}", lambda power: power[1].translate(RAISED), plain)
    return f"{plain} {describe_data(plan, data)}" if data else plain


def page_captions(plan: Plan, plans: Iterable[Plan]) -> dict[str, str]:
    """Texts of the page, by the name of a results folder, table or figure; under `scale`, that of `plan`."""
    return {
        "scale": describe_data(plan, plan.datasets),
        **{each.results_folder.name: describe_data(each, each.datasets) for each in plans},
        **{name: caption(plan, name) for name in (*plan.tables, *plan.available_figures)},
    }
