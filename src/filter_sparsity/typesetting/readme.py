"""The README's first screen: the verdict of the archive, between two markers. Torch-free."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from ..errors import UserError
from ..files import atomic_write, write_text
from ..verdict.summary import Summary, read_summary
from .latex import fill

START, END = "<!-- verdict: written by `snakemake readme` -->", "<!-- end of verdict -->"


def render_verdict(summary: Summary, layers: str, overview: str, template: Path) -> str:
    """The verdict with its markers. `layers` and `overview` are the addresses of the pictures."""
    text = fill(template, {"verdict": summary, "layers": layers, "overview": overview})
    return f"{START}\n{text}{END}"


def write_readme(verdict: Path, layers: Path, overview: Path, template: Path, readme: Path, folder: Path) -> None:
    """Replace the verdict in the README by that of `verdict` (verdict.json), and copy its pictures to `folder`.

    Raises UserError without markers.
    """
    summary = read_summary(verdict)
    text = readme.read_text(encoding="utf-8")
    between = re.compile(f"{re.escape(START)}.*?{re.escape(END)}", re.DOTALL)
    if not between.search(text):
        raise UserError(f"{readme} has no place for the verdict: put the lines {START} and {END} into it")
    pictures = (layers, overview)
    for picture in pictures if summary["runs"] else ():
        with atomic_write(folder / picture.name) as temporary:
            shutil.copyfile(picture, temporary)
    first, second = ((folder / picture.name).relative_to(readme.parent).as_posix() for picture in pictures)
    block = render_verdict(summary, first, second, template)
    write_text(readme, between.sub(lambda _: block, text))
