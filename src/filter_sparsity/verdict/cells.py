"""Every number that the paper prints, against ours. Torch-free."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..errors import UserError
from ..plan import Plan
from .aggregate import aggregate


def judge_numbers(plan: Plan, runs: Path, published: Path, tolerances: Path) -> pd.DataFrame:
    """A line for every printed number: table, row and column, the paper's value and ours, and the verdict."""
    frames, references = [], list[str | None]([None])
    for name, table in plan.tables.items():
        if table["reference"] not in references:  # a table that shows some of another's numbers again is left out
            references.append(table["reference"])
            frames.append(aggregate(plan, name, runs, published, tolerances).assign(table=name))
    cells = pd.concat(frames, ignore_index=True)
    return cells[["table", *cells.columns.drop("table")]][cells["paper"].notna()]


def read_cells(path: Path) -> pd.DataFrame:
    """The CSV of `judge_numbers`. Raises UserError."""
    text = dict.fromkeys(("panel", "group", "row", "column_group"), str)
    try:
        return pd.read_csv(
            path, dtype=text, keep_default_na=False, na_values=dict.fromkeys(("mean", "sd", "paper"), "")
        )
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}): delete it and judge again") from None
