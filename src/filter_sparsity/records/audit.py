"""Looking through folders of runs before or after they are merged: the runs, and their conflicts. Torch-free.

A run carries its identity in its record, so merging is copying folders. What can go wrong is found here: runs under
another's name, damaged records, parts of two trainings in one folder, other data or settings than the rest, and one
spec and seed with two results.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..paths import TRAINED
from ..plan import Plan
from ..seal import digest_json
from ..spec import Spec
from . import record as records

STATES = ("measured", "trained", "unfinished")
OF_MEASURING = ("measured_by", "measuring")  # keys of a record's provenance that its training did not write


@dataclass(frozen=True)
class Run:
    """A run's folder, and what its record says; a run without a record has none of that."""

    folder: Path
    spec_id: str
    seed: int
    state: str
    digest: str = ""  # of the record
    dataset: str = ""
    data_digest: str = ""
    precision: str = ""

    @property
    def name(self) -> str:
        return f"{self.spec_id} seed {self.seed}"


def audit(folders: Sequence[Path], plan: Plan | None = None) -> tuple[list[Run], list[str]]:
    """The runs below folders of runs, and a line for each conflict in and between them. Raises UserError for no runs.

    With a plan, runs of which the plan has the name but other settings are conflicts, too.
    """
    runs: list[Run] = []
    conflicts: list[str] = []
    for folder in folders:
        found = sorted(path for path in folder.glob("*/*") if path.is_dir())
        if not found:
            raise UserError(f"{folder} has no runs: give folders such as results/<scale>/runs")
        for path in found:
            try:
                runs.append(_look(path))
            except UserError as error:
                conflicts.append(str(error))
    conflicts += _twice(runs) + _differing(runs, "data_digest", "data") + _differing(runs, "precision", "precision")
    return runs, conflicts + (_unplanned(runs, plan) if plan else [])


def table(runs: Iterable[Run], plan: Plan | None = None) -> list[str]:
    """A line for every spec: the seeds that are measured, only trained, and unfinished; of a plan, those missing."""
    seeds: dict[str, dict[str, set[int]]] = {}
    for run in runs:
        seeds.setdefault(run.spec_id, {state: set() for state in STATES})[run.state].add(run.seed)
    for spec_id in plan.specs if plan else []:
        by_state = seeds.setdefault(spec_id, {state: set() for state in STATES})
        by_state["missing"] = {*plan.seeds_of(spec_id)} - set().union(*by_state.values()) if plan else set()
    lines = []
    for spec_id, by_state in seeds.items():
        states = [f"{state} {' '.join(map(str, sorted(some)))}" for state, some in by_state.items() if some]
        lines.append(f"{spec_id}: {', '.join(states) or 'none'}")
    return lines


def _look(folder: Path) -> Run:
    """A run by its folder. Raises UserError if what is in it is not of one run of that name."""
    spec_id, name = folder.parent.name, folder.name.removeprefix("seed")
    if not (folder.name.startswith("seed") and name.isascii() and name.isdigit() and str(int(name)) == name):
        raise UserError(f"{folder} is not the folder of a run: their names are <spec id>/seed<number>")
    seed, origin = int(name), folder / TRAINED[-1]
    trained = records.read_provenance(origin, spec_id, seed) if origin.exists() else None
    if not (folder / "record.json").exists():
        return Run(folder, spec_id, seed, "trained" if trained else "unfinished")
    record = records.read(folder / "record.json", spec_id, seed)
    try:
        spec, provenance = Spec.from_dict(record["spec"]), record["provenance"]
        training = {key: value for key, value in provenance.items() if key not in OF_MEASURING}
        facts = spec.dataset, training["data_digest"], training.get("precision", "float32")
        named = spec.id
        if not all(isinstance(fact, str) for fact in facts):
            raise TypeError("a name that is no text")
    except (UserError, KeyError, TypeError, AttributeError):
        raise UserError(
            f"{folder / 'record.json'} is not a whole record: delete it and extract the run again"
        ) from None
    if named != spec_id:
        raise UserError(f"{folder} holds the settings of {named}: it was moved, or made by another version")
    if trained is not None and trained != training:
        raise UserError(f"{folder}: its record and its weights are of two trainings: copy the folder whole")
    return Run(folder, spec_id, seed, "measured", digest_json({**record, "provenance": training}), *facts)


def _twice(runs: list[Run]) -> list[str]:
    first: dict[str, Run] = {}
    lines = []
    for run in (run for run in runs if run.state == "measured"):
        other = first.setdefault(run.name, run)
        if other.digest != run.digest:
            why = "on other data" if other.data_digest != run.data_digest else "in another training"
            lines.append(f"{run.folder} was made {why} than {other.folder}: keep one of them")
    return lines


def _differing(runs: list[Run], key: str, word: str) -> list[str]:
    """Runs of one dataset that differ in a key; `word` names it in the lines."""
    values: dict[str, dict[str, list[Run]]] = {}
    for run in (run for run in runs if run.state == "measured"):
        values.setdefault(run.dataset, {}).setdefault(getattr(run, key), []).append(run)
    return [
        f"{dataset}: runs differ in {word}: "
        + "; ".join(f"{value[:12]} ({len(some)} runs, as {some[0].folder})" for value, some in by_value.items())
        for dataset, by_value in values.items()
        if len(by_value) > 1
    ]


def _unplanned(runs: list[Run], plan: Plan) -> list[str]:
    """Specs that have the name of a planned one, but for the digest of their settings."""
    planned = {spec_id.rpartition("-")[0]: spec for spec_id, spec in plan.specs.items()}
    lines = []
    for run in {run.spec_id: run for run in runs if run.state == "measured" and run.spec_id not in plan.specs}.values():
        if same_name := planned.get(run.spec_id.rpartition("-")[0]):
            theirs = json.loads((run.folder / "record.json").read_text(encoding="utf-8"))["spec"]
            other = ", ".join(_changes(theirs, same_name.to_dict()))
            lines.append(f"{run.folder.parent} has other settings than the plan's {same_name.id}: {other}")
    return lines


def _changes(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    return [
        f"{key} {json.dumps(theirs.get(key))}, planned {json.dumps(ours.get(key))}"
        for key in dict.fromkeys([*ours, *theirs])
        if theirs.get(key) != ours.get(key)
    ]
