"""The verdict of the archive in pages of the repository, between two markers. Torch-free."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files import atomic_write, write_text
from ..plan import Plan
from .claims import describe_verdict
from .latex import fill

START, END = "<!-- verdict: written by `snakemake readme` -->", "<!-- end of verdict -->"


def render_verdict(plan: Plan, verdict: Path, reference: Path, picture: Path, template: Path, page: Path) -> str:
    """The verdict with its markers, as `page` shows it.

    `verdict` is the folder that `judge` wrote, `reference` the csv of the stored records, `picture` that of the layers:
    the page links to the last two.
    """
    described: dict[str, Any] = describe_verdict(plan, verdict)
    where = Path(os.path.relpath(reference, page.parent)).as_posix()
    lines = [
        {**line, "record": link_to_records(reference, where, line["specs"]) if line["n"] != "0" else ""}
        for line in described["headlines"]
    ]
    layers = Path(os.path.relpath(picture, page.parent)).as_posix()
    text = fill(template, {"verdict": {**described, "headlines": lines}, "layers": layers})
    return f"{START}\n{text}{END}"


def link_to_records(reference: Path, where: str, specs: Sequence[str]) -> str:
    """The address of the lines of the first stored spec, if the csv is at `where`; without specs, of the simulations.

    Empty if none of the specs is stored.
    """
    if not specs:
        return f"{where.removesuffix('.csv')}.npz"
    stored = [line.partition(",")[0] for line in reference.read_text(encoding="utf-8").splitlines()]
    for spec in specs:
        if spec in stored:
            first = stored.index(spec) + 1
            return f"{where}#L{first}-L{first + stored.count(spec) - 1}"
    return ""


def write_verdict(
    plan: Plan, verdict: Path, reference: Path, layers: Path, template: Path, page: Path, folder: Path
) -> None:
    """Replace the verdict in a page by that of the folder `verdict`, and copy its picture to `folder`.

    Raises UserError without markers.
    """
    text = page.read_text(encoding="utf-8")
    between = re.compile(f"{re.escape(START)}.*?{re.escape(END)}", re.DOTALL)
    if not between.search(text):
        raise UserError(f"{page} has no place for the verdict: put the lines {START} and {END} into it")
    picture = folder / layers.name
    block = render_verdict(plan, verdict, reference, picture, template, page)
    with atomic_write(picture) as temporary:
        shutil.copyfile(layers, temporary)
    write_text(page, between.sub(lambda _: block, text))
