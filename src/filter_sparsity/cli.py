"""The command line: one verb a step. Heavy modules are imported by the verb that needs them."""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from errno import EACCES, EDQUOT, EEXIST, EFBIG, EISDIR, ENOENT, ENOSPC, ENOTDIR, EPERM, EROFS
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import Unfinished, UserError
from .files import write_text
from .paths import ORIGINAL, ResultsFolder, run_folder
from .plan import Plan
from .spec import Spec

if TYPE_CHECKING:
    import pandas as pd

# What the user can mend: a disk that is full, a folder that may not be written, a wrong path.
USERS = {EACCES, EDQUOT, EEXIST, EFBIG, EISDIR, ENOENT, ENOSPC, ENOTDIR, EPERM, EROFS}
PLAIN = ("--table", "--figure", "--spec", "--settings")  # options that take no path


def plan(args: argparse.Namespace) -> None:
    from .planning.build import build_plan, merge, overlay

    settings: dict = {}
    for path in args.config or []:
        settings = overlay(settings, path)
    if args.settings:
        settings = merge(settings, _settings(args))
    write_text(args.out, build_plan(settings).to_json())


def datasets(args: argparse.Namespace) -> None:
    from .data.manifest import listing
    from .planning.validation import read_yaml, validate

    validate(read_yaml(args.table), "datasets", str(args.table))
    print("\n".join(listing(args.table, args.root, args.prepared)))


def render(args: argparse.Namespace) -> None:
    from .data.renders.compose import MODELS
    from .data.renders.render import Settings, render, write
    from .progress import cores

    settings = Settings.from_dict(_settings(args))
    if args.family not in MODELS:
        raise UserError(f"there are no models of {args.family!r}: there are {', '.join(MODELS)}")
    models = MODELS[args.family](args.root, settings.classes)
    write(render(args.family, models, settings, args.jobs or cores()), args.out)


def prepare(args: argparse.Namespace) -> None:
    from .data.prepared import prepare

    digest = prepare(args.dataset, args.root, args.out, args.digest, args.mirror, args.rendered)
    print(f"{args.dataset}: content digest {digest}")


def train(args: argparse.Namespace) -> None:
    from .training.torch_setup import select_device

    device = select_device(args.device, args.threads)  # before anything else imports torch
    from .data.prepared import read
    from .training.checkpoint import FOLDER
    from .training.run import Settings, train_run

    spec = _spec(args)
    data = read(args.data)
    stop = _when_to_stop(min(time.time() + (args.time_limit or math.inf), args.stop_at or math.inf))
    settings = Settings(device, args.history_points, args.precision, args.checkpoint_seconds, stop)
    checkpoints = args.checkpoints or args.runs.with_name(FOLDER)
    folders = [(run_folder(args.runs, spec.id, seed), run_folder(checkpoints, spec.id, seed)) for seed in args.seed]
    kept = [train_run(spec, seed, data, *own, settings) for seed, own in zip(args.seed, folders, strict=True)]
    if args.measure:
        extract(args)
    for each in kept:  # not before: Snakemake deletes the results of every seed if one fails
        each.clear()


def _when_to_stop(end: float) -> Callable[[], str]:
    """A function that says why the call is to stop, or an empty text: at a signal, or at `end` (seconds since 1970)."""
    signals: list[str] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: signals.append(signal.Signals(number).name))
    return lambda: signals[0] if signals else "its time is over" if time.time() >= end else ""


def extract(args: argparse.Namespace) -> None:
    """Measure what was trained, in a process of its own or in the one that trained it."""
    from .training.torch_setup import select_device

    device = select_device(args.device, args.threads)  # before anything else imports torch
    from .data.prepared import read
    from .measuring.extract import extract_run, summary

    spec = _spec(args)
    data = read(args.data)
    for seed in args.seed:
        folder = run_folder(args.runs, spec.id, seed)
        extract_run(spec, seed, data, folder, device)
        print(f"{spec.id} seed {seed}: {summary(folder)}", file=sys.stderr)


def aggregate(args: argparse.Namespace) -> None:
    from .verdict.aggregate import aggregate

    plan = Plan.from_json(args.plan)
    _write_csv(args.out, aggregate(plan, args.table, args.runs, args.published, args.tolerances))


def typeset_table(args: argparse.Namespace) -> None:
    from .typesetting.tables import read_values, typeset_table

    plan = Plan.from_json(args.plan)
    write_text(args.out, typeset_table(plan, args.table, read_values(args.values), args.template))


def simulate(args: argparse.Namespace) -> None:
    from .measuring.simulate import simulate, write

    figure = Plan.from_json(args.plan).figure(args.figure)
    if figure["kind"] != "simulation":
        raise UserError(f"{args.figure} is not a simulation: it is drawn from trained runs")
    write(simulate(figure), args.out)


def plot(args: argparse.Namespace) -> None:
    from .typesetting.figures import plot

    plot(Plan.from_json(args.plan), args.figure, args.runs, args.simulation, args.out, args.data)


def plot_overview(args: argparse.Namespace) -> None:
    from .typesetting.overview import plot_overview

    plot_overview(Plan.from_json(args.plan), args.cells, args.out)


def typeset_report(args: argparse.Namespace) -> None:
    from .typesetting.report import sensitivity, typeset_report, verdict

    verdicts = []
    for out in map(ResultsFolder, args.verdict or []):
        pictures = {name: os.path.relpath(out.figure(name, "pdf"), args.out.parent) for name in ("layers", "overview")}
        verdicts.append(verdict(Plan.from_json(out.plan), out.path / "verdict", pictures))
    assumed = None
    if args.sensitivity:
        out = ResultsFolder(args.sensitivity)
        assumed = sensitivity(Plan.from_json(out.plan), out.sensitivity)
    write_text(args.out, typeset_report(Plan.from_json(args.plan), args.runs, args.template, verdicts, assumed))


def compare_sensitivity(args: argparse.Namespace) -> None:
    from .verdict.sensitivity import compare_sensitivity

    _write_csv(args.out, compare_sensitivity(Plan.from_json(args.plan), args.table, args.reference, args.published))


def plot_layers(args: argparse.Namespace) -> None:
    from .typesetting.figures import plot_layers

    plot_layers(args.cells, args.out)


def readme(args: argparse.Namespace) -> None:
    from .verdict.cells import into_readme

    into_readme(args.verdict, [args.layers, args.overview], args.readme, args.pictures)


def compile(args: argparse.Namespace) -> None:
    from .typesetting.latex import compile_pdf

    compile_pdf(args.tex, args.style, args.out, args.inside)


def judge(args: argparse.Namespace) -> None:
    from .verdict import claims
    from .verdict.cells import as_json, judge, summary

    plan = Plan.from_json(args.plan)
    cells = judge(plan, args.runs, args.published, args.tolerances)
    told = claims.judge(plan, args.runs, args.simulations, args.tolerances)
    for_cells, for_claims, for_counts = args.out
    _write_csv(for_cells, cells)
    _write_csv(for_claims, told)
    write_text(for_counts, as_json(summary(plan, cells, told)))


def compare(args: argparse.Namespace) -> None:
    from .verdict.regression import as_json, compare

    plan = Plan.from_json(args.plan)
    frame = compare(plan, args.runs, args.reference, args.tolerances)
    table, data = args.out
    _write_csv(table, frame)
    write_text(data, as_json(frame, plan.scale))


def check(args: argparse.Namespace) -> None:
    from .verdict.regression import check

    text, good = check(args.comparison)
    print(text)
    if not good:
        raise UserError(f"the scale's records are not what they were: every cell is in {args.comparison}")


def store(args: argparse.Namespace) -> None:
    from .records.archive import store

    added, count = store(Plan.from_json(args.plan), args.runs, args.simulations, args.out, args.note)
    print(f"{args.out}: {added} runs added or replaced, {count} in all")


def restore(args: argparse.Namespace) -> None:
    from .records.archive import restore

    print(f"{restore(Plan.from_json(args.plan), args.reference, args.runs, args.simulations)} runs restored")


def audit(args: argparse.Namespace) -> None:
    from .records.audit import STATES, audit, table

    plan = Plan.from_json(args.plan) if args.plan else None
    runs, conflicts = audit(args.runs, plan)
    print("\n".join(table(runs, plan)))
    counts = [f"{sum(run.state == state for run in runs):,} {state}" for state in STATES]
    print(f"{len(runs):,} runs: {', '.join(counts)}")
    for line in conflicts:
        print(f"conflict: {line}")
    if conflicts:
        raise UserError(f"{len(conflicts)} conflicts: mend them before these runs are used together")


def reference(args: argparse.Namespace) -> None:
    from .planning.reference import page

    write_text(args.out, page())


def _write_csv(path: Path, frame: pd.DataFrame) -> None:
    write_text(path, frame.to_csv(index=False, float_format="%.10g", lineterminator="\n"))


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    try:
        return json.loads(args.settings)
    except ValueError as error:
        raise UserError(f"--settings is not JSON: {error}") from None


def _spec(args: argparse.Namespace) -> Spec:
    """The spec that `--spec` gives in full, or names in the plan."""
    if args.plan is None:
        try:
            return Spec.from_dict(json.loads(args.spec))
        except ValueError:
            raise UserError(f"--spec {args.spec!r} is not a spec in JSON: to name one, give its --plan, too") from None
    specs = Plan.from_json(args.plan).specs
    if args.spec not in specs:
        raise UserError(f"the plan has no spec {args.spec!r}")
    return specs[args.spec]


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="filter-sparsity", description=__doc__)
    verbs = top.add_subparsers(required=True, metavar="VERB")

    def verb(function: Callable[[argparse.Namespace], None], help: str) -> argparse.ArgumentParser:
        added = verbs.add_parser(function.__name__.replace("_", "-"), help=help, description=help)
        added.set_defaults(run=function)
        return added

    def needs(added: argparse.ArgumentParser, *names: str, **more: Any) -> None:
        for name in names:
            added.add_argument(name, required=True, type=str if name in PLAIN else Path, **more)

    def of_runs(added: argparse.ArgumentParser) -> None:
        needs(added, "--spec", help="its settings as JSON, or its id in the plan")
        added.add_argument("--plan", type=Path)
        added.add_argument("--seed", type=int, nargs="+", required=True)
        needs(added, "--data", help="the prepared dataset")
        needs(added, "--runs", help="folder of the runs")
        added.add_argument("--device", choices=["cpu", "cuda", "auto"], default="auto")
        added.add_argument("--threads", type=int, default=1)

    p = verb(plan, "Resolve the experiments at a scale into a plan: every spec, and what each table selects.")
    p.add_argument("--config", type=Path, action="append", help="configuration file; later ones overlay earlier ones")
    p.add_argument("--settings", help="further settings as JSON")
    needs(p, "--out")

    p = verb(datasets, "List the datasets: which are there, which are missing, and how to get them.")
    p.add_argument("--table", type=Path, default=Path("config/datasets.yaml"))
    p.add_argument("--root", type=Path, default=ORIGINAL, help="where original data lie")
    p.add_argument("--prepared", type=Path, default=ORIGINAL.parent, help="folder of prepared data")

    p = verb(render, "Render the objects of a family, which its plain and its cluttered dataset share.")
    p.add_argument("family")
    needs(p, "--settings", help="the family's settings, from a plan, as JSON")
    needs(p, "--root", help="where original data lie")
    p.add_argument("--jobs", type=int, help="processes; as many as there are processors")
    needs(p, "--out")

    p = verb(prepare, "Bring a dataset into the prepared form that training reads.")
    p.add_argument("dataset")
    needs(p, "--root", help="where original data lie or are downloaded to")
    p.add_argument("--mirror", default="", help="another address of the archive")
    p.add_argument("--digest", default="", help="what the content must be, as in config/datasets.yaml")
    p.add_argument("--rendered", type=Path, help="the renders that the dataset is composed of")
    needs(p, "--out")

    p = verb(train, "Train a spec with one or more seeds.")
    of_runs(p)
    p.add_argument("--history-points", type=int, default=100, help="how often gammas and betas are kept")
    p.add_argument("--precision", choices=["float32", "bfloat16"], default="float32", help="of forward and backward")
    p.add_argument("--measure", action="store_true", help="and measure the runs, as `extract` does")
    p.add_argument("--checkpoints", type=Path, help="folder of unfinished trainings; `checkpoints` beside the runs")
    p.add_argument("--checkpoint-seconds", type=float, default=60, help="least time between checkpoints")
    p.add_argument("--time-limit", type=float, help="seconds after which to stop at a checkpoint, with exit code 75")
    p.add_argument("--stop-at", type=float, help="the same as a time of day, in seconds since 1970")

    of_runs(verb(extract, "Measure trained runs: records of sparsity, pruned error, universality."))

    p = verb(aggregate, "Average a table's records over seeds, with the paper's numbers beside them.")
    needs(p, "--plan", "--table", "--runs")
    needs(p, "--published", help="folder of the paper's tables")
    needs(p, "--tolerances", "--out")

    p = verb(typeset_table, "Typeset a table as LaTeX.")
    needs(p, "--plan", "--table", "--values", "--template", "--out")

    p = verb(simulate, "Run the simulation that a figure draws.")
    needs(p, "--plan", "--figure", "--out")

    p = verb(plot, "Draw a figure.")
    needs(p, "--plan", "--figure", "--runs")
    p.add_argument("--simulation", type=Path)
    p.add_argument("--data", type=Path, help="folder of the prepared datasets")
    needs(p, "--out", nargs="+", help="files; their endings say the formats")

    p = verb(plot_overview, "Draw all the paper's numbers beside ours in one picture.")
    needs(p, "--plan", "--cells")
    needs(p, "--out", nargs="+", help="files; their endings say the formats")

    p = verb(typeset_report, "Typeset the report around its tables and figures as LaTeX.")
    needs(p, "--plan", "--runs", "--template")
    p.add_argument("--verdict", type=Path, action="append", help="results of a scale whose verdict is shown, in order")
    p.add_argument("--sensitivity", type=Path, help="results of the stored runs that vary assumed facts")
    needs(p, "--out")

    p = verb(compare_sensitivity, "Compare each setting of the sensitivity analysis with the paper's sparsities.")
    needs(p, "--plan", "--table", "--reference", "--published", "--out")

    p = verb(plot_layers, "Draw what each layer loses in Table 1, ours and the paper's.")
    needs(p, "--cells", help="what `judge` wrote")
    needs(p, "--out", nargs="+", help="files; their endings say the formats")

    p = verb(readme, "Write the verdict of stored records into the README.")
    needs(p, "--verdict", help="verdict.json")
    needs(p, "--layers", help="the picture of Table 1's layers")
    needs(p, "--overview", help="the picture of all cells")
    p.add_argument("--readme", type=Path, default=Path("README.md"))
    p.add_argument("--pictures", type=Path, default=Path("docs"), help="folder that they are copied to")

    p = verb(compile, "Make a PDF of a LaTeX file.")
    p.add_argument("tex", type=Path)
    needs(p, "--style")
    p.add_argument("--inside", type=Path, help="the document that a lone table is put into")
    needs(p, "--out")

    p = verb(judge, "Judge every number that the paper prints, and every claim, by a scale's records.")
    needs(p, "--plan", "--runs", "--simulations", "--published", "--tolerances")
    needs(p, "--out", nargs=3, metavar=("CELLS", "CLAIMS", "JSON"))

    p = verb(compare, "Compare a scale's records with the stored ones, cell by cell.")
    needs(p, "--plan", "--runs", "--reference", "--tolerances")
    needs(p, "--out", nargs=2, metavar=("CSV", "JSON"))

    p = verb(check, "Print a comparison; fail if a cell is out of tolerance.")
    p.add_argument("comparison", type=Path)

    p = verb(store, "Add a scale's runs to the stored ones.")
    needs(p, "--plan", "--runs", "--simulations")
    p.add_argument("--note", default="", help="what whoever reads the stored records should know")
    needs(p, "--out", help="the csv; its json and npz lie beside it")

    p = verb(audit, "Look through folders of runs, before or after they are merged; fail if something does not fit.")
    p.add_argument("runs", type=Path, nargs="+", help="folders such as results/<scale>/runs")
    p.add_argument("--plan", type=Path, help="results/<scale>/plan.json: which runs there are to be")

    p = verb(restore, "Write the folders of a plan's stored runs.")
    needs(p, "--plan", "--reference", "--runs", "--simulations")

    p = verb(reference, "Write the page of all configuration keys from the schemas.")
    p.add_argument("--out", type=Path, default=Path("docs/reference.md"))
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    args = parser().parse_args(arguments)
    try:
        args.run(args)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except Unfinished as error:
        print(error, file=sys.stderr)
        return os.EX_TEMPFAIL
    except OSError as error:
        if error.errno not in USERS:
            raise
        print(f"error: {error.filename or 'a file'}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
