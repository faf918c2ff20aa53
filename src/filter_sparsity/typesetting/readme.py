"""The README's first screen: the verdict of the archive, between two markers. Torch-free."""

from __future__ import annotations

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


def render_verdict(plan: Plan, verdict: Path, reference: Path, layers: str, template: Path) -> str:
    """The verdict with its markers.

    `verdict` is the folder that `judge` wrote, `reference` the csv of the stored records, and `layers` the address of
    the picture; the last two as the README links to them.
    """
    described: dict[str, Any] = describe_verdict(plan, verdict)
    lines = [{**line, "record": link_to_records(reference, line["specs"])} for line in described["headlines"]]
    text = fill(template, {"verdict": {**described, "headlines": lines}, "layers": layers})
    return f"{START}\n{text}{END}"


def link_to_records(reference: Path, specs: Sequence[str]) -> str:
    """The address of the first stored spec's lines among the records; of a claim without specs, of the simulations.

    Empty if none of the specs is stored.
    """
    if not specs:
        return reference.with_suffix(".npz").as_posix()
    stored = [line.partition(",")[0] for line in reference.read_text().splitlines()]
    for spec in specs:
        if spec in stored:
            first = stored.index(spec) + 1
            return f"{reference.as_posix()}#L{first}-L{first + stored.count(spec) - 1}"
    return ""


def write_readme(
    plan: Plan, verdict: Path, reference: Path, layers: Path, template: Path, readme: Path, folder: Path
) -> None:
    """Replace the verdict in the README by that of the folder `verdict`, and copy its picture to `folder`.

    Raises UserError without markers.
    """
    text = readme.read_text()
    between = re.compile(f"{re.escape(START)}.*?{re.escape(END)}", re.DOTALL)
    if not between.search(text):
        raise UserError(f"{readme} has no place for the verdict: put the lines {START} and {END} into it")
    copied = folder / layers.name
    block = render_verdict(plan, verdict, reference, copied.relative_to(readme.parent).as_posix(), template)
    with atomic_write(copied) as temporary:
        shutil.copyfile(layers, temporary)
    write_text(readme, between.sub(lambda _: block, text))
