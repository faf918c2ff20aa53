"""Copies of the project for the tests: a fresh one, and one whose report has been made."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from helpers.projects import Project, copy


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return copy(tmp_path)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose report has been made. Tests that change files take a copy of it: `again`."""
    project = copy(tmp_path_factory.mktemp("finished"))
    done = project.tiny("report")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Provided resources: gpu" in done.stderr + done.stdout  # profiles/default: trainings share one GPU
    return project


@pytest.fixture
def again(finished: Project, tmp_path: Path) -> Project:
    """A copy of the finished project, modification times and Snakemake's memory included."""
    shutil.copytree(finished.folder, tmp_path / "copy")
    return Project(tmp_path / "copy")
