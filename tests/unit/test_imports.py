"""The import direction: what the Snakefile and the torch-free steps import stays light, and nothing goes round."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import filter_sparsity

SOURCE = Path(filter_sparsity.__file__).parent
MODULES = sorted(path.stem for path in SOURCE.iterdir() if path.suffix == ".py" or path.name == "sources")
MODULES.remove("__init__")
TORCH_FREE = (
    "errors",
    "paths",
    "validation",
    "spec",
    "plan",
    "datasets",
    "resolve",
    "sweep",
    "records",
    "stored",
    "aggregate",
    "claims",
    "judge",
    "keys",
    "sensitivity",
    "check",
    "latex",
    "typeset",
    "report",
    "soundness",
    "sparsity",
    "sources",
    "render",
    "shapes",
    "objectnet3d",
    "compose",
    "data",
    "tensors",
    "provenance",
    "cli",
    "work",
)
TORCH = {"models", "images", "stream", "optim", "snapshot", "train", "run", "extract", "prune", "vision", "health"}


def imported(module):
    """Modules of the package that a module imports as it is imported itself."""
    files = [SOURCE / f"{module}.py"] if (SOURCE / f"{module}.py").exists() else (SOURCE / module).glob("*.py")
    names = set()
    for path in files:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ImportFrom) and node.level == len(path.relative_to(SOURCE).parts):
                names |= {node.module} if node.module else {alias.name for alias in node.names}
    return names & set(MODULES)


def loaded(python, modules, packages):
    """Which of the packages are loaded once the modules are."""
    imports = "; ".join(f"import filter_sparsity.{module}" for module in modules)
    return python(f"import sys; {imports}; print(*sorted(set({packages!r}) & set(sys.modules)))")


def test_imports_do_not_go_round():
    order = list(TopologicalSorter({module: imported(module) for module in MODULES}).static_order())
    assert order.index("errors") < order.index("spec") < order.index("sweep")
    assert order.index("models") < order.index("train") < order.index("extract")


@pytest.mark.parametrize("module", TORCH_FREE)
def test_torch_free_modules_import_no_module_with_torch(module):
    assert not imported(module) & TORCH


def test_torch_free_modules_load_neither_torch_nor_snakemake(python):
    assert (
        loaded(python, TORCH_FREE, ["torch", "torchvision", "snakemake", "sklearn", "matplotlib", "mitsuba", "trimesh"])
        == ""
    )


def test_the_plan_is_made_without_heavy_packages(python):
    heavy = ["torch", "torchvision", "numpy", "pandas", "sklearn", "scipy", "matplotlib", "seaborn", "mitsuba"]
    assert loaded(python, ["sweep", "paths", "cli", "lock"], heavy) == ""


def test_loaded_would_find_a_heavy_package(python):
    assert loaded(python, ["data"], ["numpy", "torch"]) == "numpy"
