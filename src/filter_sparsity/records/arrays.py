"""What an archive holds beside records: the arrays that figures draw, of runs and simulations, and their files again.

Torch-free. The Snakefile imports `archive`, so numpy and pandas are imported where they are used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..parts import SimulationFigure

if TYPE_CHECKING:
    import numpy as np

    from ..plan import Plan
    from ..spec import Network

FEATURES = ("gamma", "beta", "largest_activation", "universality", "l2_dominates")  # older runs lack the last


def drawn_arrays(plan: Plan, spec_id: str, folder: Path) -> dict[str, np.ndarray]:
    """The arrays of a run that the plan's figures draw: `affine/...`, histories in half precision; `universality`."""
    import numpy as np

    from .record import read_affine, read_features

    arrays = {}
    for name, figure in plan.figures.items():
        if spec_id not in plan.selected(name):
            continue
        if figure["kind"] == "affine":
            histories = read_affine(folder / "affine.safetensors")
            arrays["affine/step"] = histories["step"]
            for layer in figure["layers"]:
                for key in (f"gamma_{layer}", f"beta_{layer}"):
                    arrays[f"affine/{key}"] = histories[key].astype(np.float16)
        if figure["kind"] == "universality":
            features = read_features(folder / "features.csv")
            arrays["universality"] = features[[name for name in FEATURES if name in features]].to_numpy()
    return arrays


def affine_file(arrays: Mapping[str, np.ndarray]) -> bytes:
    """affine.safetensors, as `train` writes it, from the arrays of a run."""
    import numpy as np
    from safetensors.numpy import save

    histories = {name.split("/")[1]: array for name, array in arrays.items() if name.startswith("affine/")}
    return save({k: v.astype(np.float32) if v.dtype == np.float16 else v for k, v in histories.items()})


def features_csv(network: Network, values: np.ndarray) -> str:
    """features.csv, as `extract` writes it."""
    from .record import as_text

    names = [f"{layer},{j}" for layer, n in zip(network.layers, network.filters, strict=True) for j in range(n)]
    lines = [",".join([name, *map(as_text, line)]) for name, line in zip(names, values.tolist(), strict=True)]
    return "\n".join([",".join(("layer", "filter", *FEATURES[: values.shape[1]])), *lines]) + "\n"


def features_of_layers(network: Network, values: np.ndarray) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Each layer's features by the names of their columns, without a column that nothing was counted for."""
    import numpy as np

    columns = {k: v for k, v in zip(FEATURES, values.T, strict=False) if not np.isnan(v).all()}
    ends = np.cumsum(network.filters)
    for layer, start, end in zip(network.layers, [0, *ends[:-1]], ends, strict=True):
        yield layer, {name: column[start:end] for name, column in columns.items()}


def simulation_csv(figure: SimulationFigure, values: np.ndarray) -> str:
    """A simulation's csv, as `simulate` writes it: the lines of a panel are as many for every strength."""
    import pandas as pd

    curves = [(p["label"], p["regularizer"], s) for p in figure["panels"] for s in figure["strengths"]]
    points = len(values) // len(curves)
    keys = pd.DataFrame([c for c in curves for _ in range(points)], columns=["panel", "regularizer", "strength"])
    frame = keys.join(pd.DataFrame(values, columns=["iteration", "median", "low", "high"]))
    frame["iteration"] = frame["iteration"].astype(int)
    return frame.to_csv(index=False, float_format="%.7g", lineterminator="\n")


def half_lives_csv(figure: SimulationFigure, values: np.ndarray) -> str:
    """A simulation's half-lives as csv, as `simulate` writes them: a line for each panel and strength."""
    import pandas as pd

    panels = [*figure["panels"], *figure["half_life_panels"]]
    curves = [(p["label"], p["regularizer"], s) for p in panels for s in figure["strengths"]]
    keys = pd.DataFrame(curves, columns=["panel", "regularizer", "strength"])
    frame = keys.join(pd.DataFrame(values, columns=["median", "low", "high"]))
    return frame.to_csv(index=False, float_format="%.7g", lineterminator="\n")
