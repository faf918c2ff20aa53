"""Files that were changed at random, given to whatever reads them: refused in one line, or read as what they were.

`Mutants(folder, seed)` makes one good file of each kind, and `run(kind, count)` changes it that many times. A reader
may refuse, which the command line says in one line, or give what the unchanged file gives. Anything else is trouble:
another exception, another content where a digest vouches for it, or a file outside the reader's folder. Of what nothing
can vouch for, a configuration say, another valid content is fine. Hypothesis draws how trees are changed, and the seed
by which bytes are; all of it follows from one seed.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import pickle
import random
import shutil
import traceback
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh
from hypothesis import HealthCheck, Phase, given
from hypothesis import seed as seeded
from hypothesis import settings as how
from hypothesis import strategies as some

from filter_sparsity import cli
from filter_sparsity.data import prepared as data
from filter_sparsity.data.renders import objectnet3d
from filter_sparsity.data.sources import archives, cifar, tiny_imagenet
from filter_sparsity.errors import UserError
from filter_sparsity.measuring.extract import extract_run
from filter_sparsity.paths import run_folder
from filter_sparsity.plan import Plan
from filter_sparsity.planning.build import anchor_paths, build_plan, merge
from filter_sparsity.planning.validation import read_yaml
from filter_sparsity.records import audit
from filter_sparsity.records import record as records
from filter_sparsity.records.archive import index, restore, seeds, store, tidy
from filter_sparsity.spec import Network
from filter_sparsity.training.checkpoint import Checkpoints
from filter_sparsity.training.run import Settings, train_run
from filter_sparsity.verdict import aggregate
from helpers.cifar_archive import make_archive, md5, random_source
from helpers.model_files import jpeg, off

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")
ONLY = how(phases=[Phase.generate], database=None, deadline=None, suppress_health_check=list(HealthCheck))
LEAVES = some.none() | some.booleans() | some.integers() | some.floats(allow_subnormal=False) | some.text()
LEAVES |= some.sampled_from([0, 1, -1, 0.5, 10**30, "../../outside", "1e-3"])
ODD = some.recursive(
    LEAVES,
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(), inner, max_size=3),
    max_leaves=5,
)
SAID = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR)  # errors of the system that the command line says in a line
TINY = Network(name="tiny", filters=(4, 6, 5), kernels=(5, 3, 3), pool_after=(1, 3), conv_bias=False, hidden=(8,))


class Refused(Exception):
    """What the command line prints after `error: `."""


class Mutants:
    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.seed = folder, seed
        self.chance: random.Random
        self.draw: Callable[[some.SearchStrategy[Any]], Any]
        self.trouble: list[str] = []
        self.inside = folder / "inside"  # all that a reader may touch
        self.inside.mkdir(parents=True)
        self.settings = merge(read_yaml(ROOT / "config/config.yaml"), {"scale": "test", "steps": 6, "width": 0.02})
        self.settings = anchor_paths(self.settings, ROOT)
        self.kinds: dict[str, Callable[[], Any]] = {
            "configuration": self.configuration,
            "experiments": self.experiments,
            "datasets": self.datasets,
            "plan": self.plan,
            "record": self.record,
            "record, sealed anew": self.resealed,
            "run": self.run_folder,
            "prepared data": self.prepared,
            "checkpoint": self.checkpoint,
            "stored records": self.reference,
            "CIFAR archive": self.cifar_archive,
            "Tiny-ImageNet zip": self.tiny_zip,
            "mesh": self.mesh,
            "PeopleArt zip": self.pictures,
        }
        self._make()

    # What is good

    def _make(self) -> None:
        self.good_plan = build_plan(self.settings)
        self.good_data = self.folder / "digits.safetensors"
        data.prepare("digits", self.folder, self.good_data)
        spec = next(s for s in self.good_plan.specs.values() if s.dataset == "digits")
        self.spec, self.runs = spec, self.folder / "runs"
        self.images = data.read(self.good_data)
        self.good_run = run_folder(self.runs, spec.id, 0)
        with contextlib.redirect_stderr(io.StringIO()):
            kept = train_run(spec, 0, self.images, self.good_run, self.folder / "kept", Settings(CPU, 2))
        kept.clear()
        extract_run(spec, 0, self.images, self.good_run, CPU)
        self.measured = records.read(self.good_run / "record.json", spec.id, 0)["measured"]
        for spec_id in self.good_plan.selected("table1"):
            for seed in self.good_plan.seeds:
                folder = run_folder(self.folder / "all", spec_id, seed)
                folder.mkdir(parents=True, exist_ok=True)
                record = records.read(self.good_run / "record.json", spec.id, 0)
                own = {"spec_id": spec_id, "seed": seed, "spec": self.good_plan.specs[spec_id].to_dict()}
                provenance = {**record["provenance"], **own}
                (folder / "record.json").write_text(records.sealed({**record, **own, "provenance": provenance}))
                for name in ("affine.safetensors", "features.csv"):
                    shutil.copy(self.good_run / name, folder)
        store(self.good_plan, self.folder / "all", self.folder / "none", self.folder / "reference.csv")

    # Changing

    def bytes(self, content: bytes) -> bytes:
        """Content changed in one of the ways in which disks, networks and editors change it."""
        chance, length = self.chance, len(content)
        a, b = sorted(chance.randrange(length + 1) for _ in range(2))
        b = min(b, a + chance.choice([1, 8, 100, 100_000]))
        how = chance.randrange(8)
        if how == 0:
            return content[:a]
        if how in (1, 2):
            at = a if how == 1 else a % min(length, 400)  # headers are where the traps are
            at = min(at, length - 1)
            return content[:at] + bytes([content[at] ^ 1 << chance.randrange(8)]) + content[at + 1 :]
        if how == 3:
            return content[:a] + content[b:]
        if how == 4:
            return content[:b] + content[a:]
        if how == 5:
            return content[:a] + chance.randbytes(b - a) + content[b:]
        if how == 6:
            return content[:a] + bytes(b - a) + content[b:]
        return chance.choice([b"", b"\n", b"null", b"[]", b"{}", b"\xff\xfe\xff", pickle.dumps(Bomb(self.folder))])

    def tree(self, value: Any) -> Any:
        """A tree of mappings and lists with one node replaced, removed or doubled."""
        value = json.loads(json.dumps(value))
        nodes = []

        def walk(node: Any) -> None:
            for key in node if isinstance(node, dict) else range(len(node)):
                nodes.append((node, key))
                if isinstance(node[key], dict | list):
                    walk(node[key])

        walk(value)
        parent, key = self.draw(some.sampled_from(nodes))
        change = self.draw(some.sampled_from(["remove", "double", "replace", "replace"]))
        if change == "remove":
            del parent[key]
        elif change == "double" and isinstance(parent, dict):
            parent[f"{key}x"] = parent[key]
        else:
            parent[key] = self.draw(ODD)
        return value

    def file(self, source: Path) -> Path:
        """A changed copy, where readers may touch it."""
        target = self.inside / source.name
        target.write_bytes(self.bytes(source.read_bytes()))
        return target

    # Reading. Each raises Refused or UserError, or gives whether it read what the good file gives.

    def configuration(self) -> bool:
        path = self.inside / "config.yaml"
        if self.chance.random() < 0.5:
            path.write_bytes(self.bytes((ROOT / "config/config.yaml").read_bytes()))
        else:
            path.write_text(json.dumps(self.tree(self.settings)))
        said = self.verb("plan", "--config", path, "--out", self.inside / "plan.json")
        assert "Traceback" not in said
        return True

    def experiments(self) -> bool:
        part = self.draw(some.sampled_from(["recipe", "tables", "figures", "claims"]))
        path, good = self.inside / f"{part}.yaml", ROOT / "config" / f"{part}.yaml"
        if self.chance.random() < 0.4:
            path.write_bytes(self.bytes(good.read_bytes()))
        else:
            path.write_text(json.dumps(self.tree(read_yaml(good))))
        given = json.dumps(merge(self.settings, {"experiments": {part: str(path)}}))
        self.verb("plan", "--settings", given, "--out", self.inside / "plan.json")
        Plan.from_json(self.inside / "plan.json")
        return True

    def datasets(self) -> bool:
        given = json.dumps({**self.settings, "datasets": str(self.file(ROOT / "config/datasets.yaml"))})
        self.verb("plan", "--settings", given, "--out", self.inside / "plan.json")
        return True

    def plan(self) -> bool:
        path = self.inside / "plan.json"
        text = self.good_plan.to_json()
        if self.chance.random() < 0.5:
            path.write_bytes(self.bytes(text.encode()))
        else:
            path.write_text(json.dumps(self.tree(json.loads(text))))
        return Plan.from_json(path) == self.good_plan

    def record(self) -> bool:
        path = self.file(self.good_run / "record.json")
        if self.chance.random() < 0.4:
            path.write_text(json.dumps(self.tree(json.loads((self.good_run / "record.json").read_text()))))
        return records.read(path, self.spec.id, 0)["measured"] == self.measured

    def resealed(self) -> bool:
        """A record that somebody made, digest and all: nobody can say that its numbers are wrong."""
        record = records.read(self.good_run / "record.json", self.spec.id, 0)
        folder = run_folder(self.inside / "runs", self.spec.id, 0)
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(records.sealed(self.tree(record)))
        plan = Plan({"scale": "t"}, [0], {self.spec.id: self.spec}, {}, {}, {}, {}, [])
        found = aggregate.read_records(plan, [self.spec.id], self.inside / "runs")
        records.over_seeds(records.tidy(found))
        audit.audit([self.inside / "runs"], self.good_plan)
        store(plan, self.inside / "runs", self.inside / "none", self.inside / "reference.csv")
        return True

    def run_folder(self) -> bool:
        """Weights, histories, or where they come from; then measured."""
        folder = run_folder(self.inside / "runs", self.spec.id, 0)
        shutil.copytree(self.good_run, folder)
        names = ("weights.safetensors", "affine.safetensors", "history.csv", "provenance.json")
        path = folder / self.chance.choice(names)
        path.write_bytes(self.bytes(path.read_bytes()))
        (folder / "record.json").unlink()
        extract_run(self.spec, 0, self.images, folder, CPU)
        return records.read(folder / "record.json", self.spec.id, 0)["measured"] == self.measured

    def prepared(self) -> bool:
        read = data.read(self.file(self.good_data))
        assert isinstance(read, data.PreparedArrays)
        assert isinstance(self.images, data.PreparedArrays)
        return all(
            np.array_equal(read.images[split], self.images.images[split])
            and np.array_equal(read.labels[split], self.images.labels[split])
            for split in ("train", "test")
        ) and (read.mean, read.deviation, read.classes) == (
            self.images.mean,
            self.images.deviation,
            self.images.classes,
        )

    def checkpoint(self) -> bool:
        kept = Checkpoints(self.inside / "kept", {"run": 1}, lambda line: None)
        kept.save(7, {"x": torch.arange(50.0)}, {"step": 7})
        path = self.inside / "kept/000000007.checkpoint"
        path.write_bytes(self.bytes(path.read_bytes()))
        found = kept.newest()
        if found is None:
            raise Refused("said, and trained from the start")
        return torch.equal(found[0]["x"], torch.arange(50.0)) and found[1] == {"step": 7}

    def reference(self) -> bool:
        for ending in ("csv", "json", "npz"):
            shutil.copy(self.folder / f"reference.{ending}", self.inside)
        path = self.inside / f"reference.{self.chance.choice(['csv', 'json', 'npz'])}"
        if path.suffix == ".json" and self.chance.random() < 0.5:
            path.write_text(json.dumps(self.tree(json.loads(path.read_text()))))
        else:
            path.write_bytes(self.bytes(path.read_bytes()))
        kept = index(self.inside / "reference.json")
        runs = seeds(kept, self.good_plan.specs)
        plan = Plan(**{**self.good_plan.__dict__, "runs": runs, "figures": {}})
        restore(plan, self.inside / "reference.csv", self.inside / "back", self.inside / "none")
        places = self.folder, self.inside
        good, changed = ({*tidy(place / "reference.csv").itertuples(index=False)} for place in places)
        if changed != good:  # in whatever order
            return False
        for path in (self.inside / "back").glob("*/*/record.json"):
            good = self.folder / "all" / path.relative_to(self.inside / "back")
            if json.loads(path.read_text()) != json.loads(good.read_text()):  # in whatever order
                return False
        return True

    def cifar_archive(self) -> bool:
        path, kind = make_archive("cifar10", random_source("cifar10"), self.inside / "original")
        good = cifar.load("cifar10", path.parent, kind)
        path.write_bytes(self.bytes(path.read_bytes()))
        changed = type("Changed", (kind,), {"tgz_md5": md5(path.read_bytes())})
        read = cifar.load("cifar10", path.parent, changed)
        return all(
            np.array_equal(a, b)
            for s in ("train", "test")
            for a, b in zip(getattr(read, s), getattr(good, s), strict=True)
        )

    def tiny_zip(self) -> bool:
        root = self.inside / "original"
        root.mkdir()
        path, inside = root / tiny_imagenet.ARCHIVE, tiny_imagenet.FOLDER
        with zipfile.ZipFile(path, "w", self.chance.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as archive:
            archive.writestr(f"{inside}/wnids.txt", "n1\nn2\n")
            for wnid in ("n1", "n2"):
                archive.writestr(f"{inside}/train/{wnid}/images/{wnid}_0.JPEG", jpeg(1, (64, 64)))
                archive.writestr(f"{inside}/val/images/{wnid}.JPEG", jpeg(2, (64, 64)))
            archive.writestr(f"{inside}/val/val_annotations.txt", "n1.JPEG\tn1\nn2.JPEG\tn2\n")
        path.write_bytes(self.bytes(path.read_bytes()))
        tiny_imagenet.tiny_imagenet(root, archives.md5(path))
        return True

    def mesh(self) -> bool:
        path = self.inside / "01.off"
        path.write_bytes(self.bytes(off(trimesh.creation.cylinder(0.4, 1.5)).encode()))
        objectnet3d.read_off(path)
        return True

    def pictures(self) -> bool:
        path = self.inside / "PeopleArt-master.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for number in range(3):
                archive.writestr(f"PeopleArt-master/JPEGImages/Cubism/{number}.jpg", jpeg(number))
        path.write_bytes(self.bytes(path.read_bytes()))
        objectnet3d.pictures(self.inside, 16)
        return True

    def verb(self, *arguments: Any) -> str:
        """Call the command line in this process; raises Refused with its line."""
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            code = cli.main([str(argument) for argument in arguments])
        if code:
            lines = said.getvalue().splitlines()
            assert len(lines) == 1, lines
            assert lines[0].startswith("error: ")
            raise Refused(lines[0])
        return said.getvalue()

    # Counting

    def run(self, kind: str, count: int) -> Counter[str]:
        counts: Counter[str] = Counter()
        outside = self._outside()

        @seeded(f"{self.seed} {kind}")
        @how(
            max_examples=count, phases=[Phase.generate], database=None, deadline=None, suppress_health_check=HealthCheck
        )
        @given(some.data(), some.randoms(use_true_random=True))
        def change(data: Any, chance: random.Random) -> None:
            self.draw, self.chance = data.draw, chance
            shutil.rmtree(self.inside)
            self.inside.mkdir()
            counts[self._outcome(kind)] += 1

        change()
        if self._outside() != outside:
            self.trouble.append(f"{kind}: files outside the folder: {self._outside() ^ outside}")
        return counts

    def _outcome(self, kind: str) -> str:
        """Change and read a file; what came of it."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if self.kinds[kind]():
                    return "read as it was, or valid"
            self.trouble.append(f"{kind}: another content was read")
        except (UserError, Refused) as error:
            if "\n" not in str(error):
                return "refused in one line"
            self.trouble.append(f"{kind}: more than a line: {error}")
        except OSError as error:
            if error.errno in SAID:
                return "refused in one line"
            self.trouble.append(f"{kind}: {error!r}")
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-3:]
            self.trouble.append(f"{kind}: {error!r:.300} at {[f'{p.name}:{p.lineno}' for p in place]}")
        return "wrong"

    def _outside(self) -> set[str]:
        return {str(path) for path in self.folder.rglob("*") if not path.is_relative_to(self.inside)}


class Bomb:
    """Whoever unpickles it makes a file."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "executed")

    def __reduce__(self) -> Any:
        return (open, (self.path, "w"))
