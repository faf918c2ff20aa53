"""The project in other people's folders, and the messages that they see."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys

import pytest

from helpers.projects import ROOT
from helpers.snakemake_output import refused

REDUCED = ("--configfile", "config/scales/reduced.yaml", "--config", "records=stored")


def make(folder, *arguments):
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        (folder / name).write_bytes((ROOT / name).read_bytes())
    return subprocess.run(["make", f"PYTHON={sys.executable}", *arguments], cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize("name", ["a:b", 'a "b"', "a $HOME", "a `b`", "a\\b", "{a}"])
def test_a_path_that_scripts_cannot_have_stops_setup(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    done = make(folder, "setup")
    assert done.returncode
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "move the project, then call make again" in errors[0]
    assert not (folder / ".venv").exists()


def test_setup_installs_into_the_environment_despite_pip_conf(tmp_path):
    """PIP_USER, or a pip.conf that says so, makes pip refuse an environment; PIP_TARGET has it install elsewhere."""
    home = tmp_path / "home"
    (home / ".config/pip").mkdir(parents=True)
    (home / ".config/pip/pip.conf").write_text("[install]\nuser = true\n")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "Makefile").write_bytes((ROOT / "Makefile").read_bytes())
    told = {**os.environ, "HOME": str(home), "PIP_USER": "1", "PIP_TARGET": str(tmp_path / "elsewhere")}
    ask = "install --no-index --disable-pip-version-check nothing-of-this-name"
    command = ["make", f"--eval=ask: ; $(PIP) {ask}", "ask"]
    said = subprocess.run(command, cwd=tmp_path, env=told, capture_output=True, text=True).stderr
    assert "No matching distribution found for nothing-of-this-name" in said  # it looked for it
    assert "--user" not in said


@pytest.mark.parametrize("how", ["--directory", "another folder"])
def test_a_call_from_elsewhere_is_one_line(project, tmp_path, how):
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    if how == "--directory":
        done = project.snakemake("-n", "report", "--directory", str(elsewhere))
    else:
        command = [sys.executable, "-m", "snakemake", "-n", "report", "--snakefile", str(project.folder / "Snakefile")]
        done = subprocess.run(command, cwd=elsewhere, env=project.environment, capture_output=True, text=True)
    refused(done, "Snakemake is to run in the project's folder", f"cd {project.folder}")
    assert not list(elsewhere.glob("results"))


def test_no_line_of_a_dry_run_is_longer_than_a_screen(project):
    done = project.snakemake("-n", "report")
    assert done.returncode == 0
    assert max(map(len, (done.stdout + done.stderr).splitlines())) < 500
    assert "finish the report" in done.stdout + done.stderr


def test_the_error_of_a_job_is_the_last_line(project):
    path = project.folder / "report/references/measured/reduced.csv"
    path.write_text(re.sub(r"(test_error,,0\.)\d", r"\g<1>9", path.read_text(), count=1))
    done = project.snakemake("verdict", *REDUCED)
    refused(done, "does not have the digest of the record that was stored")
    assert done.stderr.splitlines()[-1].startswith("error: ")


@pytest.mark.parametrize("note", ["run #3, two A100 cards", "cards: two", "42"])
def test_a_note_is_stored_as_it_is_written(project, note):
    done = project.snakemake("-n", "-p", "store_reference", *REDUCED[:2], "--config", f"note={note}")
    assert done.returncode == 0, done.stderr
    assert f" {shlex.quote(f'--note={note}')} " in done.stdout + done.stderr


def test_a_home_that_cannot_be_written_is_one_line(tmp_path):
    """As of a container's user who is in no list of users."""
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    environment = {
        key: value
        for key, value in os.environ.items()
        if key not in ("HOME", "XDG_CACHE_HOME", "MAKELEVEL", "MAKEFLAGS")
    }
    done = subprocess.run(["make", "setup"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode
    assert (
        done.stdout + done.stderr.partition("make")[0]
        == 'error: HOME is "", which cannot be written: export HOME=/tmp\n'
    )
    assert not (tmp_path / ".venv").exists()


FRAGMENTS = (
    "which cannot be written",
    "processes that decode images need",
    "processes that decode images can meet in one of",
    "a process that decoded images was ended",
    "device is cuda, but torch finds no CUDA device here",
    "not a git checkout",
    "Snakemake is to run in the project's folder: cd ",
    "is missing, or no class of the devkit",
    " has images but is not in wnids.txt",
    " is empty: get it again",
    "which its scripts cannot have",
    "did not end within",
    "LaTeX is not installed, so there is no ",
    " of the measuring recipe",
    "another Snakemake is at work in this folder",
    "; the same call goes on from there",
    "the result can differ in rounding",
)


@pytest.mark.parametrize("fragment", FRAGMENTS)
def test_troubleshooting_has_the_messages_of_the_code(fragment):
    assert fragment in (ROOT / "docs/troubleshooting.md").read_text()
    code = "\n".join(path.read_text() for path in [*(ROOT / "src").rglob("*.py"), ROOT / "Makefile"])
    assert fragment in re.sub(r"\"\s*\n\s*f?\"", "", code)  # a message may stand in two lines
