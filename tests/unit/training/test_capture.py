"""What a captured CUDA graph needs of a step, tried on a CPU: a replay reads the same memory and the same numbers.

A graph keeps the address of every tensor that a step reads and did not make, and the value of every number that Python
gave an operation. Both must stay as they are from one epoch to the next, or a replay computes something else.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import MagicMock

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from filter_sparsity.data import prepared
from filter_sparsity.training import loop
from filter_sparsity.training.loop import Epoch, Training, Turn
from helpers.imagenet_archives import archives

CPU = torch.device("cpu")
OPTIMIZERS: dict[str, dict] = {
    "sgd": {"algorithm": "SGD", "hyperparameters": {"momentum": 0.9}},
    "adam": {"algorithm": "Adam", "hyperparameters": {"betas": [0.9, 0.99]}},
    "amsgrad": {"algorithm": "Adam", "hyperparameters": {"betas": [0.9, 0.99], "amsgrad": True}},
    "adagrad": {"algorithm": "Adagrad", "hyperparameters": {}},
    "adadelta": {"algorithm": "Adadelta", "hyperparameters": {}},
    "rmsprop": {"algorithm": "RMSprop", "hyperparameters": {}},
    "adamax": {"algorithm": "Adamax", "hyperparameters": {}},
}


def address(tensor):
    return tensor.untyped_storage().data_ptr()


class Reading(TorchDispatchMode):
    """Records the operations of a block, with their numbers, and the storages that they read and did not make.

    The tensors read are kept alive, so that no later one gets the address of one that is gone.
    """

    def __init__(self) -> None:
        super().__init__()
        self.made: set[int] = set()
        self.read: set[int] = set()
        self.alive: list[torch.Tensor] = []
        self.operations: list[tuple] = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        given = tree_leaves((args, kwargs or {}))
        if operation is torch.ops.aten.lift_fresh.default:  # of `torch.tensor(1.0)`, made out of this class's sight
            self.made.add(address(given[0]))
        for tensor in given:
            if isinstance(tensor, torch.Tensor) and address(tensor) not in self.made | self.read:
                self.read.add(address(tensor))
                self.alive.append(tensor)
        numbers = tuple(value for value in given if isinstance(value, int | float))
        result = operation(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and address(tensor) not in self.read:
                self.made.add(address(tensor))
        self.operations.append((str(operation), numbers))
        return result


@pytest.fixture(scope="module")
def streamed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("imagenet")
    with pytest.MonkeyPatch.context() as patch:
        archives(folder / "original", patch)
        prepared.prepare("imagenet", folder / "original", folder / "prepared")
    return replace(prepared.read(folder / "prepared"), side=8)  # 12 images to train on


@pytest.fixture(params=["images", "stream"])
def data(request, make_data, streamed):
    return make_data(train=12) if request.param == "images" else streamed


def steps(training, monkeypatch):
    """Train, and give what every step after the warm-up read and did, with its phase and its epoch."""
    found = []
    compute = training.one_step.compute
    monkeypatch.setattr(loop, "evaluation", lambda model, data: torch.zeros(2, dtype=torch.float64))

    def recorded():
        with Reading() as reading:
            loss = compute()
        found.append((training.phase, training.step // training.per_epoch, reading))
        return loss

    monkeypatch.setattr(training.one_step, "compute", recorded)
    training.run()
    return found[loop.WARM_UP :]


@pytest.mark.parametrize("regularizer", ["l2", "wd"])
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("resumed", [False, True])
def test_a_step_reads_the_same_memory_and_numbers_each_epoch(
    make_spec, data, monkeypatch, as_on_a_gpu, name, regularizer, resumed
):
    settings = {**OPTIMIZERS[name], "regularizer": regularizer}
    spec = make_spec(optimizer=name, strength=1e-2, batch_size=6, phase_steps=(9, 6), **settings)
    training = Training(spec, 0, data, CPU, history_points=2)
    training.images.workers = training.tests.workers = 0  # which only a stream has
    if resumed:
        next(turn for turn in training.turns() if isinstance(turn, Epoch))
        state = training.state()
        training = Training(spec, 0, data, CPU, history_points=2)
        training.restore(*state)
        training.images.workers = training.tests.workers = 0
    found = steps(training, monkeypatch)
    for phase in (0, 1):
        own = [(epoch, reading) for which, epoch, reading in found if which == phase]
        assert len({epoch for epoch, _ in own}) >= 3
        (_, first), *others = own
        for _, reading in others:
            assert reading.read == first.read
            assert reading.operations == first.operations


def test_capture_is_on_its_stream_and_survives_other_threads(make_spec, make_data, monkeypatch):
    """With a CUDA of mocks: what it is asked for. Warm-up is on the same stream, since the training's turns are."""
    training = Training(make_spec(), 0, make_data(), CPU, history_points=2)
    step, asked = training.one_step, MagicMock()
    for name in ("CUDAGraph", "graph"):
        monkeypatch.setattr(torch.cuda, name, getattr(asked, name))
    step.stream = asked.stream
    training.images.shuffle(8, training.generator)
    training.images.load(0)
    for _ in range(loop.WARM_UP):
        step()
    assert not asked.mock_calls
    for _ in range(2):
        step()
    asked.graph.assert_called_once_with(step.graph, stream=asked.stream, capture_error_mode="thread_local")
    assert step.graph.replay.call_count == 2


class Stream:
    """A stream of a GPU whose work takes a while."""

    def __init__(self) -> None:
        self.recorded = 0

    def wait_stream(self, other):
        pass

    def record_event(self):
        self.recorded += 1
        event = MagicMock()  # it is asked in vain twice
        event.query.side_effect = [False, False, True]
        return event


@pytest.fixture
def entered(monkeypatch):
    """The streams whose contexts are entered and not left."""
    within = []

    @contextmanager
    def entering(stream):
        within.append(stream)
        yield
        within.pop()

    monkeypatch.setattr(torch.cuda, "stream", entering)
    monkeypatch.setattr(torch.cuda, "default_stream", lambda device: None)
    return within


def test_the_end_of_an_epoch_has_turns_without_interruption(make_spec, make_data, entered):
    spec, data = make_spec(), make_data()  # 3 epochs
    alone = Training(spec, 0, data, CPU, history_points=2)
    alone.run()
    training = Training(spec, 0, data, CPU, history_points=2)
    training.stream = Stream()
    turns = [*training.turns()]
    assert [turns.count(turn) for turn in (Turn.STEP, Turn.WAITING)] == [15 - 3, 2 * 3]
    assert [turn for turn in turns if isinstance(turn, Epoch)] == alone.history
    assert training.stream.recorded == 3
    again, pauses = Training(spec, 0, data, CPU, history_points=2), []
    again.stream = Stream()
    again.run(pause=lambda: pauses.append((again.step, len(again.history))))
    assert pauses == [(step, step // 6 if step < 15 else 3) for step in range(1, 16)]


class OnItsStream(TorchDispatchMode):
    """Collects the operations that are not made on the training's stream."""

    def __init__(self, entered: list[Stream]) -> None:
        super().__init__()
        self.entered = entered
        self.made = 0
        self.elsewhere: list[str] = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        self.made += 1
        if not self.entered:
            self.elsewhere.append(str(operation))
        return operation(*args, **(kwargs or {}))


@pytest.mark.parametrize("regularizer", ["l2", "wd"])
def test_a_training_computes_and_saves_on_its_own_stream_only(make_spec, data, entered, regularizer):
    """On another stream it would not wait for the steps that are queued."""
    spec = make_spec(batch_size=6, regularizer=regularizer)
    training = Training(spec, 0, data, CPU, history_points=4)
    training.stream = training.one_step.stream = Stream()
    training.one_step.done = -spec.steps  # so that nothing is captured
    training.images.workers = training.tests.workers = 0  # which only a stream has
    turns = 0
    with OnItsStream(entered) as watch:
        for turn in training.turns():
            assert not entered  # while others have their turns
            turns += 1
            if turn is not Turn.WAITING:
                training.state()
    assert turns > spec.steps
    assert watch.made > 100 * spec.steps
    assert not watch.elsewhere
