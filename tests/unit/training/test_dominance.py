"""The steps in which L2 outweighs gamma's gradient: against hooks of torch's own, and through resumes."""

import csv

import numpy as np
import pytest
import torch

from filter_sparsity.measuring.extract import extract_run
from filter_sparsity.records.record import read, read_affine, read_features
from filter_sparsity.training.dominance import Dominance
from filter_sparsity.training.loop import Training
from filter_sparsity.training.models import build
from filter_sparsity.training.run import Settings, train_run

CPU = torch.device("cpu")
LAYERS = ("C1", "C2", "C3")


@pytest.fixture(scope="module")
def data(make_data):
    return make_data()  # 50 images


def counted(training):
    return {key: value for key, value in training.histories().items() if key.startswith("l2_dominates")}


@pytest.mark.parametrize("strength", [3e-3, 1e-1])
def test_it_counts_the_steps_that_hooks_see(make_spec, data, strength):
    spec = make_spec(strength=strength, phase_steps=(20, 5))
    training = Training(spec, 3, data, CPU, history_points=1)
    seen = [np.zeros(norm.num_features) for norm in training.model.norms]
    for count, norm in zip(seen, training.model.norms, strict=True):

        def hook(gradient, count=count, norm=norm):  # of the loss alone, before the optimizer
            count += gradient.abs().numpy() < np.float32(strength) * norm.weight.detach().abs().numpy()

        norm.weight.register_hook(hook)
    training.run()
    found = counted(training)
    assert [*found] == [f"l2_dominates_{layer}" for layer in LAYERS]
    for share, count in zip(found.values(), seen, strict=True):
        np.testing.assert_allclose(share, count / 25, rtol=1e-6)
    assert 0 < np.concatenate(seen).mean() < 25


def test_counting_changes_no_bit(make_spec, data):
    ends = []
    for counts in (True, False):
        training = Training(make_spec(), 0, data, CPU, history_points=2)
        if not counts:
            training.one_step.dominance = None
        training.run()
        ends.append(training.state())
    (tensors, facts), (others, other_facts) = ends
    assert facts == other_facts
    assert {*tensors} - {*others} == {"l2_dominates"}
    assert all(torch.equal(tensors[key], value) for key, value in others.items())


@pytest.mark.parametrize(
    "changes", [{"regularizer": "wd"}, {"regularizer": "none"}, {"strength": 0}, {"unregularized": "norms"}]
)
def test_without_l2_on_gamma_nothing_is_counted(make_spec, data, changes):
    training = Training(make_spec(**changes), 0, data, CPU, history_points=1)
    training.run()
    assert not counted(training)
    assert "l2_dominates" not in training.state()[0]


def test_a_resumed_training_counts_on(make_spec, data):
    spec = make_spec(strength=3e-2)
    whole, begun = (Training(spec, 0, data, CPU, history_points=1) for _ in range(2))
    whole.run()
    turns = begun.turns()
    for _ in range(7):
        next(turns)
    resumed = Training(spec, 0, data, CPU, history_points=1)
    resumed.restore(*begun.state())
    resumed.run()
    for key, share in counted(whole).items():
        assert torch.equal(counted(resumed)[key], share)


def test_a_training_of_an_earlier_version_goes_on_without_share(make_spec, data):
    """The steps before it were not counted: no share is better than a wrong one."""
    spec = make_spec()
    whole, begun = (Training(spec, 0, data, CPU, history_points=1) for _ in range(2))
    whole.run()
    turns = begun.turns()
    for _ in range(7):
        next(turns)
    tensors, facts = begun.state()
    resumed = Training(spec, 0, data, CPU, history_points=1)
    resumed.restore({key: value for key, value in tensors.items() if key != "l2_dominates"}, facts)
    resumed.run()
    assert not counted(resumed)
    assert "l2_dominates" not in resumed.state()[0]
    for key, value in resumed.state()[0].items():
        assert torch.equal(value, whole.state()[0][key])


@pytest.mark.parametrize("regularizer", ["l2", "wd"])
def test_a_measured_run_has_it_for_every_feature(make_spec, data, tmp_path, regularizer):
    spec = make_spec(regularizer=regularizer, strength=3e-2)
    train_run(spec, 1, data, tmp_path, tmp_path / "checkpoints", Settings(CPU, history_points=2)).clear()
    extract_run(spec, 1, data, tmp_path, CPU)
    histories, features = read_affine(tmp_path / "affine.safetensors"), read_features(tmp_path / "features.csv")
    measured = read(tmp_path / "record.json", spec.id, 1)["measured"]
    with (tmp_path / "features.csv").open(newline="") as file:
        texts = {line["l2_dominates"] for line in csv.DictReader(file)}
    if regularizer == "wd":
        assert texts == {""}
        assert not {"l2_dominates", "selectivity_l2_correlation"} & {*measured}
        return
    shares = np.concatenate([histories[f"l2_dominates_{layer}"] for layer in LAYERS])
    np.testing.assert_allclose(features["l2_dominates"], shares, rtol=1e-6)
    means = features.groupby("layer")["l2_dominates"].mean()
    assert measured["l2_dominates"] == pytest.approx({layer: means[layer] for layer in LAYERS})
    assert "selectivity_l2_correlation" in measured


def test_a_scale_without_gradient_is_moved_by_l2_alone(make_spec, data):
    spec = make_spec(regularizer="l2", strength=0.1)
    model = build(spec, data.channels, data.side, len(data.classes))
    count = Dominance(spec, model)
    model.norms[1].weight.grad = torch.full_like(model.norms[1].weight, 0.2)  # above 0.1 of 1, where gamma starts
    count.count()
    shares = count.shares(1)
    assert [float(shares[f"l2_dominates_{layer}"].mean()) for layer in spec.network.layers] == [1, 0, 1]
