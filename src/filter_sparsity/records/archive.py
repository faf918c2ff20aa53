"""Stored records: the runs of finished campaigns, small enough to keep beside the code. Torch-free.

Of a scale there are three files in report/references/measured: every measurement of every run (csv, a line each), where
each run comes from and the settings of its spec (json), and what figures draw beside records (npz, compressed). A
record comes back with the digest that it had, or not at all: `restore` and `tidy` verify it. All runs of an archive are
measured by one version of the measuring recipe. The Snakefile imports this, so numpy and pandas are imported where they
are used.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

from ..errors import UserError
from ..files import write_bytes, write_text
from ..parts import Figure, SimulationFigure, SimulationPanel
from ..paths import reference, run_folder, simulation_files
from ..seal import digest_json
from .arrays import affine_file, drawn_arrays, features_csv, features_of_layers, half_lives_csv, simulation_csv

if TYPE_CHECKING:
    import numpy as np

    from ..plan import Plan
    from .record import Json, Measured, Record

ENVIRONMENT = ("commit", "versions", "device", "threads")  # of a provenance, stored once for many runs
IN_RECORD = ("spec_id", "seed", "spec")  # of a provenance, which the record has, too
IN_INDEX = ("environment", "without", "arrays", "digest")  # of a run in the json, besides its provenance
COLUMNS = ("spec_id", "seed", "metric", "layer", "value")


class Simulation(TypedDict):
    """The settings that decide a simulation."""

    phases: list[list[float]]  # standard deviation of the gradients and iterations of each
    start: float
    repeats: int
    strengths: list[float]
    panels: list[SimulationPanel]
    half_life_iterations: int
    half_life_panels: list[SimulationPanel]


class Archive(TypedDict):
    """The json of a scale. A run there has its provenance and the keys IN_INDEX."""

    note: NotRequired[str]
    specs: dict[str, Json]  # by id, as `Spec.to_dict` gives them
    environments: list[Json]  # what ENVIRONMENT names, of all runs
    simulations: dict[str, Simulation]  # by figure
    runs: dict[tuple[str, int], Json]  # by spec id and seed


def index(path: Path) -> Archive:
    """The json of a scale; of a scale without an archive, one without runs. Raises UserError if it is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {
            "note": content.get("note", ""),
            "specs": content["specs"],
            "environments": content["environments"],
            "simulations": content["simulations"],
            "runs": {(run["spec_id"], run["seed"]): run for run in content["runs"]},
        }
    except FileNotFoundError:
        return {"specs": {}, "environments": [], "simulations": {}, "runs": {}}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{path} is damaged: get it again from the repository") from None


def measuring_version(archive: Archive) -> int:
    """The version of the measuring recipe by which the archive's runs are measured."""
    from .record import measuring_version

    return max((measuring_version(run) for run in archive["runs"].values()), default=1)


def seeds(archive: Archive, specs: Iterable[str]) -> dict[str, list[int]]:
    """The stored seeds of each of some specs."""
    return {spec_id: sorted(seed for name, seed in archive["runs"] if name == spec_id) for spec_id in specs}


def absent(plan: Plan) -> list[tuple[str, int]]:
    """Spec id and seed of the plan's runs that are not among the stored ones of its scale."""
    stored = seeds(index(reference(plan.scale, "json")), plan.specs)
    return [(spec_id, seed) for spec_id in plan.specs for seed in plan.seeds_of(spec_id) if seed not in stored[spec_id]]


def simulation_settings(figure: SimulationFigure) -> Simulation:
    """The settings that decide a simulation, without their sources."""
    return {
        "phases": [[phase["deviation"], phase["iterations"]] for phase in figure["phases"]],
        "start": figure["start"],
        "repeats": figure["repeats"],
        "strengths": figure["strengths"],
        "panels": figure["panels"],
        "half_life_iterations": figure["half_life_iterations"],
        "half_life_panels": figure["half_life_panels"],
    }


def missing_inputs(name: str, figure: Figure, archive: Archive) -> list[str]:
    """What a figure needs and the archive does not have; nothing if it can be drawn."""
    if figure["kind"] == "simulation":
        same = simulation_settings(figure) == archive["simulations"].get(name)
        return [] if same else ["a simulation with these settings, which is not stored"]
    if figure["kind"] == "gallery":
        return figure["missing_inputs"]
    runs = {
        curve["label"]: [run for (spec_id, _), run in archive["runs"].items() if spec_id == curve["spec_id"]]
        for curve in figure["curves"]
    }
    missing = [
        label
        for label, stored in runs.items()
        if not stored or any(figure["kind"] not in run["arrays"] for run in stored)
    ]
    return [f"stored runs of {' and of '.join(missing)}"] if missing else []


def store(plan: Plan, runs: Path, simulations: Path, reference: Path, note: str = "") -> tuple[int, int]:
    """Add the runs on disk to the stored ones: those of the plan's specs, of any seed.

    A run that was stored before is replaced, others stay. `reference` is the csv; the other two files lie beside it.
    Returns how many runs were added or replaced, and how many are stored now. Raises UserError if there are none, if
    one was trained on other data than the stored run of the same spec and seed, or if not all runs would be measured by
    one version of the measuring recipe.
    """
    import numpy as np
    import pandas as pd

    from .record import read

    archive, values, arrays = _read(reference)
    environments = archive["environments"]
    added = 0
    for folder in sorted(runs.glob("*/seed*")):
        spec_id, seed = folder.parent.name, int(folder.name.removeprefix("seed"))
        if spec_id not in plan.specs or not (folder / "record.json").exists():
            continue
        record = read(folder / "record.json", spec_id, seed)
        origin = record["provenance"]
        before = archive["runs"].get((spec_id, seed))
        if before and before["data_digest"] != origin["data_digest"]:
            raise UserError(
                f"{folder} was trained on other data than the stored run of the same spec and seed: "
                f"nothing is stored; remove that run from {reference.with_suffix('.json')} if it is wrong"
            )
        if missing := [key for key in ENVIRONMENT if key not in origin]:
            raise UserError(f"{folder / 'record.json'} has no {' and no '.join(missing)}: extract the run again")
        environment = {key: origin[key] for key in ENVIRONMENT}
        if environment not in environments:
            environments.append(environment)
        arrays = {name: array for name, array in arrays.items() if not name.startswith(f"{spec_id}/{seed}/")}
        drawn = drawn_arrays(plan, spec_id, folder)
        arrays |= {f"{spec_id}/{seed}/{name}": array for name, array in drawn.items()}
        archive["specs"][spec_id] = record["spec"]
        archive["runs"][spec_id, seed] = {
            "spec_id": spec_id,
            "seed": seed,
            **{k: v for k, v in origin.items() if k not in (*ENVIRONMENT, *IN_RECORD)},
            "environment": environments.index(environment),
            "without": [metric for metric, value in record["measured"].items() if value == {}],
            "arrays": sorted({name.split("/")[0] for name in drawn}),
            "digest": digest_json(record),
        }
        values[spec_id, seed] = [
            (metric, layer, json.dumps(number))
            for metric, value in record["measured"].items()
            for layer, number in (value.items() if isinstance(value, dict) else [("", value)])
        ]
        if digest_json(_record(archive, values, spec_id, seed)) != digest_json(record):
            raise UserError(f"{folder / 'record.json'} has something that cannot be stored: extract the run again")
        added += 1
    if not added:
        raise UserError(f"{runs} has no records of this scale's specs: nothing to store")
    _check_one_recipe(archive, reference)
    for name, figure in plan.figures.items():
        curves, half_lives = simulation_files(simulations, name)
        if figure["kind"] == "simulation" and curves.exists():
            archive["simulations"][name] = simulation_settings(figure)
            for key, path in (("simulation", curves), ("half_lives", half_lives)):
                arrays[f"{key}/{name}"] = pd.read_csv(path).iloc[:, 3:].to_numpy(float)
    order = [*dict.fromkeys([*plan.specs, *archive["specs"]])]
    keys = sorted(archive["runs"], key=lambda key: (order.index(key[0]), key[1]))
    lines = [COLUMNS, *_lines({key: values[key] for key in keys})]
    write_text(reference, "".join(",".join(map(str, line)) + "\n" for line in lines))
    packed = io.BytesIO()
    np.savez_compressed(packed, allow_pickle=False, **{name: arrays[name] for name in sorted(arrays)})
    write_bytes(reference.with_suffix(".npz"), packed.getvalue())
    content = {
        "scale": plan.scale,
        "note": note or archive.get("note", ""),
        "environments": environments,
        "simulations": archive["simulations"],
        "specs": archive["specs"],
        "runs": [archive["runs"][key] for key in keys],
    }
    write_text(reference.with_suffix(".json"), _in_lines(content))
    return added, len(keys)


def _check_one_recipe(archive: Archive, reference: Path) -> None:
    """Raise UserError if the runs are measured by several versions of the measuring recipe: they cannot be averaged."""
    from .record import measuring_version

    versions: dict[int, tuple[str, int]] = {measuring_version(run): key for key, run in archive["runs"].items()}
    if len(versions) > 1:
        examples = [f"{spec_id} seed {seed} by version {v}" for v, (spec_id, seed) in versions.items()]
        raise UserError(
            f"{reference}: its runs would be measured by several versions of the measuring recipe "
            f"({', '.join(examples)}): nothing is stored; measure all runs again, or remove the scale's old files"
        )


def restore(plan: Plan, reference: Path, runs: Path, simulations: Path) -> int:
    """Write the folders of the plan's stored runs, and the stored simulations; returns how many runs.

    A record whose features are stored gets the metrics of `associations` if it is older than these.
    Raises UserError if a stored file is damaged or does not give a record the digest that it had.
    """
    from .associations import of_layers
    from .record import sealed

    archive, values, arrays = _read(reference)
    count = 0
    for spec_id in plan.specs:
        for seed in plan.seeds_of(spec_id):
            if (spec_id, seed) not in archive["runs"]:
                raise UserError(f"{reference} has no run of {spec_id} with seed {seed}: plan again")
            record = _verified(archive, values, reference, spec_id, seed)
            drawn = {*archive["runs"][spec_id, seed]["arrays"]}
            folder, start = run_folder(runs, spec_id, seed), f"{spec_id}/{seed}/"
            run_arrays = {name.removeprefix(start): a for name, a in arrays.items() if name.startswith(start)}
            if "universality" in drawn:
                network, features = plan.specs[spec_id].network, run_arrays["universality"]
                write_text(folder / "features.csv", features_csv(network, features))
                for metric, by_layer in of_layers(features_of_layers(network, features)).items():
                    record["measured"].setdefault(metric, by_layer)
            if "affine" in drawn:
                write_bytes(folder / "affine.safetensors", affine_file(run_arrays))
            write_text(folder / "record.json", sealed(record))
            count += 1
    for name, figure in plan.figures.items():
        if figure["kind"] == "simulation" and not figure.get("missing_inputs"):
            curves, half_lives = simulation_files(simulations, name)
            write_text(curves, simulation_csv(figure, arrays[f"simulation/{name}"]))
            write_text(half_lives, half_lives_csv(figure, arrays[f"half_lives/{name}"]))
    return count


def tidy(reference: Path) -> Any:
    """All stored measurements as `record.tidy` gives them: spec_id, seed, metric, layer, value.

    Raises UserError if the csv is not there, or does not give every record the digest that the json has of it.
    """
    import pandas as pd

    if not reference.exists():
        raise UserError(f"cannot read {reference}: no such file: make it with `snakemake store_reference`")
    archive, values = index(reference.with_suffix(".json")), _read_values(reference)
    if unknown := values.keys() - archive["runs"].keys():
        spec_id, seed = min(unknown)
        raise UserError(
            f"{reference} has {spec_id} seed {seed}, which {reference.with_suffix('.json')} does not list: "
            "a file was changed; get both again from the repository"
        )
    for spec_id, seed in archive["runs"]:
        _verified(archive, values, reference, spec_id, seed)
    lines = [(*line[:4], float(line[4])) for line in _lines(values)]
    return pd.DataFrame(lines, columns=list(COLUMNS))


Values = dict[tuple[str, int], list[tuple[str, str, str]]]  # by spec id and seed: metric, layer, number as JSON


def _read(reference: Path) -> tuple[Archive, Values, dict[str, np.ndarray]]:
    """The three files of a scale: the content of the json, the values of the csv, and the arrays of the npz."""
    archive = index(reference.with_suffix(".json"))
    if not archive["runs"]:
        return archive, {}, {}
    return archive, _read_values(reference), _read_arrays(reference.with_suffix(".npz"))


def _lines(values: Values) -> list[tuple[str, int, str, str, str]]:
    return [(spec_id, seed, *line) for (spec_id, seed), lines in values.items() for line in lines]


def _read_values(path: Path) -> Values:
    found: Values = {}
    try:
        for line in path.read_text(encoding="utf-8").splitlines()[1:]:
            spec_id, seed, *rest = line.split(",")
            metric, layer, number = rest
            found.setdefault((spec_id, int(seed)), []).append((metric, layer, number))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except ValueError:
        raise UserError(f"{path} is damaged: get it again from the repository") from None
    return found


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    import zipfile
    import zlib

    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise UserError(f"{path} cannot be read ({error}): get it again from the repository") from None


def _verified(archive: Archive, values: Values, reference: Path, spec_id: str, seed: int) -> Record:
    """A run's record. Raises UserError if it does not have the digest that the record had when it was stored."""
    try:
        record, stored = _record(archive, values, spec_id, seed), archive["runs"][spec_id, seed]["digest"]
        digest = digest_json(record)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        raise UserError(f"{reference.with_suffix('.json')} is damaged: get it again from the repository") from None
    if digest != stored:
        raise UserError(
            f"{reference}: {spec_id} seed {seed} does not have the digest of the record that was stored: "
            "the file was changed; get it again from the repository"
        )
    return record


def _record(archive: Archive, values: Values, spec_id: str, seed: int) -> Record:
    """A run's record, put together from the stored parts."""
    run, spec = archive["runs"][spec_id, seed], archive["specs"][spec_id]
    origin = {k: v for k, v in run.items() if k not in IN_INDEX}
    environment = archive["environments"][run["environment"]]
    layered: dict[str, dict[str, float]] = {metric: {} for metric in run["without"]}
    measured: Measured = {**layered}
    for metric, layer, number in values.get((spec_id, seed), []):
        if layer:
            measured[metric] = layered.setdefault(metric, {})
            layered[metric][layer] = json.loads(number)
        else:
            measured[metric] = json.loads(number)
    return {
        "spec_id": spec_id,
        "seed": seed,
        "spec": spec,
        "provenance": {**environment, **origin, "spec": spec},
        "measured": measured,
    }


def _in_lines(data: Json) -> str:
    """JSON with a line for each entry of a list or mapping at its top, so that a stored run is one line of a diff."""

    def text(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False)

    parts = []
    for key, value in data.items():
        if isinstance(value, list):
            entries = "[\n" + ",\n".join(f"  {text(v)}" for v in value) + "\n ]"
        elif isinstance(value, dict):
            entries = "{\n" + ",\n".join(f"  {text(k)}: {text(v)}" for k, v in value.items()) + "\n }"
        else:
            entries = text(value)
        parts.append(f" {text(key)}: {entries}")
    return "{\n" + ",\n".join(parts) + "\n}\n"
