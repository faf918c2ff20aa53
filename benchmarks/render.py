"""How much longer rendering takes than Mitsuba's bare render calls: `python benchmarks/render.py` writes render.json.

Each model is rendered twice in turn, so that what else the machine does meets both alike: once as `filter-sparsity
render` does it (mesh, scene, cameras, render calls, bytes), once as bare calls on a scene and cameras made before. With
names of cases only these are measured again.
"""

from __future__ import annotations

import json
import platform
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from filter_sparsity import progress
from filter_sparsity.data.renders import render, shapes
from filter_sparsity.planning.build import build_plan, merge
from filter_sparsity.planning.validation import read_yaml

OUT = Path(__file__).with_suffix(".json")
CASES = {  # images of a class and classes, at the family's own side and samples
    "shapes, as at quick": ("shapes", (40, 10), shapes.SHAPES),
    "shapes, as ObjectNet3D": ("objectnet3d", (340, 60), ("goblet", "torus", "wheel")),
}


def measure(settings: render.Settings) -> dict[str, float]:
    """Seconds of both ways in all, by the wall and by the processor, and how many images each made."""
    mi = render.mitsuba()
    models = shapes.models(Path(), settings.classes)
    models.load(settings.classes[0], "0")  # imports trimesh, as mitsuba() imports Mitsuba: once in a process
    spent: dict[str, float] = defaultdict(float)
    images = 0
    for name in settings.classes:
        by_model = defaultdict(list)
        for view in render.views("shapes", name, models.names[name], settings):
            by_model[view.model].append(view)
        for model, shown in by_model.items():
            wall, processor = time.perf_counter(), time.process_time()
            mesh = models.load(name, model)
            ours = render.render_model(mesh, name, shown, settings.side, settings.samples)
            spent["wall_ours"] += time.perf_counter() - wall
            spent["processor_ours"] += time.process_time() - processor

            scene = render.make_scene(*render.normalised(mesh, name), settings.side)
            sensors = [render.make_sensor(v.azimuth, v.elevation, settings.side, settings.samples) for v in shown]
            wall, processor = time.perf_counter(), time.process_time()
            bare = [
                mi.render(scene, sensor=sensor, seed=view.seed, spp=settings.samples)
                for sensor, view in zip(sensors, shown, strict=True)
            ]
            spent["wall_bare"] += time.perf_counter() - wall
            spent["processor_bare"] += time.process_time() - processor
            assert all(np.array_equal(o, render.as_bytes(np.array(b))) for o, b in zip(ours, bare, strict=True))
            images += len(shown)
    return {**spent, "images": images}


def main() -> None:
    quick = read_yaml(Path("config/config.yaml"))
    manual = {"manual_datasets": ["objectnet3d_plain", "objectnet3d_cluttered"]}
    plans = {
        "shapes": build_plan(quick),
        "objectnet3d": build_plan(merge(merge(quick, read_yaml(Path("config/scales/paper.yaml"))), manual)),
    }
    machine = {"python": platform.python_version(), "mitsuba": render.mitsuba().__version__, "cores": progress.cores()}
    results = json.loads(OUT.read_text())["results"] if sys.argv[1:] else {}
    for case in sys.argv[1:] or CASES:
        family, images, classes = CASES[case]
        own = plans[family].renders[family]
        settings = render.Settings.from_dict({**own, "images": list(images), "classes": list(classes)})
        spent = measure(settings)
        results[case] = {
            "side": settings.side,
            "samples": settings.samples,
            **{k: round(v, 3) for k, v in spent.items()},
            "milliseconds_an_image": round(1000 * spent["wall_ours"] / spent["images"], 2),
            "ratio_wall": round(spent["wall_ours"] / spent["wall_bare"], 3),
            "ratio_processor": round(spent["processor_ours"] / spent["processor_bare"], 3),
        }
        print(case, results[case])
        OUT.write_text(json.dumps({"machine": machine, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
