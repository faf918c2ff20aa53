"""What is loaded with the modules that must stay light: import-linter, which proves the rest, cannot tell when."""

import pkgutil
import re

import pytest

import filter_sparsity

MODULES = {name for _, name, _ in pkgutil.walk_packages(filter_sparsity.__path__, "filter_sparsity.")}
TORCH = {f"filter_sparsity.measuring.{name}" for name in ("campaign", "extract", "prune", "simulate")}
TORCH |= {"filter_sparsity.data.torchvision_cpu"}
TORCH |= {name for name in MODULES if name.startswith("filter_sparsity.networks")}
TORCH |= {name for name in MODULES if name.startswith("filter_sparsity.training.")} - {
    "filter_sparsity.training.torch_setup"
}
DRAWING = {f"filter_sparsity.typesetting.{name}" for name in ("figures", "gallery", "layers", "overview", "style")}
HEAVY = ["torch", "torchvision", "snakemake", "sklearn", "mitsuba", "trimesh"]


def loaded(python, modules, packages):
    """Which of the packages are loaded once the modules are."""
    imports = "; ".join(f"import {module}" for module in sorted(modules))
    return python(f"import sys; {imports}; print(*sorted(set({packages!r}) & set(sys.modules)))")


def test_the_modules_listed_here_exist():
    assert MODULES >= TORCH | DRAWING


def test_torch_free_modules_load_no_heavy_package(python):
    assert loaded(python, MODULES - TORCH - DRAWING, [*HEAVY, "matplotlib"]) == ""


def test_drawing_loads_no_torch(python):
    assert loaded(python, DRAWING, HEAVY) == ""


def test_the_snakefile_plans_without_heavy_packages(python, root):
    files = [root / "Snakefile", *(root / "workflow/rules").glob("*.smk")]
    imports = re.compile(r"^\s*from (filter_sparsity\S*) import (.+)$", re.MULTILINE)
    found = [imports.findall(file.read_text()) for file in files]
    named = {(source, name.strip()) for lines in found for source, names in lines for name in names.split(",")}
    modules = {f"{source}.{name}" if f"{source}.{name}" in MODULES else source for source, name in named}
    assert modules >= {"filter_sparsity.paths", "filter_sparsity.planning.startup"}
    heavy = [*HEAVY, "matplotlib", "numpy", "pandas", "scipy", "seaborn"]
    heavy.remove("snakemake")
    assert loaded(python, modules | {"filter_sparsity.cli"}, heavy) == ""


@pytest.mark.parametrize(("module", "package"), [("data.prepared", "numpy"), ("training.loop", "torch")])
def test_loaded_would_find_a_heavy_package(python, module, package):
    assert loaded(python, [f"filter_sparsity.{module}"], [package]) == package
