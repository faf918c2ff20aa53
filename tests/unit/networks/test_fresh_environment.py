"""What is built installs in a fresh environment, where the library needs its five packages and no more."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable
from importlib.metadata import distribution, distributions
from pathlib import Path

import pytest

from helpers.bare import closure

pytestmark = pytest.mark.slow
SMALL = {"numpy", "pandas", "safetensors", "torch", "torch-pruning"}

NETWORK = """
from torch import nn

def create():
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 3))
    nn.init.zeros_(model[1].weight[:2])
    return model.requires_grad_(False)
"""


def run(*command: object, cwd: Path | None = None) -> str:
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([*map(str, command)], cwd=cwd, env=own, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def link(names: Iterable[str], site: Path) -> None:
    """Put distributions that are installed here into another environment, as links: nothing is downloaded."""
    for name in names:
        found = distribution(name)
        for top in {file.parts[0] for file in found.files or [] if ".." not in file.parts}:
            if not (site / top).exists() and top != "__pycache__":
                (site / top).symlink_to(Path(str(found.locate_file(top))))


@pytest.fixture(scope="module")
def built(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a source distribution, and of the wheel that was built from it."""
    source = tmp_path_factory.mktemp("source")
    shutil.copytree(root / "src", source / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(root / name, source)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", source / "dist", source)
    return source / "dist"


@pytest.fixture(scope="module")
def fresh(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel, and with what its metadata names: no extra, nothing else."""
    folder = tmp_path_factory.mktemp("fresh")
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / "bin/python"
    (wheel,) = built.glob("*.whl")
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel)
    link(closure(SMALL), site(folder))
    return folder


def site(environment: Path) -> Path:
    (found,) = environment.glob("lib/python3*/site-packages")
    return found


def test_distributions_have_every_file(root: Path, built: Path) -> None:
    package = root / "src/filter_sparsity"
    wanted = {str(p.relative_to(root / "src")) for p in package.rglob("*") if p.suffix in {".py", ".yaml", ".typed"}}
    (wheel,), (source,) = built.glob("*.whl"), built.glob("*.tar.gz")
    assert wanted <= set(zipfile.ZipFile(wheel).namelist())
    with tarfile.open(source) as file:
        assert {f"src/{name}" for name in wanted} <= {name.partition("/")[2] for name in file.getnames()}


def test_the_small_install_is_complete(fresh: Path) -> None:
    (ours,) = (d for d in distributions(path=[str(site(fresh))]) if d.name == "filter-sparsity")
    needed = {re.split(r"[<>=!~;\[]", line)[0] for line in ours.requires or [] if "extra ==" not in line}
    assert needed == SMALL
    run(sys.executable, "-m", "pip", "--python", fresh / "bin/python", "check")


def test_the_small_install_measures_and_shrinks(fresh: Path, tmp_path: Path) -> None:
    (tmp_path / "some_network.py").write_text(NETWORK)
    shown = run(
        *(fresh / "bin/filter-sparsity", "shrink", "some_network:create", "--shape", 1, 3, 9, 9, "--out", "a.pt2"),
        cwd=tmp_path,
    )
    assert "2 dead features of 6; 2 removed" in shown
    assert (tmp_path / "a.pt2").exists()
    program = """
import torch, some_network, filter_sparsity
from filter_sparsity.errors import UserError
model = some_network.create().eval()
table = filter_sparsity.measure(model, [torch.randn(2, 3, 9, 9)])
print(table.to_markdown())
for extra in (table.plot, lambda: filter_sparsity.Monitor(model, tensorboard="t")):
    try:
        extra()
    except UserError as error:
        print(error)
"""
    shown = run(fresh / "bin/python", "-c", program, cwd=tmp_path)
    assert "| 0 | 6 | 33.3 % |" in shown
    assert "pip install matplotlib" in shown
    assert "pip install tensorboard" in shown


def test_known_networks_and_the_example(root: Path, fresh: Path, tmp_path: Path) -> None:
    """Beside the small install here: the networks' packages, pytest, and scikit-learn, which has the images."""
    link(closure(["pytest", "scikit-learn", "timm", "torchvision"]), site(fresh))
    tests = ["tests/unit/networks/test_known_networks.py", "-k", "selecsls or mobilenet", "-p", "no:cacheprovider"]
    assert "2 passed" in run(fresh / "bin/python", "-m", "pytest", *tests, cwd=root)
    page = tmp_path / "page.md"
    run(fresh / "bin/python", root / "examples/own_networks.py", "--epochs", 1, "--out", page, cwd=tmp_path)

    def prose(text: str) -> list[str]:
        """Without tables, reports and numbers."""
        lines = re.sub(r"```text.*?```", "", text, flags=re.DOTALL).splitlines()
        return [
            re.sub(r"[\d.,]+\S*", "", line) for line in lines if not line.startswith("|") and "trained with" not in line
        ]

    stored = (root / "docs/own_networks.md").read_text()
    assert prose(page.read_text()) == prose(stored)
    assert len(re.findall(r"^\| (?:Adam|AdamW|SGD),? ", stored, flags=re.MULTILINE)) == 3
