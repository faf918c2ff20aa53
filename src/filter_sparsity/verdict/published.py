"""The paper's printed numbers, from the CSV files of its tables. Torch-free."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..metrics import METRICS


def read_published(path: Path) -> list[dict[str, str]]:
    """The lines of one of the paper's tables."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None


def find_published(
    lines: list[dict[str, str]], settings: Mapping[str, Any], defaults: Mapping[str, Any]
) -> dict[str, str] | None:
    """The line of the paper's table with these published settings, if there is one.

    `defaults` are the settings of a row without any of its own. A setting that the table does not print must be the
    default: a new row with another beta is not the paper's. Where a table has a column per dataset, its lines fit
    every dataset.
    """
    for line in lines:
        if all(
            _equal(line[key], value) if line.get(key) else key == "dataset" or value == defaults.get(key)
            for key, value in settings.items()
        ):
            return line
    return None


def _equal(printed: str, value: Any) -> bool:
    return float(printed) == float(value) if isinstance(value, int | float) else printed == value


def published_value(line: dict[str, str] | None, dataset: str, metric: str, layer: str) -> tuple[float, float]:
    """The paper's number for a cell, as a fraction if it is a share, and half a unit of its last printed digit.

    Both are NaN if it prints none.
    """
    columns = [column.format(dataset=dataset, layer=layer) for column in METRICS[metric].published]
    text = line and next((line[column] for column in columns if line.get(column)), "")
    if not text:
        return math.nan, math.nan
    unit = 10.0 ** -len(text.partition(".")[2])
    factor = METRICS[metric].factor
    return float(text) / factor, unit / 2 / factor
