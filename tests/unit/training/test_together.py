"""Trainings that take turns in one process end with the same bits as alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from filter_sparsity import paths
from filter_sparsity.errors import Unfinished, UserError
from filter_sparsity.training.checkpoint import ENDING
from filter_sparsity.training.run import Settings, train_run, training_turns
from filter_sparsity.training.together import Ended, take_turns

CPU = torch.device("cpu")
FILES = [name for name in paths.TRAINED if name != "provenance.json"]  # that one has dates and times
SETTINGS = Settings(CPU, history_points=5)
SGD = {"optimizer": "sgd", "algorithm": "SGD", "rate": 0.1, "hyperparameters": {"momentum": 0.9}}


@pytest.fixture(scope="module")
def data(make_data):
    return make_data()  # 50 images


@pytest.fixture(scope="module")
def jobs(make_spec):
    """Specs and seeds of other lengths, mini-batches, optimizers and regularizers; the third diverges."""
    short = make_spec(phase_steps=(4, 3))
    return [
        (make_spec(), 0),
        (make_spec(), 1),
        (make_spec(**{**SGD, "rate": 1e30}), 0),
        (short, 0),
        (make_spec(batch_size=6, phase_steps=(20, 11), regularizer="wd", **SGD), 0),
        (short, 3),
    ]


@pytest.fixture(scope="module")
def alone(jobs, data, tmp_path_factory):
    """The files of each run, trained by itself; none of the one that diverges."""
    found = []
    for spec, seed in jobs:
        folder = tmp_path_factory.mktemp("alone")
        try:
            train_run(spec, seed, data, folder / "run", folder / "kept", SETTINGS).clear()
        except UserError:
            found.append(None)
        else:
            found.append({name: (folder / "run" / name).read_bytes() for name in FILES})
    assert [files is None for files in found] == [False, False, True, False, False, False]
    return found


def turns(jobs, data, folder, settings=SETTINGS):
    for place, (spec, seed) in enumerate(jobs):
        yield training_turns(spec, seed, data, folder / str(place), folder / "kept" / str(place), settings)


def files(folder, place):
    return {name: (folder / str(place) / name).read_bytes() for name in FILES}


@pytest.mark.parametrize("together", [1, 2, 4, 6, 9])
def test_runs_that_take_turns_have_the_bytes_of_runs_alone(jobs, data, alone, tmp_path, together):
    ended = {end.place: end for end in take_turns(turns(jobs, data, tmp_path), together)}
    assert sorted(ended) == [*range(6)]
    for place, expected in enumerate(alone):
        if expected is None:
            assert "the training diverged in epoch 1" in str(ended[place].error)
            assert not {*paths.TRAINED} & {path.name for path in (tmp_path / str(place)).iterdir()}
        else:
            assert ended[place].error is None
            ended[place].result.clear()
            assert files(tmp_path, place) == expected
    weights = [load_file(tmp_path / str(place) / "weights.safetensors") for place in (0, 1)]
    assert not torch.equal(weights[0]["convs.0.weight"], weights[1]["convs.0.weight"])


@pytest.mark.parametrize("after", [1, 7, 25, 60])
def test_stopped_in_the_middle_all_go_on_from_there(jobs, data, alone, tmp_path, after):
    asked = iter(range(10**6))
    settings = replace(SETTINGS, stop=lambda: "enough" if next(asked) >= after else "", together=4)
    first = [*take_turns(turns(jobs, data, tmp_path, settings), 4)]
    stopped = [end.place for end in first if isinstance(end.error, Unfinished)]
    assert stopped  # of 60 steps, the last one only: the others are whole
    for place in stopped:
        assert list((tmp_path / "kept" / str(place)).glob(f"*{ENDING}"))
    for end in take_turns(turns(jobs, data, tmp_path), 3):
        if alone[end.place] is not None:
            assert end.error is None
            assert files(tmp_path, end.place) == alone[end.place]


def test_steps_alternate_and_the_next_begins_when_one_has_ended():
    made = []

    def task(name, steps):
        for i in range(steps):
            made.append(f"{name}{i}")
            yield
        if name == "b":
            raise UserError("b fails")
        return name.upper()

    ends = take_turns((task(name, steps) for name, steps in (("a", 3), ("b", 1), ("c", 2), ("d", 1))), 2)
    first = next(ends)
    assert (first.place, first.result, str(first.error)) == (1, None, "b fails")
    assert made == ["a0", "b0", "a1"]
    assert [*ends] == [Ended(0, "A"), Ended(2, "C"), Ended(3, "D")]
    assert made == ["a0", "b0", "a1", "a2", "c0", "c1", "d0"]


def test_tasks_are_taken_only_when_there_is_place():
    taken = []

    def tasks():
        for name in "abc":
            taken.append(name)
            yield iter_of(name)

    def iter_of(name):
        yield
        return name

    ends = take_turns(tasks(), 1)
    assert next(ends).result == "a"
    assert taken == ["a"]
    assert [end.result for end in ends] == ["b", "c"]


def test_another_error_than_a_tasks_own_ends_all():
    def broken():
        yield
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(take_turns([broken()], 2))
