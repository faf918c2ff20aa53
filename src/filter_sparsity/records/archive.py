"""Stored records: the runs of finished campaigns, small enough to keep beside the code. Torch-free.

Of a scale there are three files in report/references/measured: every measurement of every run (csv, a line each), where
each run comes from and the settings of its spec (json), and what figures draw beside records (npz, compressed). A
record comes back with the digest that it had, or not at all. The Snakefile imports this, so numpy and pandas are
imported where they are used.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

from ..errors import UserError
from ..files import write_bytes, write_text
from ..parts import Figure, SimulationFigure, SimulationPanel
from ..paths import reference, run_folder
from ..seal import digest_json

if TYPE_CHECKING:
    import numpy as np

    from ..plan import Plan
    from .record import Json, Measured, Record

ENVIRONMENT = ("commit", "versions", "device", "threads")  # what many runs have in common, and is kept once
IN_RECORD = ("spec_id", "seed", "spec")  # what a record says itself, and its provenance again
COLUMNS = ("spec_id", "seed", "metric", "layer", "value")
FEATURES = ("gamma", "beta", "largest_activation", "universality")


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
    """What the json of a scale says. A run has its provenance and what is kept apart from it, by name."""

    note: NotRequired[str]
    specs: dict[str, Json]  # by id, as `Spec.to_dict` gives them
    environments: list[Json]  # what ENVIRONMENT names, of all runs
    simulations: dict[str, Simulation]  # by figure
    runs: dict[tuple[str, int], Json]  # by spec id and seed


def index(path: Path) -> Archive:
    """What the json of a scale says; of a scale without stored records, that there are no runs."""
    try:
        kept = json.loads(path.read_text())
        runs = {(run["spec_id"], run["seed"]): run for run in kept["runs"]}
        return {
            "note": kept.get("note", ""),
            "specs": kept["specs"],
            "environments": kept["environments"],
            "simulations": kept["simulations"],
            "runs": runs,
        }
    except FileNotFoundError:
        return {"specs": {}, "environments": [], "simulations": {}, "runs": {}}
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path} is damaged: get it again from the repository") from None


def seeds(kept: Archive, specs: Iterable[str]) -> dict[str, list[int]]:
    """The stored seeds of each of some specs."""
    return {spec_id: sorted(seed for name, seed in kept["runs"] if name == spec_id) for spec_id in specs}


def absent(plan: Plan) -> list[tuple[str, int]]:
    """Spec id and seed of the plan's runs that are not among the stored ones of its scale."""
    there = seeds(index(reference(plan.scale, "json")), plan.specs)
    return [(spec_id, seed) for spec_id in plan.specs for seed in plan.seeds_of(spec_id) if seed not in there[spec_id]]


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


def missing_inputs(name: str, figure: Figure, kept: Archive) -> list[str]:
    """What a figure needs and the stored records do not have; nothing if it can be drawn."""
    if figure["kind"] == "simulation":
        same = simulation_settings(figure) == kept["simulations"].get(name)
        return [] if same else ["a simulation with these settings, which is not stored"]
    if figure["kind"] == "gallery":
        return figure["missing_inputs"]
    runs = {
        curve["label"]: [run for (spec_id, _), run in kept["runs"].items() if spec_id == curve["spec_id"]]
        for curve in figure["curves"]
    }
    missing = [label for label, own in runs.items() if not own or any(figure["kind"] not in r["arrays"] for r in own)]
    return [f"stored runs of {' and of '.join(missing)}"] if missing else []


def store(plan: Plan, runs: Path, simulations: Path, reference: Path, note: str = "") -> tuple[int, int]:
    """Add the runs that are there to the stored ones: those of the plan's specs, of any seed.

    A run that was stored before is replaced, others stay. `reference` is the csv; the other two files lie beside it.
    Returns how many runs were added or replaced, and how many are stored now. Raises UserError if there are none, or
    if one was trained on other data than the stored run of the same spec and seed.
    """
    import numpy as np

    from .record import read

    kept, values, arrays = _read(reference)
    environments = kept["environments"]
    added = 0
    for folder in sorted(runs.glob("*/seed*")):
        spec_id, seed = folder.parent.name, int(folder.name.removeprefix("seed"))
        if spec_id not in plan.specs or not (folder / "record.json").exists():
            continue
        record = read(folder / "record.json", spec_id, seed)
        origin = record["provenance"]
        before = kept["runs"].get((spec_id, seed))
        if before and before["data_digest"] != origin["data_digest"]:
            raise UserError(
                f"{folder} was trained on other data than the stored run of the same spec and seed: "
                f"nothing is stored; remove that run from {reference.with_suffix('.json')} if it is wrong"
            )
        if lacks := [key for key in ENVIRONMENT if key not in origin]:
            raise UserError(f"{folder / 'record.json'} does not say its {' and '.join(lacks)}: extract the run again")
        environment = {key: origin[key] for key in ENVIRONMENT}
        if environment not in environments:
            environments.append(environment)
        arrays = {name: array for name, array in arrays.items() if not name.startswith(f"{spec_id}/{seed}/")}
        own = _arrays(plan, spec_id, folder)
        arrays |= {f"{spec_id}/{seed}/{name}": array for name, array in own.items()}
        kept["specs"][spec_id] = record["spec"]
        kept["runs"][spec_id, seed] = {
            "spec_id": spec_id,
            "seed": seed,
            **{k: v for k, v in origin.items() if k not in (*ENVIRONMENT, *IN_RECORD)},
            "environment": environments.index(environment),
            "without": [metric for metric, value in record["measured"].items() if value == {}],
            "arrays": sorted({name.split("/")[0] for name in own}),
            "digest": digest_json(record),
        }
        values[spec_id, seed] = [
            (metric, layer, json.dumps(number))
            for metric, value in record["measured"].items()
            for layer, number in (value.items() if isinstance(value, dict) else [("", value)])
        ]
        rebuilt = _record(kept, values, spec_id, seed)
        if digest_json(rebuilt) != digest_json(record):
            raise UserError(f"{folder / 'record.json'} has something that cannot be stored: extract the run again")
        added += 1
    if not added:
        raise UserError(f"{runs} has no records of this scale's specs: nothing to store")
    for name, figure in plan.figures.items():
        if figure["kind"] == "simulation" and (path := simulations / f"{name}.csv").exists():
            kept["simulations"][name] = simulation_settings(figure)
            arrays[f"simulation/{name}"] = np.loadtxt(path, delimiter=",", skiprows=1, usecols=(3, 4, 5, 6))
            path = simulations / f"{name}_half_lives.csv"
            arrays[f"half_lives/{name}"] = np.loadtxt(path, delimiter=",", skiprows=1, usecols=(3, 4, 5))
    order = [*dict.fromkeys([*plan.specs, *kept["specs"]])]
    keys = sorted(kept["runs"], key=lambda key: (order.index(key[0]), key[1]))
    lines = [COLUMNS, *_lines({key: values[key] for key in keys})]
    write_text(reference, "".join(",".join(map(str, line)) + "\n" for line in lines))
    packed = io.BytesIO()
    np.savez_compressed(packed, allow_pickle=False, **{name: arrays[name] for name in sorted(arrays)})
    write_bytes(reference.with_suffix(".npz"), packed.getvalue())
    said = {
        "scale": plan.scale,
        "note": note or kept.get("note", ""),
        "environments": environments,
        "simulations": kept["simulations"],
        "specs": kept["specs"],
        "runs": [kept["runs"][key] for key in keys],
    }
    write_text(reference.with_suffix(".json"), _in_lines(said))
    return added, len(keys)


def restore(plan: Plan, reference: Path, runs: Path, simulations: Path) -> int:
    """Write the folders of the plan's stored runs, and the stored simulations; returns how many runs.

    Raises UserError if a stored file is damaged or does not give a record the digest that it had.
    """
    from .record import sealed

    kept, values, arrays = _read(reference)
    count = 0
    for spec_id in plan.specs:
        for seed in plan.seeds_of(spec_id):
            run = kept["runs"].get((spec_id, seed))
            if run is None:
                raise UserError(f"{reference} has no run of {spec_id} with seed {seed}: plan again")
            try:
                record, said, drawn = _record(kept, values, spec_id, seed), run["digest"], {*run["arrays"]}
                now = digest_json(record)
            except (KeyError, IndexError, TypeError, ValueError, AttributeError):
                raise UserError(
                    f"{reference.with_suffix('.json')} is damaged: get it again from the repository"
                ) from None
            if now != said:
                raise UserError(
                    f"{reference}: {spec_id} seed {seed} does not have the digest of the record that was stored: "
                    "the file was changed; get it again from the repository"
                )
            folder = run_folder(runs, spec_id, seed)
            own = {name.split("/", 2)[2]: a for name, a in arrays.items() if name.startswith(f"{spec_id}/{seed}/")}
            if "universality" in drawn:
                write_text(folder / "features.csv", _features(plan.specs[spec_id].network, own["universality"]))
            if "affine" in drawn:
                write_bytes(folder / "affine.safetensors", _affine(own))
            write_text(folder / "record.json", sealed(record))
            count += 1
    for name, figure in plan.figures.items():
        if figure["kind"] == "simulation" and not figure.get("missing_inputs"):
            write_text(simulations / f"{name}.csv", _simulation(figure, arrays[f"simulation/{name}"]))
            half_lives = _half_lives(figure, arrays[f"half_lives/{name}"])
            write_text(simulations / f"{name}_half_lives.csv", half_lives)
    return count


def tidy(reference: Path) -> Any:
    """All stored measurements as `record.tidy` gives them: spec_id, seed, metric, layer, value."""
    import pandas as pd

    if not reference.exists():
        raise UserError(f"cannot read {reference}: no such file: make it with `snakemake store_reference`")
    lines = [(*line[:4], float(line[4])) for line in _lines(_read_values(reference))]
    return pd.DataFrame(lines, columns=list(COLUMNS))


Values = dict[tuple[str, int], list[tuple[str, str, str]]]  # by spec id and seed: metric, layer, number as JSON


def _read(reference: Path) -> tuple[Archive, Values, dict[str, np.ndarray]]:
    """The three files of a scale: what the json says, the values of the csv, and the arrays of the npz."""
    kept = index(reference.with_suffix(".json"))
    if not kept["runs"]:
        return kept, {}, {}
    return kept, _read_values(reference), _read_arrays(reference.with_suffix(".npz"))


def _lines(values: Values) -> list[tuple[str, int, str, str, str]]:
    return [(spec_id, seed, *line) for (spec_id, seed), lines in values.items() for line in lines]


def _read_values(path: Path) -> Values:
    found: Values = {}
    try:
        for line in path.read_text().splitlines()[1:]:
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


def _record(kept: Archive, values: Values, spec_id: str, seed: int) -> Record:
    """A run's record, put together from the stored parts."""
    run, spec = kept["runs"][spec_id, seed], kept["specs"][spec_id]
    ours = ("environment", "without", "arrays", "digest")
    origin = {k: v for k, v in run.items() if k not in ours}
    environment = kept["environments"][run["environment"]]
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


def _arrays(plan: Plan, spec_id: str, folder: Path) -> dict[str, np.ndarray]:
    """What the figures that show a spec draw of a run: `affine/...`, histories in half precision, `universality`."""
    import numpy as np

    from .record import read_affine, read_features

    found = {}
    for name, figure in plan.figures.items():
        if spec_id not in plan.selected(name):
            continue
        if figure["kind"] == "affine":
            kept = read_affine(folder / "affine.safetensors")
            found["affine/step"] = kept["step"]
            for layer in figure["layers"]:
                for key in (f"gamma_{layer}", f"beta_{layer}"):
                    found[f"affine/{key}"] = kept[key].astype(np.float16)
        if figure["kind"] == "universality":
            found["universality"] = read_features(folder / "features.csv")[[*FEATURES]].to_numpy()
    return found


def _affine(arrays: Mapping[str, np.ndarray]) -> bytes:
    import numpy as np
    from safetensors.numpy import save

    kept = {name.split("/")[1]: array for name, array in arrays.items() if name.startswith("affine/")}
    return save({k: v.astype(np.float32) if v.dtype == np.float16 else v for k, v in kept.items()})


def _features(network: Any, values: np.ndarray) -> str:
    """features.csv, as `extract` writes it."""
    names = [f"{layer},{j}" for layer, n in zip(network.layers, network.filters, strict=True) for j in range(n)]
    lines = [",".join([name, *(f"{v:.7g}" for v in own)]) for name, own in zip(names, values.tolist(), strict=True)]
    return "\n".join([",".join(("layer", "filter", *FEATURES)), *lines]) + "\n"


def _simulation(figure: SimulationFigure, values: np.ndarray) -> str:
    """A simulation's csv, as `simulate` writes it: the lines of a panel are as many for every strength."""
    import pandas as pd

    curves = [(p["label"], p["regularizer"], s) for p in figure["panels"] for s in figure["strengths"]]
    points = len(values) // len(curves)
    keys = pd.DataFrame([c for c in curves for _ in range(points)], columns=["panel", "regularizer", "strength"])
    frame = keys.join(pd.DataFrame(values, columns=["iteration", "median", "low", "high"]))
    frame["iteration"] = frame["iteration"].astype(int)
    return frame.to_csv(index=False, float_format="%.7g", lineterminator="\n")


def _half_lives(figure: SimulationFigure, values: np.ndarray) -> str:
    """A simulation's half-lives as csv, as `simulate` writes them: a line for each panel and strength."""
    import pandas as pd

    panels = [*figure["panels"], *figure["half_life_panels"]]
    curves = [(p["label"], p["regularizer"], s) for p in panels for s in figure["strengths"]]
    keys = pd.DataFrame(curves, columns=["panel", "regularizer", "strength"])
    frame = keys.join(pd.DataFrame(values, columns=["median", "low", "high"]))
    return frame.to_csv(index=False, float_format="%.7g", lineterminator="\n")


def _in_lines(data: Json) -> str:
    """JSON with a line for each entry of a list or mapping at its top, so that a stored run is one line of a diff."""

    def text(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False)

    parts = []
    for key, value in data.items():
        if isinstance(value, list):
            told = "[\n" + ",\n".join(f"  {text(v)}" for v in value) + "\n ]"
        elif isinstance(value, dict):
            told = "{\n" + ",\n".join(f"  {text(k)}: {text(v)}" for k, v in value.items()) + "\n }"
        else:
            told = text(value)
        parts.append(f" {text(key)}: {told}")
    return "{\n" + ",\n".join(parts) + "\n}\n"
