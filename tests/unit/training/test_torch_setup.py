"""Torch as every job uses it, and what is written of the machine."""

from __future__ import annotations

import importlib.metadata

import pytest
import torch

from filter_sparsity import provenance
from filter_sparsity.training.torch_setup import collect_provenance

SELECTING = """
import torch
torch.cuda.is_available = lambda: True
from filter_sparsity.training.torch_setup import select_device
print(select_device("auto", 1), torch.are_deterministic_algorithms_enabled(),
      torch.utils.deterministic.fill_uninitialized_memory)
"""


def test_deterministic_algorithms_do_not_fill_new_gpu_memory(python):
    assert python(SELECTING) == "cuda True False"


@pytest.fixture
def nothing_installed(monkeypatch):
    def version(package):
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(provenance, "version", version)


def test_packages_on_the_path_alone_are_no_error(nothing_installed):
    origin = collect_provenance(torch.device("cpu"))
    assert origin["versions"]["snakemake"] == origin["versions"]["filter-sparsity"] == "not installed"
    assert origin["versions"]["python"]
