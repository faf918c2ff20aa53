"""`filter-sparsity campaign`: a plan's runs trained and measured in one process that has only the packages it needs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from filter_sparsity.measuring import campaign
from filter_sparsity.paths import TRAINED
from filter_sparsity.plan import Plan
from filter_sparsity.planning import jobs
from helpers.bare import bare
from helpers.projects import Project, copy

RESULT = ("weights.safetensors", "affine.safetensors", "history.csv", "silent.csv", "features.csv")
CAMPAIGN = ["campaign", "--data", "results/data", "--together", "2"]


def make(folder: Path, **settings) -> Project:
    """A project with a plan and the data of its runs."""
    folder.mkdir(exist_ok=True)
    project = copy(folder)
    files = ["--config", "config/config.yaml", "--config", "config/tiny_scale.yaml", "--settings", json.dumps(settings)]
    made = project.verb("plan", *files, "--out", "results/test/plan.json")
    assert made.returncode == 0, made.stderr
    for dataset in sorted({spec.dataset for spec in plan_of(project).specs.values()}):
        prepared = project.verb(
            "prepare", dataset, "--root", "original", "--out", f"results/data/{dataset}.safetensors"
        )
        assert prepared.returncode == 0, prepared.stderr
    return project


def plan_of(project: Project) -> Plan:
    return Plan.from_json(project.folder / "results/test/plan.json")


def command(*more: str) -> list[str]:
    return [sys.executable, "-m", "filter_sparsity", *CAMPAIGN, "--plan", "results/test/plan.json", *more]


def call(project: Project, *more: str) -> subprocess.CompletedProcess[str]:
    """The verb where only what it needs can be imported."""
    environment = bare(project.folder / "bare")
    return subprocess.run(command(*more), cwd=project.folder, env=environment, capture_output=True, text=True)


def results(project: Project) -> dict[tuple[str, int, str], bytes]:
    """The files of all runs by spec, seed and name, of a record what was measured."""
    found = {}
    for spec, seed in jobs.runs(plan_of(project)):
        folder = project.folder / plan_of(project).results_folder.run(spec, seed)
        found |= {(spec, seed, name): (folder / name).read_bytes() for name in RESULT if (folder / name).exists()}
        if (folder / jobs.RECORD).exists():
            measured = json.loads((folder / jobs.RECORD).read_text())["measured"]
            found[spec, seed, jobs.RECORD] = json.dumps(measured).encode()
    return found


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A project whose campaign is done, and what the call printed."""
    project = make(tmp_path_factory.mktemp("campaign"))
    done = call(project)
    assert done.returncode == 0, done.stderr
    return project, done.stderr


def test_the_bare_interpreter_refuses_other_packages(tmp_path):
    names = ["PIL", "tqdm", "yaml", "jsonschema", "snakemake", "simplejpeg", "scipy", "sklearn"]
    program = f"import torch, numpy, safetensors, pandas\nfor name in {names}:\n"
    program += "    try: __import__(name)\n    except ImportError: print(name)"
    printed = subprocess.run([sys.executable, "-c", program], env=bare(tmp_path), capture_output=True, text=True)
    assert printed.stdout.split() == names


def test_every_run_is_trained_and_measured_in_snakemakes_order(finished):
    project, printed = finished
    plan = plan_of(project)
    runs = list(jobs.runs(plan))
    assert len(results(project)) == len(runs) * (len(RESULT) + 1) > 0
    ended = [
        tuple(line.split(": test error")[0].split(" seed ")) for line in printed.splitlines() if "by gamma" in line
    ]
    assert ended == [(spec, str(seed)) for spec, seed in jobs.training_queue(plan, runs)]
    assert f"{len(runs)} of {len(runs)} runs done, 0 failed" in printed


def test_snakemake_finds_nothing_to_train_afterwards(finished):
    project, _ = finished
    planned = project.tiny("-n", "campaign")
    assert planned.returncode == 0, planned.stderr
    printed = planned.stdout + planned.stderr
    assert "rule train" not in printed
    assert "\ntrain " not in printed
    assert "extract" not in printed
    weights = project.folder / plan_of(project).results_folder.run(*next(jobs.runs(plan_of(project)))) / TRAINED[0]
    weights.rename(project.folder / "elsewhere")
    planned = project.tiny("-n", "campaign")
    (project.folder / "elsewhere").rename(weights)
    printed = planned.stdout + planned.stderr
    assert "train" in printed  # so the test above can fail


def test_the_verb_train_gives_the_same_bytes(finished):
    project, _ = finished
    spec, seed = next(jobs.runs(plan_of(project)))
    data = f"results/data/{plan_of(project).specs[spec].dataset}.safetensors"
    more = ["--plan", "results/test/plan.json", "--spec", spec, "--seed", str(seed), "--data", data]
    points = str(plan_of(project).settings["history_points"])
    done = project.verb("train", *more, "--runs", "alone/runs", "--history-points", points)
    assert done.returncode == 0, done.stderr
    for name in RESULT[:4]:
        assert (project.folder / "alone/runs" / spec / f"seed{seed}" / name).read_bytes() == results(project)[
            spec, seed, name
        ]


def test_the_joined_parts_hold_what_store_needs(finished, tmp_path):
    project, _ = finished
    whole = b"".join(part.read_bytes() for part in sorted((project.folder / "results/test").glob("campaign.tar.*")))
    (tmp_path / "joined.tar").write_bytes(whole)
    with tarfile.open(tmp_path / "joined.tar") as tar:
        tar.extractall(tmp_path, filter="data")
    folder = tmp_path / "results/test"
    assert not list(folder.glob("runs/*/*/weights.safetensors"))
    more = ["--plan", folder / "plan.json", "--runs", folder / "runs", "--simulations", folder / "simulations"]
    stored = project.verb("store", *map(str, more), "--out", str(tmp_path / "stored.csv"))
    assert stored.returncode == 0, stored.stderr
    count = len(list(jobs.runs(plan_of(project))))
    assert f"{count} runs added or replaced, {count} in all" in stored.stdout


def test_parts_are_small_and_stale_ones_go(finished, monkeypatch):
    project, _ = finished
    monkeypatch.chdir(project.folder)
    plan = plan_of(project)
    monkeypatch.setattr(campaign, "PART", 20_000)
    several = campaign.pack(plan, list(jobs.runs(plan)))
    assert len(several) > 2
    assert max(part.stat().st_size for part in several) == 20_000
    monkeypatch.setattr(campaign, "PART", 15_000_000)
    assert campaign.pack(plan, list(jobs.runs(plan))) == [several[0]]
    assert [path.name for path in Path("results/test").glob("campaign.tar.*")] == ["campaign.tar.000"]


def test_a_second_call_has_nothing_to_do(finished):
    project, _ = finished
    before = results(project)
    done = call(project)
    assert done.returncode == 0
    count = len(list(jobs.runs(plan_of(project))))
    assert f"{count} of them are measured here" in done.stderr
    assert "epoch" not in done.stderr
    assert results(project) == before


def test_after_kill_and_stop_it_gives_the_same_bytes(tmp_path):
    """kill -9 once checkpoints are there, then SIGTERM, then to the end; against a campaign that nobody disturbed."""
    undisturbed = make(tmp_path / "undisturbed", steps=300)
    assert call(undisturbed).returncode == 0
    project = make(tmp_path / "disturbed", steps=300)
    environment = bare(project.folder / "bare")
    for number, code in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, os.EX_TEMPFAIL)):
        kept = set((project.folder / "results/test").glob("checkpoints/*/*/*.checkpoint"))
        process = subprocess.Popen(
            command("--checkpoint-seconds", "0"),
            cwd=project.folder,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        end = time.time() + 120
        while set((project.folder / "results/test").glob("checkpoints/*/*/*.checkpoint")) <= kept:
            assert process.poll() is None, process.stderr.read()
            assert time.time() < end
            time.sleep(0.01)
        process.send_signal(number)
        printed = process.communicate()[1]
        assert process.returncode == code, printed
    assert "stopped (SIGTERM)" in printed
    assert "the same call goes on from there" in printed
    last = call(project)
    assert last.returncode == 0, last.stderr
    assert "goes on from step" in printed + last.stderr
    assert results(project) == results(undisturbed)
    assert not (project.folder / "results/test/checkpoints").exists()


def test_a_diverging_run_is_reported_and_stops_no_other(tmp_path):
    project = make(tmp_path, lr_multiplier={"sgd": 1e30})
    done = call(project)
    plan = plan_of(project)
    assert done.returncode == 1
    told = done.stderr.splitlines()[-1]
    assert told.startswith("error: ")
    for spec, seed in jobs.runs(plan):
        folder = project.folder / plan.results_folder.run(spec, seed)
        diverged = plan.specs[spec].optimizer == "sgd"
        assert (folder / jobs.RECORD).exists() is not diverged
        assert (f"{spec}, seed {seed}: the training diverged" in told) is diverged
    assert (project.folder / "results/test/campaign.tar.000").exists()


def test_missing_data_and_other_data_are_said(tmp_path):
    project = make(tmp_path)
    plan = plan_of(project)
    path = project.folder / "results/data/digits.safetensors"
    path.unlink()
    missing = call(project)
    count = sum(plan.specs[spec].dataset == "digits" for spec, _ in jobs.runs(plan))
    told = missing.stderr.splitlines()[-1]
    assert missing.returncode == 1
    assert "digits.safetensors is not there: make it with `filter-sparsity prepare`" in told
    assert f"({count} runs)" in told
    made = project.verb("prepare", "digit_pairs", "--root", "original", "--out", str(path))
    assert made.returncode == 0, made.stderr
    other = call(project)
    assert other.returncode == 1
    assert f"not {plan.datasets['digits'].digest} as the plan says" in other.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("more", "words"), [(["--until", "soon"], "give a time of day as 14:30"), (["--together", "0"], "--together is 0")]
)
def test_wrong_arguments_are_one_line(finished, more, words):
    project, _ = finished
    done = call(project, *more)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert words in done.stderr


def test_a_call_whose_time_is_over_trains_nothing(tmp_path):
    project = make(tmp_path)
    done = call(project, "--until", "+0")
    assert done.returncode == os.EX_TEMPFAIL
    assert "stopped (its time is over): 0 of" in done.stderr
    assert results(project) == {}
