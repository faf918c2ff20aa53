"""LaTeX: numbers and plain text as it wants them, templates that hold neither, and the PDF of it. Torch-free."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from ..errors import UserError
from ..files import atomic_write
from ..metrics import METRICS
from ..spec import short
from ..verdict.verdicts import ClaimVerdict
from .words import counted, counted_numbers, of_the_width, worded

INSTALL = (
    "sudo apt-get install --no-install-recommends texlive-latex-base texlive-latex-recommended texlive-pictures "
    "latexmk lmodern"
)

SECONDS = 600  # that latexmk may take
SPECIAL = {
    **{c: f"\\{c}" for c in "&%$#_{}"},
    " %": r"~\%",
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "γ": r"$\gamma$",
    "β": r"$\beta$",
    "λ": r"$\lambda$",
    "θ": r"$\theta$",
    "ε": r"$\varepsilon$",
    "η": r"$\eta$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "−": r"$-$",
    "…": r"\dots{}",
    "†": r"\textsuperscript{\dag}",
    "‡": r"\textsuperscript{\ddag}",
    "–": "--",
    "“": "``",
    "”": "''",
}
MINUS = r"(?<![\w.])-(?=\d)|(?<= )-(?= )"  # a hyphen that is no hyphen
TOKEN = re.compile(rf"([γβλθεη])_(\w+)|10\^\{{(-?\d+)\}}|({MINUS})|( %|.)", re.DOTALL)


def latex(text: Any) -> str:
    """Plain text as LaTeX: special characters are escaped, Greek letters, γ_init and 10^{-3} typeset.

    Raises UserError for a character that the report's fonts may not have.
    """

    def token(match: re.Match[str]) -> str:
        letter, index, power, minus, character = match.groups()
        if letter:
            return rf"{SPECIAL[letter][:-1]}_{{\mathrm{{{index}}}}}$"
        if power:
            return f"$10^{{{power}}}$"
        if minus:
            return SPECIAL["−"]
        if character in SPECIAL:
            return SPECIAL[character]
        if ord(character) > 0x17F or (ord(character) < 32 and character not in "\n\t"):
            raise UserError(f"cannot typeset the character {character!r} in {str(text)!r}")
        return character

    return TOKEN.sub(token, str(text))


def unbroken(text: str) -> str:
    """LaTeX in which no line ends before a number: `L2 1e-3` and `Table 4` stay whole."""
    return re.sub(r" (?=(?:\$-\$)?\d)", "~", text)


Context = dict[str, object]  # what a template shows, by name


def fill(template: Path, context: Context) -> str:
    """Fill a template; a name that it uses and nobody gave is an error."""
    environment = jinja2.Environment(
        block_start_string=r"\BLOCK{",
        block_end_string="}",
        variable_start_string=r"\VAR{",
        variable_end_string="}",
        comment_start_string=r"\COMMENT{",
        comment_end_string="}",
        line_statement_prefix="%%",
        line_comment_prefix="%#",
        trim_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        loader=jinja2.FileSystemLoader(template.parent),
    )
    numbers = (latex, unbroken, value, paper_number, of_the_width)
    verdicts = (typeset_verdict, typeset_precondition, worded, counted, counted_numbers)
    environment.filters.update({function.__name__: function for function in (*numbers, *verdicts)})
    try:
        return environment.get_template(template.name).render(context)
    except jinja2.TemplateNotFound:
        raise UserError(f"cannot read the template {template}") from None
    except jinja2.TemplateError as error:
        raise UserError(f"{template}: {' '.join(str(error).split())}") from None


def number(value: float | None, metric: str) -> str:
    """A value as the paper prints the metric: shares in percent, others as they are; a missing value is a dash."""
    if value is None or pd.isna(value):
        return "--"
    return f"{METRICS[metric].factor * value:.{METRICS[metric].decimals}f}"


def spread(sd: float, metric: str) -> str:
    """The standard deviation over seeds; nothing where there is one seed."""
    return "" if pd.isna(sd) else rf"\spread{{{number(sd, metric)}}}"


def typeset_verdict(verdict: str, at_paper_scale: bool) -> str:
    """A claim's verdict as LaTeX."""
    look = "unmeasured" if verdict == ClaimVerdict.NOT_MEASURED else verdict
    return rf"\{look}{{{worded(verdict, at_paper_scale)}}}"


def typeset_precondition(verdict: str) -> str:
    """A precondition's verdict as LaTeX: whether it holds."""
    words: dict[str, str] = {ClaimVerdict.CONFIRMED: "holds", ClaimVerdict.REFUTED: "does not hold"}
    return words.get(verdict, typeset_verdict(verdict, at_paper_scale=True))


def value(fact: Any) -> str:
    """A setting as a person writes it."""
    if isinstance(fact, bool):
        return "yes" if fact else "no"
    if isinstance(fact, list):
        return ", ".join(value(item) for item in fact)
    return short(fact) if isinstance(fact, float) else str(fact)


def paper_number(name: str) -> int | None:
    """3 for table3: where the supplement has a number, the report has the same."""
    found = re.fullmatch(r"[a-z]+(\d+)", name)
    return int(found[1]) if found else None


def compile_pdf(tex: Path, style: Path, out: Path, inside: Path | None = None) -> None:
    r"""Run latexmk on `tex` in its own folder; a part of a document is compiled as `\content` of `inside`.

    The user's latexmkrc and texmf folders have no part in it. LaTeX gets relative names only: characters of the
    project's path that mean something to it do not reach it. Raises UserError if LaTeX is not installed, stops at an
    error or does not end.
    """
    if not shutil.which("latexmk") or not shutil.which("pdflatex"):
        raise UserError(
            f"LaTeX is not installed, so there is no {out.name}: `{INSTALL}`; "
            "without it `snakemake tables figures` makes everything else"
        )
    scratch = tex.with_suffix(".latex")
    no_texmf = f"{scratch.name}/texmf"
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("TEX")},
        "TEXINPUTS": f"{scratch.name}:",
        **dict.fromkeys(("TEXMFHOME", "TEXMFCONFIG", "TEXMFVAR"), no_texmf),  # else those in the user's home
        "LC_ALL": "C",
        "SOURCE_DATE_EPOCH": "0",  # equal sources give equal files
        "FORCE_SOURCE_DATE": "1",
    }
    before, what = r"\pdftrailerid{}", tex.name  # else the PDF has a digest of the scratch folder's name
    if inside is not None:
        before, what = rf"{before}\def\content{{{tex.name}}}", f"{scratch.name}/{inside.name}"
    command = ["latexmk", "-norc", "-pdf", "-interaction=nonstopmode", "-halt-on-error", f"-jobname={tex.stem}"]
    command += [f"-outdir={scratch.name}", f"-usepretex={before}", what]
    try:
        shutil.rmtree(scratch, ignore_errors=True)  # of a call that was killed
        scratch.mkdir()
        for file in filter(None, (style, inside)):
            shutil.copyfile(file, scratch / file.name)
        code, said = _run(command, tex.parent, environment)
        made = scratch / f"{tex.stem}.pdf"
        if code or not made.exists():
            log = tex.with_suffix(".log")
            log.write_text(said, encoding="utf-8")
            first = next((line for line in said.splitlines() if line.startswith("!")), "it gave no reason")
            raise UserError(f"LaTeX stopped at {tex}: {first}; all it said is in {log}")
        with atomic_write(out) as temporary:
            shutil.copyfile(made, temporary)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    """Exit code and output of a command. Raises UserError if it does not end, and leaves no process of it behind."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,  # so that what it started ends with it
    )
    try:
        said, _ = process.communicate(timeout=SECONDS)
    except BaseException as error:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            raise UserError(f"`{' '.join(command)}` did not end within {SECONDS} seconds in {folder}") from None
        raise
    return process.returncode, said
