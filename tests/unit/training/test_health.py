"""Start-up health: a network whose silent features are known, and what a training writes of it."""

from __future__ import annotations

import pytest
import torch

from filter_sparsity.errors import Unfinished
from filter_sparsity.records import record
from filter_sparsity.training import health
from filter_sparsity.training.loop import Training
from filter_sparsity.training.run import Settings, train_run

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(make_data):
    return make_data()


@pytest.fixture
def network(make_spec, make_model):
    """Silent are 1 of the 4 features of C1, none of C2's 6, 3 of C3's 5, and 2 of the 8 hidden units."""
    model = make_model(make_spec(), channels=3, side=8)
    model.norms[0].bias.data[2] = -10  # normalised responses stay below 10
    model.norms[2].bias.data[[0, 1, 4]] = -10
    model.head[0].bias.data[:] = 1e3
    model.head[0].bias.data[[3, 5]] = -1e3
    return model


def test_silent_are_those_made_silent(network):
    images = torch.randn(250, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    shares = health.silent(network, images)
    assert shares == pytest.approx({"C1": 1 / 4, "C2": 0, "C3": 3 / 5, "hidden": 2 / 8})
    assert not network.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_one_image_with_a_response_is_enough(network):
    """A bright image among dark ones drives a feature that is silent without it."""
    network.norms[0].bias.data[:] = -8
    dark = torch.randn(250, 3, 8, 8, generator=torch.Generator().manual_seed(0)).mul(0.1)
    bright = dark.clone()
    bright[7] *= 1e3
    assert health.silent(network, dark)["C1"] == 1
    assert health.silent(network, bright)["C1"] == 0


def test_a_training_writes_it_early_and_at_the_end(make_spec, data, tmp_path):
    """Of 300 steps a hundredth are 3; of 15, at least 1."""
    for phase_steps, early in (((200, 100), 3), ((10, 5), 1)):
        folder = tmp_path / str(early)
        spec = make_spec(phase_steps=phase_steps)
        train_run(spec, 0, data, folder, folder / "checkpoints", Settings(CPU, history_points=1)).clear()
        lines = record.read_lines(folder / "silent.csv")
        assert [line["step"] for line in lines] == [early, spec.steps]
        assert list(lines[0]) == ["step", "C1", "C2", "C3", "hidden"]


def test_a_training_that_goes_on_keeps_it(make_spec, data, tmp_path):
    """Stopped at step 4, after the early look at step 1; the last one is of the weights that come out."""
    spec, folder = make_spec(beta_init=-1.5), tmp_path / "run"
    steps = iter(["", "", "", "time to stop"])
    with pytest.raises(Unfinished):
        train_run(spec, 0, data, folder, tmp_path / "kept", Settings(CPU, 1, stop=lambda: next(steps)))
    train_run(spec, 0, data, folder, tmp_path / "kept", Settings(CPU, 1)).clear()
    assert "goes on from step 4" in (folder / "train.log").read_text()
    whole = Training(spec, 0, data, CPU, history_points=1)
    whole.run()
    assert record.read_lines(folder / "silent.csv") == whole.silent
    end = health.silent(whole.model, whole.images.sample(health.SAMPLE))
    assert whole.silent[-1] == {"step": spec.steps, **end}
