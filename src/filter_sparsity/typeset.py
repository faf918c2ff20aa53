"""Tables and the report as LaTeX, from templates that hold no numbers. Torch-free."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from . import provenance
from .aggregate import COLUMNS, JUDGED, KEYS, LAYERED, LOSSES, columns, read_records
from .errors import UserError
from .paths import whole
from .plan import Plan
from .sparsity import conv_parameters
from .spec import Spec, short
from .sweep import multiplier

DECIMALS = {"train_loss": 2, "test_loss": 2, "test_error": 1, "pruned_test_error": 1}  # as the paper prints them
HEADS = {
    "train_loss": "Train\nLoss",
    "test_loss": "Test\nLoss",
    "test_error": "Test\nErr",
    "sparsity_by_gamma": "% Sparsity\nby γ",
    "sparsity_by_activation": "% Sparsity\nby Act",
    "params_pruned": "% Param\nPruned",
    "pruned_test_error": "Pruned\nTest Err.",
}
SPANS = {
    "sparsity_by_gamma": "% Sparsity by γ, or % Filters Pruned",
    "sparsity_by_activation": "% Sparsity by Activation",
}
INSTALL = (
    "sudo apt-get install --no-install-recommends texlive-latex-base texlive-latex-recommended texlive-pictures "
    "latexmk lmodern"
)

_SPECIAL = {
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
    "±": r"$\pm$",
    "×": r"$\times$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "−": r"$-$",
    "…": r"\dots{}",
    "–": "--",
    "“": "``",
    "”": "''",
}
_TOKEN = re.compile(r"([γβλθ])_(\w+)|10\^\{(-?\d+)\}|( %|.)", re.DOTALL)


def latex(text: Any) -> str:
    """Plain text as LaTeX: special characters are escaped, Greek letters, γ_init and 10^{-3} typeset.

    Raises UserError for a character that the report's fonts may not have.
    """

    def token(match: re.Match[str]) -> str:
        letter, index, power, character = match.groups()
        if letter:
            return rf"{_SPECIAL[letter][:-1]}_{{\mathrm{{{index}}}}}$"
        if power:
            return f"$10^{{{power}}}$"
        if character in _SPECIAL:
            return _SPECIAL[character]
        if ord(character) > 0x17F or (ord(character) < 32 and character not in "\n\t"):
            raise UserError(f"cannot typeset the character {character!r} in {str(text)!r}")
        return character

    return _TOKEN.sub(token, str(text))


def render(template: Path, context: dict[str, Any]) -> str:
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
    environment.filters.update(latex=latex, value=value, paper_number=paper_number, shown=shown)
    try:
        return environment.get_template(template.name).render(context)
    except jinja2.TemplateNotFound:
        raise UserError(f"cannot read the template {template}") from None
    except jinja2.TemplateError as error:
        raise UserError(f"{template}: {' '.join(str(error).split())}") from None


def number(value: float | None, metric: str) -> str:
    """As the paper prints it: losses as they are, everything else in percent; a missing value is a dash."""
    if value is None or pd.isna(value):
        return "--"
    scaled = value if metric in LOSSES else 100 * value
    return f"{scaled:.{DECIMALS.get(metric, 0)}f}"


def spread(sd: float, metric: str) -> str:
    """The standard deviation over seeds; nothing where there is one seed."""
    return "" if pd.isna(sd) else rf"\spread{{{number(sd, metric)}}}"


def marked(text: str, verdict: str) -> str:
    """Our number in the look of its verdict, where it is one about agreement."""
    return rf"\{verdict}{{{text}}}" if verdict in ("agrees", "differs") else text


def shown(verdict: str) -> str:
    """A claim's verdict as LaTeX."""
    look = verdict if verdict in ("confirmed", "refuted", "undecided") else "unmeasured"
    return rf"\{look}{{{verdict}}}"


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


def stacked(text: str) -> str:
    r"""Lines of a column's head, one above the other."""
    lines = r"\\".join(latex(line) for line in text.split("\n"))
    return rf"\shortstack{{{lines}}}"


def read_values(path: Path) -> pd.DataFrame:
    """The numbers of a table, as `aggregate` wrote them."""
    labels = dict.fromkeys((*KEYS, "spec_id", "reason", "verdict"), str)  # 1e-02 is a label
    try:
        empty = dict.fromkeys(("mean", "sd", "paper", *JUDGED[:3]), "")
        frame = pd.read_csv(path, dtype=labels, keep_default_na=False, na_values=empty)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {' '.join(str(error).split())}") from None
    if list(frame.columns) != list(COLUMNS):
        raise UserError(f"{path} is not a table's values: delete it and aggregate again")
    return frame


def table(plan: Plan, name: str, values: pd.DataFrame, template: Path) -> str:
    """A table as LaTeX, from its layout in the plan and the numbers that `aggregate` made."""
    layout = plan.table(name)
    if layout["needs"]:
        return render(template, {"name": name, "caption": layout["caption"], "needs": layout["needs"]})
    found = {
        (c["panel"], c["group"], c["row"], c["block"], c["metric"], c["layer"]): c for c in values.to_dict("records")
    }
    spec = plan.specs[plan.selected(name)[0]]
    wanted = [(block, metric, layer) for block in layout["blocks"] for metric, layer in columns(layout)]
    panels = []
    for panel in layout["panels"]:
        groups = []
        for group in panel["groups"]:
            rows = []
            for row in group["rows"]:
                keys = [(panel["label"], group["label"], row["label"], *key) for key in wanted]
                if not found.keys() >= {*keys}:
                    raise UserError(f"{name}: the values lack cells of the row {row['label']!r}: aggregate it again")
                own = [found[key] for key in keys]
                rows.append(
                    {
                        "label": row["label"],
                        "printed": any(pd.notna(c["paper"]) for c in own),
                        "cells": [
                            {
                                "ours": marked(number(c["mean"], c["metric"]), c["verdict"]),
                                "spread": spread(c["sd"], c["metric"]),
                                "paper": number(c["paper"], c["metric"]),
                            }
                            for c in own
                        ],
                    }
                )
            groups.append({"label": group["label"], "rows": rows})
        panels.append({"label": panel["label"], "groups": groups})
    grouped = any(group["label"] for panel in layout["panels"] for group in panel["groups"])
    first = 3 if grouped else 2
    context = {
        "name": name,
        "needs": [],
        "caption": f"{layout['caption']} {scale_in_short(plan, name)}",
        "note": f"{over_seeds(values['n'])} {printed_by_paper(layout, values)}",
        "grouped": grouped,
        "row_head": layout["row_head"],
        "width": first - 1 + len(wanted),
        "column_format": "r" * len(wanted),
        "heads": heads(layout, wanted, first),
        "columns": [{"label": stacked(column_head(spec, plan, layout, m, layer))} for _, m, layer in wanted],
        "panels": panels,
    }
    return render(template, context)


def printed_by_paper(layout: dict[str, Any], values: pd.DataFrame) -> str:
    """Where the gray numbers are from, if there are any."""
    if values["paper"].isna().all():
        return f"The paper prints no numbers of this ({layout['source']})."
    gray = f"Gray: the paper's number ({layout['source']})."
    if {*values["verdict"]} & {"agrees", "differs"}:
        gray += " Green: ours agrees with it; bold and red: it differs by more than rounding and seeds explain."
    return gray


def heads(layout: dict[str, Any], wanted: list[tuple[str, str, str]], first: int) -> list[dict[str, Any]]:
    """What stands above the columns' own heads: the block, or what the layers' columns have in common."""

    def label(key: tuple[str, str, str]) -> str:
        block, metric, _ = key
        if len(layout["blocks"]) > 1:
            return block
        return SPANS[metric] if metric in LAYERED and len(layout["layers"]) > 1 else ""

    spans, at = [], first
    for text, keys in itertools.groupby(wanted, key=label):
        span = len(list(keys))
        spans.append({"label": text, "span": span, "first": at, "last": at + span - 1})
        at += span
    return spans if any(s["label"] for s in spans) else []


def column_head(spec: Spec, plan: Plan, layout: dict[str, Any], metric: str, layer: str) -> str:
    network = spec.network
    if metric in LAYERED and len(layout["layers"]) > 1:
        filters = dict(zip(network.layers, network.filters, strict=True))
        return f"{layer.capitalize()}\n({filters.get(layer, sum(network.filters))})"
    if metric == "params_pruned":
        channels = plan.datasets[spec.dataset]["channels"]
        count = conv_parameters(network.filters, network.kernels, channels, network.conv_bias)
        return f"{HEADS[metric]}\n({count:.0f})"
    return HEADS[metric]


def over_seeds(counts: pd.Series) -> str:
    least, most = int(counts.min()), int(counts.max())
    if most == 0:
        return "Not measured: no run of this is there (n = 0)."
    if least == most == 1:
        return "One seed (n = 1)."
    return f"Mean ± standard deviation over n = {least if least == most else f'{least} to {most}'} seeds."


def scale_in_short(plan: Plan, name: str) -> str:
    """The sentence under every table that is not at the published settings; empty at them."""
    if not changes(plan):
        return ""
    data = [plan.datasets[name] for name in dict.fromkeys(plan.specs[spec].dataset for spec in plan.selected(name))]
    used = (f"{d['name']} for {d['stands_for']}" if d["stands_for"] else d["name"] for d in data)
    return f"Scale {plan.scale} ({', '.join(used)}): not comparable with the paper's numbers."


def changes(plan: Plan) -> list[str]:
    """What this scale does otherwise than the paper, sentence by sentence; empty at the published settings."""
    settings, said = plan.settings, []
    for data in plan.datasets.values():
        if data["stands_for"]:
            said.append(
                f"In place of {data['stands_for'].upper()}: {data['name']}, {data['source']}; {data['classes']} "
                f"classes, {data['train']:,} images to train on and {data['test']:,} to test on, {data['side']}x"
                f"{data['side']} pixels, {data['channels']} channel{'s' if data['channels'] > 1 else ''}, "
                f"{'with' if data['flip'] else 'without'} random flips."
            )
    if settings["width"] != 1:
        said.append(f"Every convolution has {short(settings['width'])} of its published width.")
    if settings["steps"] is not None:
        said.append(f"A training has {settings['steps']:,} iterations; the phases of the schedule keep their shares.")
    used = sorted({spec.optimizer for spec in plan.specs.values()})
    for key, what in (
        (
            "strength_multiplier",
            "Strengths of L2 and WD are {} times the printed ones, which label the rows: {}.",
        ),
        ("rate_multiplier", "Base learning rates are {} times the published ones: {}."),
    ):
        factors = {optimizer: multiplier(settings[key], optimizer) for optimizer in used}
        for factor in sorted({*factors.values()} - {1}):
            said.append(what.format(short(factor), ", ".join(o for o in used if factors[o] == factor)))
    return said


def verdict(plan: Plan, folder: Path, picture: str) -> dict[str, Any]:
    """What the report says of a verdict: counts, and each claim with its tests."""
    try:
        found = json.loads((folder / "verdict.json").read_text())
        empty = dict.fromkeys(("effect", "low", "high"), "")
        tests = pd.read_csv(folder / "claims.csv", keep_default_na=False, na_values=empty)
    except (OSError, ValueError) as error:
        raise UserError(f"{folder} holds no verdict ({error}): judge again") from None
    claims = [{**own.iloc[0].to_dict(), "tests": own.to_dict("records")} for _, own in tests.groupby("id", sort=False)]
    return {**found, "claims_told": claims, "picture": picture, "changes": changes(plan), "sentence": sentence(found)}


def sentence(found: dict[str, Any]) -> str:
    """The verdict in two sentences: numbers that agree of those measured, and claims confirmed."""
    cells, claims = found["cells"], found["claims"]
    measured = cells["printed"] - cells["not measured"]
    if cells["not comparable"]:
        told = f"{measured} of the {cells['printed']} printed numbers are measured; at this scale none is comparable."
    else:
        told = (
            f"{cells['agrees']} of {measured} measured numbers agree with the paper's, of {cells['printed']} printed."
        )
    counted = ", ".join(f"{claims[k]} {k}" for k in ("confirmed", "refuted", "undecided", "not measured") if claims[k])
    return f"{told} Of {claims['made']} claims: {counted}."


def assumptions(plan: Plan, compared: Path) -> dict[str, Any]:
    """What the report says of assumed facts that were varied: a group's rows as in the table, and by their rank."""
    try:
        frame = pd.read_csv(compared, keep_default_na=False, na_values=[""], dtype={"row": str, "verdict": str})
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {compared}: {' '.join(str(error).split())}") from None
    told = [str(name).removesuffix("_paper") for name in frame if str(name).endswith("_paper")]
    layers = [name for name in told if name != "test_error"]
    groups = []
    for label, own in frame.groupby("group", sort=False):
        rows = [_assumed(line, layers) for line in own.to_dict("records")]
        first = own.iloc[0]
        groups.append(
            {
                "label": label,
                "rows": rows,
                "ranked": sorted((row for row in rows if row["n"]), key=lambda row: row["rank"]),
                "paper": [number(first[f"{layer}_paper"], "sparsity_by_gamma") for layer in layers],
                "paper_error": number(first["test_error_paper"], "test_error"),
                "sentence": suspect(own),
            }
        )
    return {
        "scale": plan.scale,
        "changes": changes(plan),
        "runs": int(frame["n"].sum()),
        "layers": layers,
        "groups": groups,
        "caption": " ".join(table["caption"] for table in plan.tables.values()),
    }


def _assumed(line: dict[Any, Any], layers: list[str]) -> dict[str, Any]:
    def points(value: float) -> str:
        return f"{100 * value:+.1f}".replace("-", "−")

    def change(key: str) -> str:
        if pd.isna(line[f"{key}_change"]):
            return ""
        if pd.isna(line[f"{key}_low"]):
            return points(line[f"{key}_change"])
        return f"{points(line[f'{key}_change'])} ({points(line[f'{key}_low'])} to {points(line[f'{key}_high'])})"

    def with_spread(key: str, metric: str) -> str:
        return number(line[key], metric) + spread(line[f"{key}_sd"], metric)

    return {
        "label": line["row"],
        "cells": [with_spread(layer, "sparsity_by_gamma") for layer in layers],
        "error": with_spread("test_error", "test_error"),
        "n": line["n"],
        "rank": 0 if pd.isna(line["rank"]) else int(line["rank"]),
        "distance": with_spread("distance", "test_error"),  # a decimal, as errors have
        "nearer": change("distance"),
        "more": change("total"),
        "verdict": "" if pd.isna(line["verdict"]) else line["verdict"],
    }


def suspect(rows: pd.DataFrame) -> str:
    """Which varied fact comes nearest to the paper's pattern, as far as the numbers of a group carry."""
    ranked = rows[rows["n"] > 0].sort_values("distance", kind="stable")
    base = rows.iloc[0].to_dict()
    if not base["n"]:
        return "Not measured as configured: there is nothing to compare the others with."
    best = ranked.iloc[0].to_dict()
    apart = f"{100 * best['distance']:.1f} points from the paper's"
    even = f"A network equally sparse in all layers would lie {100 * base['even']:.1f} points away."
    if best["row"] == base["row"]:
        return f"No other value brings the pattern nearer: as configured, it lies {apart}, which is the least. {even}"
    before = f"{100 * base['distance']:.1f} as configured"
    if best["verdict"] == "closer":
        sparser = f"{100 * best['total_change']:+.1f}".replace("-", "−")
        return (
            f"Nearest is “{best['row']}”: the pattern lies {apart}, against {before}. That alone explains nothing: it "
            f"changes the sparsity as a whole by {sparser} points. {even}"
        )
    return (
        f"“{best['row']}” has the least distance: the pattern lies {apart}, against {before}. "
        f"But over so few seeds that is undecided: none of the facts is shown to explain the difference. {even}"
    )


def report(
    plan: Plan,
    runs: Path,
    template: Path,
    verdicts: Sequence[dict[str, Any]] = (),
    assumed: dict[str, Any] | None = None,
) -> str:
    """The report's LaTeX. Tables and figures are read from `tables/` and `figures/` beside it when it is compiled.

    `verdicts` are those of other scales' stored records, which come first, and of this one. `assumed` is what the
    stored runs of varied facts say, where the scale shows it.
    """
    records = read_records(plan, plan.specs, runs)
    origins = [record["provenance"] for record in records]
    where = {spec: [name for name in (*plan.tables, *plan.figures) if name in shows(plan, spec)] for spec in plan.specs}
    context = {
        "scale": plan.scale,
        "stored": plan.runs is not None,
        "verdicts": list(verdicts),
        "assumptions": assumed,
        "changes": changes(plan),
        "seeds": number_of_seeds(plan),
        "networks": sum(len(plan.seeds_of(spec)) for spec in plan.specs),
        "specs": len(plan.specs),
        "tables": list(plan.tables),
        "figures": {name: {"needs": [], **figure} for name, figure in plan.figures.items()},
        "facts": [
            {"part": part, "lines": list(lines)}
            for part, lines in itertools.groupby(plan.facts, key=lambda f: f["part"])
        ],
        "notes": plan.notes,
        "datasets": [
            {**data, "digest": next((o["data_digest"] for o in origins if o["dataset"] == name), "")}
            for name, data in plan.datasets.items()
        ],
        "folded": folded([record["measured"] for record in records]),
        "commits": tally(o["commit"] for o in origins),
        "measured_by": tally(o.get("measured_by", "one that was not kept") for o in origins),
        "devices": tally(o["device"] for o in origins),
        "versions": tally(", ".join(f"{k} {v}" for k, v in o["versions"].items()) for o in origins),
        "hours": sum(o["wall_seconds"] for o in origins) / 3600,
        "typeset_by": provenance.commit(),
        "runs": [
            {
                "spec": spec,
                "where": where[spec],
                "seconds": sum(o["wall_seconds"] for o in origins if o["spec_id"] == spec),
            }
            for spec in plan.specs
        ],
    }
    return render(template, context)


def number_of_seeds(plan: Plan) -> str:
    """3 seeds, or 1 to 3 seeds where datasets have their own number."""
    counts = [len(plan.seeds_of(spec)) for spec in plan.specs]
    least, most = min(counts), max(counts)
    return f"{least}{f' to {most}' if most > least else ''} seed{'s' if most > 1 else ''}"


def folded(measured: list[dict[str, Any]]) -> str:
    """How much it matters what becomes of the constants that removed features gave to the next layer."""
    points = [100 * abs(m["pruned_test_error"] - m["pruned_test_error_folded"]) for m in measured]
    differing = sum(p > 0 for p in points)
    most = f", by {max(points):.1f} points at most" if differing else ""
    return f"That changes the pruned test error of {differing} of {len(points)} runs{most}."


def shows(plan: Plan, spec: str) -> list[str]:
    return [name for name in (*plan.tables, *plan.figures) if spec in plan.selected(name)]


def tally(values: Any) -> list[str]:
    """Distinct values with how often each occurs, most frequent first."""
    counts = Counter(values)
    return [f"{value} ({count} runs)" if len(counts) > 1 else value for value, count in counts.most_common()]


def compile_pdf(tex: Path, style: Path, out: Path, inside: Path | None = None) -> None:
    r"""Run latexmk on `tex` in its own folder; a part of a document is compiled as `\content` of `inside`.

    Raises UserError if LaTeX is not installed or stops at an error.
    """
    if not shutil.which("latexmk") or not shutil.which("pdflatex"):
        raise UserError(
            f"LaTeX is not installed, so there is no {out.name}: `{INSTALL}`; "
            "without it `snakemake tables figures` makes everything else"
        )
    environment = {
        **os.environ,
        "TEXINPUTS": f"{style.resolve().parent}:",
        "SOURCE_DATE_EPOCH": "0",  # equal sources give equal files
        "FORCE_SOURCE_DATE": "1",
    }
    what = [tex.name] if inside is None else [f"-usepretex=\\def\\content{{{tex.name}}}", str(inside.resolve())]
    with tempfile.TemporaryDirectory() as scratch:
        command = ["latexmk", "-pdf", "-interaction=nonstopmode", "-halt-on-error", f"-jobname={tex.stem}"]
        done = subprocess.run(
            [*command, f"-outdir={scratch}", *what],
            cwd=tex.parent,
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        made = Path(scratch) / f"{tex.stem}.pdf"
        if done.returncode or not made.exists():
            log = tex.with_suffix(".log")
            log.write_text(done.stdout + done.stderr)
            first = next((line for line in done.stdout.splitlines() if line.startswith("!")), "it gave no reason")
            raise UserError(f"LaTeX stopped at {tex}: {first}; all it said is in {log}")
        with whole(out) as beside:
            shutil.copyfile(made, beside)
