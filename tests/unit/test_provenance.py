"""The commit that records carry is this project's, or unknown with the reason."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from filter_sparsity import provenance

SOURCE = Path(provenance.__file__).parent


def git(folder, *arguments):
    identity = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org")
    command = ["git", "-C", str(folder), *identity, *arguments]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout.strip()


def repository(folder, name):
    """A repository with one commit."""
    git(folder, "init", "--quiet")
    (folder / name).write_text("content\n")
    git(folder, "add", name)
    git(folder, "commit", "--quiet", "--message", "a commit")
    return git(folder, "rev-parse", "--short=12", "HEAD")


@pytest.fixture
def copy(tmp_path):
    """A copy of the module where it stands in the project, outside any checkout; and the commit that it names."""
    folder = tmp_path / "outer" / "project"
    package = folder / "src" / "filter_sparsity"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    shutil.copy(SOURCE / "provenance.py", package)

    def named(**variables):
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("GIT_", "FILTER_SPARSITY_"))}
        code = "from filter_sparsity.provenance import commit; print(commit())"
        environment = {**kept, "PYTHONPATH": str(folder / "src"), **variables}
        command = [sys.executable, "-c", code]
        return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout.strip()

    return folder, named


def test_a_checkout_names_its_commit_and_changes_to_it(copy):
    folder, named = copy
    commit = repository(folder, "file")
    assert named() == commit
    (folder / "file").write_text("changed\n")
    assert named() == f"{commit}-dirty"


def test_a_repository_around_the_project_is_not_named(copy):
    folder, named = copy
    repository(folder.parent, "file")
    assert named() == "unknown (not a git checkout)"


def test_git_dir_of_another_repository_is_not_named(copy, tmp_path):
    folder, named = copy
    (tmp_path / "other").mkdir()
    other = repository(tmp_path / "other", "file")
    own = repository(folder, "another file")
    assert own != other
    assert named(GIT_DIR=str(tmp_path / "other" / ".git"), GIT_WORK_TREE=str(tmp_path / "other")) == own


def test_without_a_checkout_the_environment_names_the_commit(copy):
    _, named = copy
    assert named(FILTER_SPARSITY_COMMIT="abc123") == "abc123"
    assert named(FILTER_SPARSITY_COMMIT="") == "unknown (not a git checkout)"


def test_what_git_refuses_is_unknown_with_the_reason(copy):
    folder, named = copy
    repository(folder, "file")
    (folder / ".git" / "HEAD").write_text("nonsense\n")
    said = named()
    assert said.startswith("unknown (")
    assert "not a git repository" in said


def test_without_git_the_commit_is_unknown(copy, tmp_path):
    folder, named = copy
    repository(folder, "file")
    assert named(PATH=str(tmp_path)) == "unknown (FileNotFoundError of git)"


def test_a_git_that_does_not_end_is_named(copy, tmp_path):
    folder, named = copy
    repository(folder, "file")
    path = folder / "src/filter_sparsity/provenance.py"
    path.write_text(path.read_text().replace("SECONDS = 60", "SECONDS = 0.2"))
    (tmp_path / "git").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "git").chmod(0o755)
    said = named(PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert said == "unknown (`git describe --always --dirty --abbrev=12 --exclude=*` did not end within 0.2 seconds)"
