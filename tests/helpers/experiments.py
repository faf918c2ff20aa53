"""The project's experiments, changed, or without what somebody added to the paper's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from filter_sparsity.plan import Plan
from filter_sparsity.planning.build import merge
from filter_sparsity.verdict.published import find_published


def changed(settings: dict[str, Any], folder: Path, changes: dict[str, str], count: int = -1) -> dict[str, Any]:
    """Settings that point at copies, in `folder`, of the files in which texts are replaced, `count` times each."""
    for old, new in changes.items():
        part, path = next((p, f) for p, f in settings["experiments"].items() if f and old in Path(f).read_text())
        copy = folder / f"{part}.yaml"
        copy.write_text(Path(path).read_text().replace(old, new, count))
        settings = merge(settings, {"experiments": {part: str(copy)}})
    return settings


def rows_of(table: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a plan's table."""
    return [row for panel in table["panels"] for group in panel["groups"] for row in group["rows"]]


def printed_rows(plan: Plan, lines: list[dict[str, str]], name: str) -> list[dict[str, Any]]:
    """Those rows of a table that the paper has, too, in `lines`."""

    def is_printed(row: dict[str, Any]) -> bool:
        return all(find_published(lines, settings, plan.row_defaults) for settings in row["published"].values())

    return [row for row in rows_of(plan.tables[name]) if is_printed(row)]


def as_printed(plan: Plan, lines: list[dict[str, str]], name: str) -> dict[str, Any]:
    """A table with no rows but the paper's."""
    table, printed = plan.tables[name], printed_rows(plan, lines, name)
    panels = []
    for panel in table["panels"]:
        own = [{**group, "rows": [row for row in group["rows"] if row in printed]} for group in panel["groups"]]
        if groups := [group for group in own if group["rows"]]:
            panels.append({**panel, "groups": groups})
    return {**table, "panels": panels}
