"""A training that is interrupted, by anything and anywhere, ends as one that is not: the same bits."""

import json
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest
import torch

from filter_sparsity import paths
from filter_sparsity.data import prepared
from filter_sparsity.errors import Unfinished
from filter_sparsity.planning.validation import read_yaml
from filter_sparsity.records import record
from filter_sparsity.training import run
from filter_sparsity.training.checkpoint import Checkpoints
from filter_sparsity.training.loop import Training
from filter_sparsity.training.run import Checkpointer, Settings, train_run

CPU = torch.device("cpu")
RESULTS = [name for name in paths.TRAINED if name != "provenance.json"]  # that one has dates and times
OPTIMIZERS = read_yaml(paths.Path("config/recipe.yaml"))["optimizers"]


class Killed(Exception):
    pass


@pytest.fixture(scope="module")
def data(make_data):
    return make_data()  # 50 images: 6 batches of 8 an epoch


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "digits.safetensors"
    prepared.prepare("digits", path.parent, path)
    return path


def same(one, two):
    (tensors, facts), (others, others_facts) = one.state(), two.state()
    assert facts == others_facts
    assert tensors.keys() == others.keys()
    return all(torch.equal(value, others[key]) for key, value in tensors.items())


@pytest.mark.parametrize(
    ("name", "regularizer"),
    [
        *((name, "l2") for name in OPTIMIZERS if name not in ("adamw", "adafactor")),
        *((name, "wd") for name in OPTIMIZERS),
        *((name, "decoupled") for name in ("adamw", "nadam", "radam", "adafactor")),
    ],
)
def test_every_optimizer_resumes_from_every_step_bit_by_bit(make_spec, data, tmp_path, name, regularizer):
    facts = OPTIMIZERS[name]
    spec = make_spec(optimizer=name, regularizer=regularizer, strength=1e-2, phase_steps=(8, 5), rate=facts["rate"],
                     algorithm=facts["algorithm"], hyperparameters=facts["hyperparameters"])  # fmt: skip
    whole = Training(spec, 4, data, CPU, history_points=6)
    whole.run()
    training = Training(spec, 4, data, CPU, history_points=6)
    stops = 0
    while training.step < spec.steps:
        start = training.step

        def pause(training=training, start=start):
            if training.step > start and training.step < spec.steps:
                raise Killed

        try:
            training.run(pause=pause)
        except Killed:
            stops += 1
            checkpoints = Checkpoints(tmp_path, {"run": 1}, print)
            checkpoints.save(training.step, *training.state())
            training = Training(spec, 4, data, CPU, history_points=6)
            training.restore(*checkpoints.newest())
    assert stops == spec.steps - 1
    assert same(training, whole)


def damage(path, how):
    content = path.read_bytes()
    if how == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "a bit":
        place = len(content) - 7
        path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
    else:  # whole, but of another run
        other = Checkpoints(path.parent / "other", {"run": "another"}, print)
        other.save(99, {"x": torch.zeros(3)}, {"step": 99})
        path.write_bytes((path.parent / "other" / "000000099.checkpoint").read_bytes())


@pytest.mark.parametrize("how", ["cut", "empty", "a bit", "foreign"])
def test_a_bad_checkpoint_is_said_and_the_one_before_is_used(tmp_path, how):
    said = []
    checkpoints = Checkpoints(tmp_path, {"run": 1}, said.append)
    for step in (1, 2, 3):
        checkpoints.save(step, {"x": torch.full((4,), float(step))}, {"step": step})
    kept = sorted(path.name for path in tmp_path.glob("*.checkpoint"))
    assert kept == ["000000002.checkpoint", "000000003.checkpoint"]
    damage(tmp_path / kept[-1], how)
    tensors, facts = checkpoints.newest()
    assert facts == {"step": 2}
    assert tensors["x"].tolist() == [2.0] * 4
    assert len(said) == 1
    assert "000000003.checkpoint is refused" in said[0]
    assert "\n" not in said[0]
    damage(tmp_path / kept[0], how)
    assert checkpoints.newest() is None
    assert not list(tmp_path.glob("*.checkpoint"))


@pytest.mark.parametrize("change", ["seed", "data", "spec", "history_points", "precision"])
def test_a_checkpoint_of_other_settings_is_not_gone_on_from(make_spec, make_data, tmp_path, change, capsys):
    def stop():
        return "enough" if stops else ""

    spec, stops = make_spec(), [1]
    with pytest.raises(Unfinished, match=r"stopped at step 1 of 15 \(enough\)"):
        train_run(spec, 0, make_data(), tmp_path / "run", tmp_path / "kept", Settings(CPU, 3, stop=stop))
    stops.clear()
    settings = Settings(CPU, 4 if change == "history_points" else 3, "bfloat16" if change == "precision" else "float32")
    other = make_data(train=60) if change == "data" else make_data()
    changed = make_spec(strength=0.5) if change == "spec" else spec
    train_run(changed, int(change == "seed"), other, tmp_path / "run", tmp_path / "kept", settings)
    said = capsys.readouterr().err
    assert "is refused: it is another run's, or of other settings or data" in said
    assert "goes on from" not in said


@pytest.mark.parametrize("before", ["this machine", "another machine", "an older version"])
def test_a_resume_on_another_machine_says_that_it_is_inexact(make_spec, data, tmp_path, monkeypatch, capsys, before):
    spec, stops = make_spec(), iter(["", "", "enough"])
    other = {"device": "NVIDIA H100", "torch": "2.11.0", "cudnn": "91002"}
    with monkeypatch.context() as patch:
        if before == "another machine":
            patch.setattr(run, "machine", lambda device: other)
        if before == "an older version":  # it wrote nothing of the machine
            patch.setattr(run, "machine", lambda device: None)
            patch.setattr(run, "_described", str)
            save = Checkpoints.save
            patch.setattr(Checkpoints, "save", lambda self, step, tensors, facts: save(
                self, step, tensors, {key: value for key, value in facts.items() if key != "machine"}))  # fmt: skip
        with pytest.raises(Unfinished):
            train_run(spec, 0, data, tmp_path / "a", tmp_path / "kept", Settings(CPU, 3, stop=lambda: next(stops)))
    train_run(spec, 0, data, tmp_path / "a", tmp_path / "kept", Settings(CPU, 3))
    log = (tmp_path / "a" / "train.log").read_text()
    assert "goes on from step 3 of 15" in log
    said = "begun on NVIDIA H100, torch 2.11.0, cudnn 91002, goes on on "
    assert (said in log) == (before == "another machine")
    train_run(spec, 0, data, tmp_path / "b", tmp_path / "other", Settings(CPU, 3)).clear()
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in RESULTS)


def test_checkpoints_are_seldom_enough_to_cost_little(make_spec, data, tmp_path):
    training = Training(make_spec(phase_steps=(300,)), 0, data, CPU, 1)
    checkpointer = Checkpointer(training, Checkpoints(tmp_path, {}, print), every=0, stop=lambda: "")
    spent, write = [], checkpointer.write

    def counted():
        write()
        spent.append(checkpointer.cost)

    checkpointer.write = counted
    training.run(pause=checkpointer)
    assert 1 <= len(spent) < 300
    assert sum(spent[:-1]) <= 0.01 * (time.monotonic() - checkpointer.began) + spent[0]


class Calls:
    """Calls of `filter-sparsity train` on a run of a few seconds, and what they leave."""

    def __init__(self, folder, spec, stored):
        self.folder, self.spec, self.stored = folder, spec, stored

    def __call__(self, *options, seeds=("0",)):
        command = [sys.executable, "-m", "filter_sparsity.cli", "train", "--spec", json.dumps(self.spec.to_dict())]
        command += ["--seed", *seeds, "--data", str(self.stored), "--runs", str(self.folder / "runs")]
        command += ["--device", "cpu", *options]
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    def results(self, seed=0):
        return {name: (self.folder / "runs" / self.spec.id / f"seed{seed}" / name).read_bytes() for name in RESULTS}

    def checkpoints(self, seed=0):
        return sorted((self.folder / "checkpoints" / self.spec.id / f"seed{seed}").glob("*.checkpoint"))

    def leaves_only_results(self):
        return [path.name for path in self.folder.iterdir()] == ["runs"]


@pytest.fixture(scope="module")
def long_spec(make_spec):
    return make_spec(dataset="digits", batch_size=20, phase_steps=(300, 100), flip=False)


@pytest.fixture
def call(long_spec, stored, tmp_path):
    return Calls(tmp_path, long_spec, stored)


@pytest.fixture(scope="module")
def unbroken(long_spec, stored, tmp_path_factory):
    call = Calls(tmp_path_factory.mktemp("unbroken"), long_spec, stored)
    assert call().wait() == 0
    assert call.leaves_only_results()
    return call.results()


def wait_for(condition, process):
    while process.poll() is None and not condition():
        time.sleep(0.02)
    assert process.poll() is None, "it ended before it could be interrupted"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_leaves_a_checkpoint_and_the_next_call_goes_on(call, unbroken, number):
    process = call("--checkpoint-seconds", "0")
    wait_for(lambda: call.checkpoints(), process)
    process.send_signal(number)
    _, said = process.communicate()
    assert process.returncode == 75
    assert f"({signal.Signals(number).name}); the same call goes on from there" in said
    assert "Traceback" not in said
    step = int(call.checkpoints()[-1].stem)
    process = call()
    _, said = process.communicate()
    assert process.returncode == 0
    assert f"goes on from step {step} of 400" in said
    assert call.results() == unbroken
    assert call.leaves_only_results()


@pytest.mark.slow
def test_a_time_limit_is_kept_and_calls_add_up(call, unbroken):
    codes = []
    while not codes or codes[-1] == 75:
        process = call("--time-limit", "0.4")
        process.communicate()
        codes.append(process.returncode)
        assert len(codes) < 50
    assert codes[-1] == 0
    assert 75 in codes
    assert call.results() == unbroken


@pytest.mark.slow
def test_killed_at_random_moments_it_still_ends_the_same(call, unbroken):
    chance, kills = random.Random(7), 0
    while True:
        process = call("--checkpoint-seconds", "0")
        try:
            process.wait(timeout=chance.uniform(0.5, 1.5) + kills)  # the first is before any training can have ended
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
            continue
        break
    assert process.returncode == 0
    assert kills
    assert call.results() == unbroken
    assert call.leaves_only_results()


HOLDER = """
import sys
from pathlib import Path
from filter_sparsity.training.checkpoint import Checkpoints
with Checkpoints(Path(sys.argv[1]), {}, print).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held(folder):
    """Another process trains the run of these checkpoints, as long as the block lasts."""
    command = [sys.executable, "-c", HOLDER, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield
        process.communicate()
        assert process.returncode == 0


def edit(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


OTHERWISE = {
    "whole": lambda folder: None,
    **{f"without {name}": lambda folder, name=name: (folder / name).unlink() for name in paths.TRAINED},
    "of another seed": lambda folder: edit(folder / "provenance.json", seed=1),
    "of another spec": lambda folder: edit(folder / "provenance.json", spec_id="another"),
    "of other data": lambda folder: edit(folder / "provenance.json", data_digest="0" * 64),
    "damaged": lambda folder: (folder / "provenance.json").write_text("{"),
}


@pytest.mark.slow
@pytest.mark.parametrize("how", OTHERWISE)
def test_anothers_result_counts_only_if_whole_and_of_this_run(make_spec, data, tmp_path, how):
    folder, kept = tmp_path / "run", tmp_path / "kept"
    run = make_spec(), 0, data, folder, kept, Settings(CPU, 3)
    train_run(*run).clear()
    good = {name: (folder / name).read_bytes() for name in RESULTS}
    OTHERWISE[how](folder)
    (folder / "train.log").unlink()
    with held(kept):
        waiting = threading.Thread(target=train_run, args=run)
        waiting.start()
        while not (folder / "train.log").exists() or "waiting for it" not in (folder / "train.log").read_text():
            assert waiting.is_alive()
            time.sleep(0.01)
    waiting.join()
    assert ("the other process has trained it" in (folder / "train.log").read_text()) == (how == "whole")
    assert {name: (folder / name).read_bytes() for name in RESULTS} == good
    assert record.read_provenance(folder / "provenance.json", run[0].id, 0)["data_digest"] == data.digest


@pytest.mark.slow
def test_checkpoints_are_not_deleted_under_another_process(tmp_path):
    checkpoints = Checkpoints(tmp_path / "spec" / "seed0", {"run": 1}, print)
    checkpoints.clear()  # there are none
    checkpoints.save(1, {"x": torch.zeros(3)}, {})
    with held(checkpoints.folder):
        checkpoints.clear()
        assert checkpoints.newest() is not None
    checkpoints.clear()
    assert not (tmp_path / "spec").exists()


def test_a_checkpoint_of_an_earlier_version_is_taken_over(make_spec, data, tmp_path):
    spec, stops = make_spec(), iter(["", "", "enough"])
    new, old = (tmp_path / name / spec.id / "seed0" for name in ("checkpoints", "snapshots"))
    with pytest.raises(Unfinished):
        train_run(spec, 0, data, tmp_path / "run", new, Settings(CPU, 3, stop=lambda: next(stops)))
    new.parent.parent.rename(tmp_path / "snapshots")
    for path in old.glob("*.checkpoint"):
        path.rename(path.with_suffix(".snapshot"))
    train_run(spec, 0, data, tmp_path / "run", new, Settings(CPU, 3)).clear()
    assert "goes on from step 3 of 15" in (tmp_path / "run/train.log").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.slow
def test_two_trainers_of_one_run_do_not_meet(call, unbroken):
    processes = [call() for _ in range(2)]
    said = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sum("another process is training this run: waiting for it" in text for text in said) == 1
    assert sum("the other process has trained it" in text for text in said) == 1
    assert call.results() == unbroken


@pytest.mark.slow
def test_a_finished_seed_is_not_trained_again_after_a_stop(call, unbroken):
    process = call("--checkpoint-seconds", "0", seeds=("0", "1"))
    wait_for(lambda: call.checkpoints(1), process)
    process.terminate()
    process.communicate()
    assert process.returncode == 75
    process = call(seeds=("0", "1"))
    _, said = process.communicate()
    assert process.returncode == 0
    assert "seed 0  goes on from step 400 of 400" in said
    assert call.results() == unbroken
    assert call.results(1) != unbroken
