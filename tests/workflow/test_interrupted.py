"""Trainings that are stopped or killed, and Snakemake called again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
import yaml

pytestmark = pytest.mark.slow
FILES = ("weights.safetensors", "affine.safetensors", "history.csv")


@pytest.fixture
def run(project):
    """The folder of one run of some seconds, below the project."""
    scale = yaml.safe_load((project.folder / "config/tiny_scale.yaml").read_text())
    (project.folder / "config/tiny_scale.yaml").write_text(yaml.safe_dump({**scale, "steps": 400}))
    project.verb("plan", "--config", "config/config.yaml", "--config", "config/tiny_scale.yaml", "--out", "plan.json")
    spec = next(iter(json.loads((project.folder / "plan.json").read_text())["specs"]))
    return f"results/test/runs/{spec}/seed0"


def bits(project, run):
    return [(project.folder / run / name).read_bytes() for name in FILES]


def test_after_a_time_limit_the_next_call_goes_on(project, run):
    target = f"{run}/provenance.json"
    stopped = project.tiny(target, "--config", "time_limit_minutes=0.001")  # over before the training begins
    assert stopped.returncode
    assert "stopped at step 1 of 400 (its time is over); the same call goes on from there" in stopped.stderr
    assert not (project.folder / run / "weights.safetensors").exists()
    again = project.tiny(target)
    assert again.returncode == 0, again.stderr[-2000:]
    assert "goes on from step 1 of 400" in again.stderr
    in_parts = bits(project, run)
    assert not (project.folder / "results/test/checkpoints").exists()
    assert project.tiny(target, "--forcerun", "train").returncode == 0
    assert bits(project, run) == in_parts


def test_a_killed_snakemake_called_again_finds_its_trainer(project, run):
    """kill -9 leaves the trainer alive, a lock, and marks of unfinished files."""
    command = [sys.executable, "-m", "snakemake", "--cores", "2", f"{run}/provenance.json"]
    command += ["--configfile", "config/tiny_scale.yaml"]
    first = subprocess.Popen(command, cwd=project.folder, env=project.environment, stderr=subprocess.DEVNULL)
    locks = project.folder / "results/test/checkpoints"
    while not list(locks.glob("*/seed0/lock")):
        assert first.poll() is None
        time.sleep(0.05)
    trainers = [child for child in psutil.Process(first.pid).children(recursive=True) if "train" in child.cmdline()]
    assert trainers
    for trainer in trainers:
        trainer.suspend()  # else a fast machine is done with it before the second call begins
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    again = subprocess.Popen(command, cwd=project.folder, env=project.environment, stderr=subprocess.PIPE, text=True)
    said = ""
    while "another process is training this run: waiting for it" not in said:
        line = again.stderr.readline()
        assert line, said
        said += line
    for trainer in trainers:
        trainer.resume()
    said += again.communicate()[1]
    assert again.returncode == 0, said[-2000:]
    assert "an earlier call was killed here: the lock that it left is dropped" in said
    assert "the other process has trained it" in said
    both = bits(project, run)
    assert project.tiny(f"{run}/provenance.json", "--forcerun", "train").returncode == 0
    assert bits(project, run) == both


def test_a_record_is_not_used_after_its_replacement_failed(again):
    """Snakemake takes the files of a failed job away, but not the record that was made of those before."""
    scale = yaml.safe_load((again.folder / "config/tiny_scale.yaml").read_text())
    changes = {"precision": "bfloat16", "pack_seeds": False}  # a packed training would take its records along
    (again.folder / "config/tiny_scale.yaml").write_text(yaml.safe_dump({**scale, **changes}))
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "table4", "--configfile", "config/tiny_scale.yaml"]
    call = subprocess.Popen(command, cwd=again.folder, env=again.environment, stderr=subprocess.PIPE, text=True)
    trainers = []
    while not trainers:  # of the spec that is in no figure: those would ask for its other files
        assert call.poll() is None
        jobs = psutil.Process(call.pid).children(recursive=True)
        trainers = [job for job in jobs if '"strength": 0.0,' in str(job.cmdline()) and "train" in job.cmdline()]
        time.sleep(0.02)
    trainers[0].kill()
    said = call.communicate()[1]
    assert call.returncode, said[-2000:]
    kept = [path.parent for path in again.folder.glob("results/test/runs/*l2_0-*/*/record.json")]
    assert len(kept) == 2
    assert not all((folder / "provenance.json").exists() for folder in kept)
    done = again.tiny("table4")
    assert done.returncode == 0, done.stderr[-2000:]
    table = again.folder / "results/test/tables/table4.csv"
    for path in again.folder.glob("results/test/runs/*/*/record.json"):
        measured_in = json.loads(path.read_text())["provenance"]["precision"]
        assert measured_in == ("bfloat16" if path.parts[-3] in table.read_text() else "float32")
