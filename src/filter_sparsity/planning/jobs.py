"""Which files the jobs of a plan read and write, and which training starts first. Torch-free: the Snakefile's."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from .. import paths
from ..metrics import MEASURING
from ..paths import TRAINED
from ..plan import Plan
from ..records import archive

RECORD = "record.json"
RUN_FILE_OF = {"affine": "affine.safetensors", "universality": "features.csv"}  # a run's file, by kind of figure


def runs(plan: Plan, specs: Iterable[str] | None = None) -> Iterator[tuple[str, int]]:
    """Spec id and seed of every run of a plan, or of some of its specs."""
    return ((spec, seed) for spec in (plan.specs if specs is None else specs) for seed in plan.seeds_of(spec))


def run_files(plan: Plan, name: str, specs: Iterable[str] | None = None) -> list[Path]:
    """A file of every run of a plan, or of some of its specs."""
    return [plan.results_folder.run(*run) / name for run in runs(plan, specs)]


def shown_run_files(plan: Plan, name: str, part: str) -> list[Path]:
    """A file of every run that a table or figure shows."""
    return run_files(plan, name, plan.selected(part))


def job_seeds(plan: Plan) -> list[int] | list[str]:
    """The seeds that one job trains: all, or the one that its wildcard names."""
    return plan.seeds if plan.settings["pack_seeds"] else ["{seed}"]


def job_files(plan: Plan, names: Iterable[str]) -> list[Path]:
    """Files of the runs of one job, with its wildcards."""
    names = [*names]
    return [plan.results_folder.run("{spec}", seed) / name for seed in job_seeds(plan) for name in names]


def measuring_version() -> list[str]:
    """A param of the jobs that measure, so that a new version of the measuring recipe runs them again.

    Version 1 has none: results that were measured before there were versions are not measured again.
    """
    return [] if MEASURING == 1 else [f"measuring recipe {MEASURING}"]


def spec_arguments(plan: Plan) -> dict[str, str]:
    """Every spec as `--spec` takes it. Made once, since all seeds share it."""
    return {name: json.dumps(spec.to_dict()) for name, spec in plan.specs.items()}


def training_order(plan: Plan) -> list[str]:
    """Ids of all specs: first those of the configuration's `train_first`, in its order, then the others."""
    first = [spec for name in plan.settings.get("train_first", []) for spec in plan.shown_by(name)]
    return [*dict.fromkeys([*first, *plan.specs])]


def training_priorities(plan: Plan) -> dict[tuple[str, str | None], int]:
    """The priority of each training by its wildcards, spec and seed: seed by seed, and in each the training order.

    The seed is None where one job trains all seeds of a spec. Priorities are positive, so that trainings come before
    other jobs; measuring a run has its training's priority, so that it comes before the next training.
    """
    order = training_order(plan)
    packed = plan.settings["pack_seeds"]
    found: dict[tuple[str, str | None], int] = {}
    for place, spec in enumerate(order):
        for turn, seed in enumerate([None] if packed else plan.seeds_of(spec)):
            key = spec, None if seed is None else str(seed)
            found[key] = 1 + len(order) * (len(plan.seeds) - turn) - place
    return found


def training_queue(plan: Plan, runs: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """Runs, by spec id and seed, in the order of their trainings' priorities."""
    priorities, packed = training_priorities(plan), plan.settings["pack_seeds"]
    return sorted(runs, key=lambda run: -priorities[run[0], None if packed else str(run[1])])


def stop_time(minutes: float | str | None, now: float) -> int:
    """When the trainings of a call that begins at `now` stop, in seconds since 1970; 0: never."""
    return int(now + 60 * float(minutes)) if minutes else 0


def prepare_inputs(dataset: str) -> list[Path]:
    """The renders that a dataset is composed of, if it is."""
    family = paths.renders_of(dataset)
    return [paths.rendered(family)] if family else []


def prepare_options(plan: Plan, dataset: str, rendered: Sequence[str]) -> list[str]:
    """Options of `prepare`: renders to compose, numbers and digest that the content must have, another address."""
    mirrors, base = plan.settings.get("mirrors", {}), (paths.shrunk_from(dataset) or (dataset,))[0]
    given = {
        "declared": json.dumps({key: getattr(plan.datasets[dataset], key) for key in ("classes", "train", "test")}),
        "rendered": " ".join(rendered),
        "digest": plan.datasets[dataset].digest,
        "mirror": mirrors.get(dataset) or mirrors.get(base),
    }
    return [f"--{option}={value}" for option, value in given.items() if value]


def final_files(plan: Plan, parts: Iterable[str] | None = None) -> list[Path]:
    """The plan, and the last file that `train` writes of each run that some tables and figures show, or of all runs.

    Every target asks for these besides what it shows. Snakemake checks only the files that a target names: where a
    repeated training fails, it deletes the run's files and leaves the older record, which nothing else would notice.
    """
    specs = None if parts is None else [spec for part in parts for spec in plan.selected(part)]
    return [plan.results_folder.plan, *(run_files(plan, TRAINED[-1], specs) if plan.trains else [])]


def figure_inputs(plan: Plan, name: str) -> list[Path]:
    """What a figure draws: a simulation, prepared datasets, or a file of every run that it shows."""
    figure = plan.figures[name]
    if figure["kind"] == "simulation":
        return [plan.results_folder.simulation(name)]
    if figure["kind"] == "gallery":
        return [paths.prepared(dataset) for dataset in plan.datasets_shown_by(name)]
    return shown_run_files(plan, RUN_FILE_OF[figure["kind"]], name)


def simulation_files(plan: Plan) -> list[Path]:
    out = plan.results_folder
    return [file for name in plan.simulations for file in (out.simulation(name), out.half_lives(name))]


def claim_inputs(plan: Plan) -> list[Path]:
    """The half-lives that claims test, if their simulations are there."""
    names = {test["simulated"] for claim in plan.claims for test in claim["tests"] if "simulated" in test}
    return [plan.results_folder.half_lives(name) for name in sorted(names & set(plan.available_figures))]


def archive_index(plan: Plan) -> list[Path]:
    """The archive's list of runs, if the plan uses one and it has any."""
    return [paths.reference(plan.scale, "json")] if any((plan.runs or {}).values()) else []


def restored_files(plan: Plan) -> list[Path]:
    """What the archive restores besides records: what figures draw of runs, and the simulations."""
    kinds = {name: plan.figures[name]["kind"] for name in plan.available_figures}
    drawn = {name: RUN_FILE_OF[kind] for name, kind in kinds.items() if kind in RUN_FILE_OF}
    files = [file for name, drawn_from in drawn.items() for file in shown_run_files(plan, drawn_from, name)]
    return [*files, *simulation_files(plan)]


def campaign_files(plan: Plan) -> list[Path]:
    """What a campaign has to make: the files of every run that is not in the archive, the plan, the simulations."""
    absent = [plan.results_folder.run(*run) / file for run in archive.absent(plan) for file in (TRAINED[-1], RECORD)]
    return [*absent, plan.results_folder.plan, *simulation_files(plan)]


def table_files(plan: Plan, endings: Iterable[str], names: Iterable[str] | None = None) -> list[Path]:
    """Files of every table, or of some."""
    names, endings = plan.tables if names is None else names, [*endings]
    return [plan.results_folder.table(name, ending) for name in names for ending in endings]


def figure_files(plan: Plan, endings: Iterable[str], names: Iterable[str] | None = None) -> list[Path]:
    """Files of every figure that can be drawn, or of some."""
    names, endings = plan.available_figures if names is None else names, [*endings]
    return [plan.results_folder.figure(name, ending) for name in names for ending in endings]
