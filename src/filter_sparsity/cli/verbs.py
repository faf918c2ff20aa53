"""From the published settings to the typeset supplement, one verb a step. `VERB --help` lists a verb's arguments."""

# Heavy modules are imported by the verb that needs them.
from __future__ import annotations

import json
import math
import os
import sys
import time
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError
from ..files import write_text
from ..paths import ORIGINAL, ResultsFolder, run_folder
from ..plan import Plan
from ..spec import Spec
from .arguments import end_time, flag, integer, number, path, plan_file, settings, text, verb

if TYPE_CHECKING:
    import pandas as pd

PLAN = plan_file("--plan", help="the plan, results/<folder>/plan.json")
RUNS = path("--runs", help="folder of the runs")
SIMULATIONS = path("--simulations", help="folder of the simulations")
ORIGINALS = path("--root", help="where original data lie")
PUBLISHED = path("--published", help="folder of the paper's tables")
REFERENCE = path("--reference", help="the archive's csv; its json and npz lie beside it")
TOLERANCES = path("--tolerances", help="yaml file of tolerances, by metric")
OUT = path("--out", help="file to write")
PICTURES = path("--out", nargs="+", help="files to write; their endings say the formats")
TRAINING = (
    text("--spec", help="its settings as JSON, or its id in the plan"),
    plan_file("--plan", default=None, help="the plan, if --spec is an id"),
    integer("--seed", nargs="+"),
    path("--data", help="the prepared dataset"),
    RUNS,
    text("--device", choices=["cpu", "cuda", "auto"], default="auto"),
    integer("--threads", default=1),
)


# Configuration -> plan


@verb(
    path("--config", action="append", default=[], help="configuration file; later ones overlay earlier ones"),
    settings("--settings", default={}, help="further settings as JSON"),
    OUT,
)
def plan(args: Namespace) -> None:
    """Resolve the experiments at a scale into a plan: every spec, and what each table selects."""
    from ..planning.build import build_plan, merge, overlay

    merged: dict = {}
    for file in args.config:
        merged = overlay(merged, file)
    write_text(args.out, build_plan(merge(merged, args.settings)).to_json())


@verb(path("--out", default=Path("docs/reference.md"), help="file to write"))
def reference(args: Namespace) -> None:
    """Write the page of all configuration keys from the schemas."""
    from ..planning.reference import page

    write_text(args.out, page())


# Original data -> prepared data


@verb(
    path("--table", default=Path("config/datasets.yaml"), help="what is known of each dataset"),
    path("--root", default=ORIGINAL, help="where original data lie"),
    path("--prepared", default=ORIGINAL.parent, help="folder of prepared data"),
)
def datasets(args: Namespace) -> None:
    """List the datasets: which are there, which are missing, and how to get them."""
    from ..data.manifest import listing
    from ..planning.experiments import read_datasets

    print("\n".join(listing(read_datasets(args.table), args.root, args.prepared)))


@verb(
    text("family", help="family of renders"),
    settings("--settings", help="the family's settings, from a plan, as JSON"),
    ORIGINALS,
    integer("--jobs", default=None, help="processes; as many as there are processors"),
    OUT,
)
def render(args: Namespace) -> None:
    """Render the objects of a family, which its plain and its cluttered dataset share."""
    from ..data.renders.compose import MODELS
    from ..data.renders.render import Settings, render, write
    from ..progress import cores

    settings = Settings.from_dict(args.settings)
    if args.family not in MODELS:
        raise UserError(f"there are no models of {args.family!r}: there are {', '.join(MODELS)}")
    models = MODELS[args.family](args.root, settings.classes)
    write(render(args.family, models, settings, args.jobs or cores()), args.out)


@verb(
    text("dataset"),
    path("--root", help="where original data lie or are downloaded to"),
    text("--mirror", default="", help="another address of the archive"),
    settings("--declared", default={}, help="numbers of classes, train and test images that there must be, as JSON"),
    text("--digest", default="", help="what the content must be, as in config/datasets.yaml"),
    path("--rendered", default=None, help="the renders that the dataset is composed of"),
    OUT,
)
def prepare(args: Namespace) -> None:
    """Bring a dataset into the prepared form that training reads."""
    from ..data.prepared import prepare

    digest = prepare(args.dataset, args.root, args.out, args.digest, args.mirror, args.rendered, args.declared)
    print(f"{args.dataset}: content digest {digest}")


# Prepared data and a spec -> run -> record


@verb(
    *TRAINING,
    integer("--history-points", default=100, help="how often gammas and betas are stored"),
    text("--precision", choices=["float32", "tf32", "bfloat16"], default="float32", help="of training"),
    flag("--measure", help="and measure the runs, as `extract` does"),
    path("--checkpoints", default=None, help="folder of unfinished trainings; `checkpoints` beside the runs"),
    number("--checkpoint-seconds", default=60, help="least time between checkpoints"),
    number("--time-limit", default=None, help="seconds after which to stop at a checkpoint, with exit code 75"),
    number("--stop-at", default=None, help="the same as a time of day, in seconds since 1970"),
)
def train(args: Namespace) -> None:
    """Train a spec with one or more seeds."""
    from ..training.torch_setup import select_device

    device = select_device(args.device, args.threads)  # before anything else imports torch
    from ..data.prepared import read
    from ..progress import stop_reason
    from ..training.checkpoint import FOLDER
    from ..training.run import Settings, train_run

    spec = _spec(args)
    data = read(args.data)
    stop = stop_reason(min(time.time() + (args.time_limit or math.inf), args.stop_at or math.inf))
    settings = Settings(device, args.history_points, args.precision, args.checkpoint_seconds, stop)
    folder = args.checkpoints or args.runs.with_name(FOLDER)
    checkpoints = [
        train_run(spec, seed, data, run_folder(args.runs, spec.id, seed), run_folder(folder, spec.id, seed), settings)
        for seed in args.seed
    ]
    if args.measure:
        extract.run(args)
    for each in checkpoints:  # not before: Snakemake deletes the results of every seed if one fails
        each.clear()


@verb(*TRAINING)
def extract(args: Namespace) -> None:
    """Measure trained runs: records of sparsity, pruned error, universality."""
    from ..training.torch_setup import select_device

    device = select_device(args.device, args.threads)  # before anything else imports torch
    from ..data.prepared import read
    from ..measuring.extract import extract_run, summary

    spec = _spec(args)
    data = read(args.data)
    for seed in args.seed:
        folder = run_folder(args.runs, spec.id, seed)
        extract_run(spec, seed, data, folder, device)
        print(f"{spec.id} seed {seed}: {summary(folder)}", file=sys.stderr)


@verb(
    PLAN,
    path("--data", help="folder of the prepared datasets"),
    integer("--together", default=1, help="how many trainings take turns on the device"),
    end_time("--until", default=math.inf, help="when to stop: a time of day as 14:30, or minutes from now as +25"),
    text("--device", choices=["cpu", "cuda", "auto"], default=None, help="in place of the plan's"),
    integer("--threads", default=1),
    number("--checkpoint-seconds", default=60, help="least time between a run's checkpoints"),
)
def campaign(args: Namespace) -> None:
    """Train and measure the plan's runs that the archive lacks, in one process without Snakemake.

    Exit code 75: stopped, the same call goes on. results/<scale>/campaign.tar.* hold what `store` needs.
    """
    from ..training.torch_setup import select_device

    own = args.plan.settings
    device = select_device(args.device or own["device"], args.threads)  # before anything else imports torch
    from ..measuring.campaign import run_campaign
    from ..progress import stop_reason
    from ..training.run import Settings

    if args.together < 1:
        raise UserError(f"--together is {args.together}: at least one training must be under way")
    settings = Settings(
        device,
        own["history_points"],
        own["precision"],
        args.checkpoint_seconds,
        stop_reason(args.until),
        args.together,
    )
    run_campaign(args.plan, args.data, settings)


def _spec(args: Namespace) -> Spec:
    """The spec that `--spec` gives in full, or names in the plan."""
    if args.plan is None:
        try:
            return Spec.from_dict(json.loads(args.spec))
        except ValueError:
            raise UserError(f"--spec {args.spec!r} is not a spec in JSON: to name one, give its --plan, too") from None
    if args.spec not in args.plan.specs:
        raise UserError(f"the plan has no spec {args.spec!r}")
    return args.plan.specs[args.spec]


@verb(PLAN, text("--figure"), OUT, path("--half-lives", help="file to write the half-lives to"))
def simulate(args: Namespace) -> None:
    """Run the simulation that a figure draws, and find its half-lives."""
    from ..measuring.simulate import half_lives, simulate, write

    figure = args.plan.figure(args.figure)
    if figure["kind"] != "simulation":
        raise UserError(f"{args.figure} is not a simulation: it is drawn from trained runs")
    write(simulate(figure), args.out)
    write(half_lives(figure), args.half_lives)


# Records <-> archive


@verb(
    PLAN,
    RUNS,
    SIMULATIONS,
    text("--note", default="", help="what whoever reads the stored records should know"),
    path("--out", help="the archive's csv; its json and npz lie beside it"),
)
def store(args: Namespace) -> None:
    """Add a scale's runs to the archive."""
    from ..records.archive import store

    added, count = store(args.plan, args.runs, args.simulations, args.out, args.note)
    print(f"{args.out}: {added} runs added or replaced, {count} in all")


@verb(PLAN, REFERENCE, RUNS, SIMULATIONS)
def restore(args: Namespace) -> None:
    """Write the folders of a plan's runs in the archive."""
    from ..records.archive import restore

    print(f"{restore(args.plan, args.reference, args.runs, args.simulations)} runs restored")


@verb(
    path("runs", nargs="+", help="folders such as results/<scale>/runs"),
    plan_file("--plan", default=None, help="results/<scale>/plan.json: which runs there are to be"),
)
def audit(args: Namespace) -> None:
    """Look through folders of runs, before or after they are merged; fail if something does not fit."""
    from ..records.audit import STATES, audit, table

    runs, conflicts = audit(args.runs, args.plan)
    print("\n".join(table(runs, args.plan)))
    counts = [f"{sum(run.state == state for run in runs):,} {state}" for state in STATES]
    print(f"{len(runs):,} runs: {', '.join(counts)}")
    for line in conflicts:
        print(f"conflict: {line}")
    if conflicts:
        raise UserError(f"{len(conflicts)} conflicts: mend them before these runs are used together")


# Records -> verdict


@verb(PLAN, text("--table"), RUNS, PUBLISHED, TOLERANCES, OUT)
def aggregate(args: Namespace) -> None:
    """Average a table's records over seeds, with the paper's numbers beside them."""
    from ..verdict.aggregate import aggregate

    _write_csv(args.out, aggregate(args.plan, args.table, args.runs, args.published, args.tolerances))


@verb(
    PLAN,
    RUNS,
    SIMULATIONS,
    PUBLISHED,
    TOLERANCES,
    path("--out", nargs=3, metavar=("CELLS", "CLAIMS", "JSON"), help="files to write"),
)
def judge(args: Namespace) -> None:
    """Judge every number that the paper prints, and every claim, by a scale's records."""
    from ..verdict.cells import judge_numbers
    from ..verdict.claims import judge_claims
    from ..verdict.summary import as_json, summarize

    cells = judge_numbers(args.plan, args.runs, args.published, args.tolerances)
    judged_claims = judge_claims(args.plan, args.runs, args.simulations, args.tolerances)
    cells_file, claims_file, counts_file = args.out
    _write_csv(cells_file, cells)
    _write_csv(claims_file, judged_claims)
    write_text(counts_file, as_json(summarize(args.plan, cells, judged_claims)))


@verb(PLAN, text("--table"), REFERENCE, PUBLISHED, OUT)
def compare_sensitivity(args: Namespace) -> None:
    """Compare each setting of the sensitivity analysis with the paper's sparsities."""
    from ..verdict.sensitivity import compare_sensitivity

    _write_csv(args.out, compare_sensitivity(args.plan, args.table, args.reference, args.published))


@verb(PLAN, RUNS, REFERENCE, TOLERANCES, path("--out", nargs=2, metavar=("CSV", "JSON"), help="files to write"))
def compare(args: Namespace) -> None:
    """Compare a scale's records with those in the archive, cell by cell."""
    from ..verdict.regression import as_json, compare

    frame = compare(args.plan, args.runs, args.reference, args.tolerances)
    table, data = args.out
    _write_csv(table, frame)
    write_text(data, as_json(frame, args.plan.scale))


@verb(path("comparison", help="what `compare` wrote"))
def check(args: Namespace) -> None:
    """Print a comparison; fail if a cell is out of tolerance."""
    from ..verdict.regression import check

    text, good = check(args.comparison)
    print(text)
    if not good:
        raise UserError(f"the scale's records differ from the archive beyond tolerance: all cells: {args.comparison}")


def _write_csv(path: Path, frame: pd.DataFrame) -> None:
    write_text(path, frame.to_csv(index=False, float_format="%.10g", lineterminator="\n"))


# Records and verdict -> figures, tables, PDF, README


@verb(PLAN, text("--table"), path("--values", help="what `aggregate` wrote"), path("--template"), OUT)
def typeset_table(args: Namespace) -> None:
    """Typeset a table as LaTeX."""
    from ..typesetting.tables import read_values, typeset_table

    write_text(args.out, typeset_table(args.plan, args.table, read_values(args.values), args.template))


@verb(
    PLAN,
    text("--figure"),
    RUNS,
    path("--simulation", default=None, help="what `simulate` wrote"),
    path("--data", default=None, help="folder of the prepared datasets"),
    PICTURES,
)
def plot(args: Namespace) -> None:
    """Draw a figure."""
    from ..typesetting.figures import plot

    plot(args.plan, args.figure, args.runs, args.simulation, args.out, args.data)


@verb(PLAN, path("--cells", help="cells that `judge` wrote"), PICTURES)
def plot_overview(args: Namespace) -> None:
    """Draw all the paper's numbers beside ours in one picture."""
    from ..typesetting.overview import plot_overview

    plot_overview(args.plan, args.cells, args.out)


@verb(path("--cells", help="cells that `judge` wrote"), PICTURES)
def plot_layers(args: Namespace) -> None:
    """Draw what each layer loses in Table 1, ours and the paper's."""
    from ..typesetting.layers import plot_layers

    plot_layers(args.cells, args.out)


@verb(
    PLAN,
    RUNS,
    path("--template"),
    path("--verdict", action="append", default=[], help="results of a scale whose verdict is shown, in order"),
    path("--sensitivity", default=None, help="results of the stored runs that vary assumed facts"),
    OUT,
)
def typeset_report(args: Namespace) -> None:
    """Typeset the report around its tables and figures as LaTeX."""
    from ..typesetting.claims import describe_verdict
    from ..typesetting.report import sensitivity, typeset_report

    verdicts = []
    for out in map(ResultsFolder, args.verdict):
        pictures = {name: os.path.relpath(out.figure(name, "pdf"), args.out.parent) for name in ("layers", "overview")}
        described = describe_verdict(Plan.from_json(out.plan), out.verdict("verdict.json").parent)
        verdicts.append({**described, "pictures": pictures})
    assumed = None
    if args.sensitivity:
        out = ResultsFolder(args.sensitivity)
        assumed = sensitivity(Plan.from_json(out.plan), out.sensitivity)
    write_text(args.out, typeset_report(args.plan, args.runs, args.template, verdicts, assumed))


@verb(
    path("tex"),
    path("--style", help="LaTeX package of the project"),
    path("--inside", default=None, help="the document that a lone table is put into"),
    OUT,
)
def compile(args: Namespace) -> None:
    """Make a PDF of a LaTeX file."""
    from ..typesetting.latex import compile_pdf

    compile_pdf(args.tex, args.style, args.out, args.inside)


@verb(
    PLAN,
    path("--verdict", help="folder that `judge` wrote"),
    REFERENCE,
    path("--layers", help="the picture of Table 1's layers"),
    path("--template"),
    path("--page", help="file to write into"),
    path("--pictures", default=Path("docs"), help="folder that the picture is copied to"),
)
def readme(args: Namespace) -> None:
    """Write the verdict of stored records into the README, or another page."""
    from ..typesetting.readme import write_verdict

    write_verdict(args.plan, args.verdict, args.reference, args.layers, args.template, args.page, args.pictures)
