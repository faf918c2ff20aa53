"""Measurements of networks made by hand, and against forward hooks on an independent network."""

import json

import numpy as np
import pytest
import torch

from filter_sparsity import networks, provenance, sparsity
from filter_sparsity.errors import UserError
from filter_sparsity.measuring.extract import activations, extract_run, load, measure, responses, summary
from filter_sparsity.metrics import MEASURING
from filter_sparsity.records.record import read, read_affine, read_features, read_lines
from filter_sparsity.training.loaders import ArrayLoader
from filter_sparsity.training.optim import decay_floor
from filter_sparsity.training.run import Settings, train_run
from helpers.loader_iteration import all_of

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(make_data):
    return make_data()


@pytest.fixture(scope="module")
def trained(make_spec, data, tmp_path_factory):
    """A spec and the folder of its run with seed 1, trained and measured."""
    spec, folder = make_spec(), tmp_path_factory.mktemp("run")
    train_run(spec, 1, data, folder, folder / "checkpoints", Settings(CPU, history_points=2)).clear()
    extract_run(spec, 1, data, folder, CPU)
    return spec, folder


@pytest.fixture
def run(trained, tmp_path):
    """A copy of that run, to be damaged."""
    spec, folder = trained
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return spec, tmp_path


def hooked(network, activations, images):
    """Outputs of each activation (images, filters, height, width) of the independent network, in float64."""
    outputs = []
    for place in activations:
        network[place].register_forward_hook(lambda m, i, out: outputs.append(out.numpy().copy()))
    with torch.no_grad():
        logits = network.eval()(images)
    return outputs, logits


def selective(model):
    """Features that fewer and fewer images activate: the first of a layer all, the last hardly any."""
    for norm in model.norms:
        norm.bias.data -= torch.linspace(0, 4, norm.num_features)
    return model


@pytest.mark.parametrize("negative_slope", [0, 0.1])
def test_responses_are_before_pooling_of_all_unflipped_images(make_spec, make_model, plain, digits, negative_slope):
    spec = make_spec(negative_slope=negative_slope)
    model = selective(make_model(spec, channels=1, side=16, classes=10)).train()
    images = ArrayLoader(digits, "train", CPU, flip=True)  # 1,442 images: more than one batch
    universal, largest = responses(model, images)
    outputs, _ = hooked(*plain(spec, model), all_of(images))
    assert len(universal) == len(largest) == len(outputs) == 3
    assert {0, 1} < {*np.concatenate(universal)}  # and some in between
    for ours, most, output in zip(universal, largest, outputs, strict=True):
        np.testing.assert_allclose(ours, sparsity.universality(output.max((2, 3))), atol=1.5 / 1442)
        np.testing.assert_allclose(most, np.abs(output).max((0, 2, 3)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("negative_slope", [0, 0.1])
def test_own_networks_have_the_measures_of_records(make_spec, make_model, digits, negative_slope):
    model = selective(make_model(make_spec(negative_slope=negative_slope), channels=1, side=16, classes=10)).eval()
    images = ArrayLoader(digits, "train", CPU, flip=False)
    table = networks.measure(model, images.batches(), progress=False)
    universal, largest = responses(model, images)
    assert len(table) == len(largest) + 1
    np.testing.assert_allclose(table.features["universality"], np.concatenate(universal), atol=0.005)  # steps of 1.6 %
    ours = table.features["largest_activation"].to_numpy()
    if negative_slope:  # the pooling before the nonlinearity takes negative responses
        assert (ours <= np.concatenate(largest) * (1 + 1e-6)).all()
    else:
        np.testing.assert_allclose(ours, np.concatenate(largest), rtol=1e-6)


def test_counts_by_batch_are_those_of_the_definition(make_spec, make_model, digits):
    model = selective(make_model(make_spec(), channels=1, side=16, classes=10))
    images = ArrayLoader(digits, "train", CPU, flip=False)
    maxima = [[], [], []]
    with torch.inference_mode():
        for i, x in activations(model, images):
            maxima[i].append(x.amax((2, 3)).numpy())
    assert len(maxima[0]) > 1
    for ours, layer in zip(responses(model, images)[0], maxima, strict=True):
        np.testing.assert_array_equal(ours, sparsity.universality(np.concatenate(layer)))


def test_of_a_leaky_feature_the_largest_magnitude_counts(make_spec, make_model, data):
    """A feature that is always negative is not inactive."""
    model = make_model(make_spec(negative_slope=0.1), channels=3, side=8)
    model.norms[1].weight.data[2] = 0
    model.norms[1].bias.data[2] = -4.0
    universal, largest = responses(model, ArrayLoader(data, "train", CPU, flip=False))
    assert largest[1][2] == pytest.approx(0.4)
    assert universal[1][2] == 0


@pytest.fixture(scope="module")
def by_hand(make_spec, make_model):
    """A network whose dead features are known: of C1, 1 and 2 by gamma; of C2, 5; of C3, all but 0."""
    spec = make_spec()
    model = make_model(spec, channels=3, side=8)

    def set_to(layer, filters, gamma, beta):
        model.norms[layer].weight.data[filters] = gamma
        model.norms[layer].bias.data[filters] = beta

    set_to(0, [1], 9.9e-4, 0.5)  # dead by gamma, yet active: a constant
    set_to(0, [2], -9.9e-4, -0.5)  # dead by both
    set_to(0, [3], 1.1e-3, -0.5)  # alive by gamma, never active
    set_to(1, [5], 0.0, 0.0)  # dead by both
    set_to(2, [1, 2, 3, 4], 0.0, -1.0)
    return spec, model


def test_dead_features_are_those_made_dead(by_hand, data):
    spec, model = by_hand
    measured, features = measure(spec, model, data)
    assert measured["sparsity_by_gamma"] == pytest.approx({"C1": 2 / 4, "C2": 1 / 6, "C3": 4 / 5, "total": 7 / 15})
    assert measured["sparsity_by_activation"] == pytest.approx({"C1": 2 / 4, "C2": 1 / 6, "C3": 4 / 5, "total": 7 / 15})
    # 5*5*3*4 + 3*3*4*6 + 3*3*6*5 = 786 weights; 5*5*3*2 + 3*3*2*5 + 3*3*5*1 = 285 stay
    assert measured["params_pruned"] == pytest.approx(1 - 285 / 786)
    assert [(f["layer"], f["filter"]) for f in features] == [
        (layer, i) for layer, n in (("C1", 4), ("C2", 6), ("C3", 5)) for i in range(n)
    ]
    assert measured["gamma_positive"] == {"C1": 1, "C2": 1, "C3": 1}
    assert measured["beta_positive"]["C1"] == 0  # of the two that live, one is -0.5 and the other as it began
    universal = [f["universality"] for f in features]
    assert measured["universality"]["C1"] == pytest.approx(np.mean(universal[:4]))
    living = {"C1": [0, 3], "C2": [4, 5, 6, 7, 8], "C3": [10]}  # of the 15 in a row, those that live by gamma
    assert measured["universality_living"] == pytest.approx(
        {layer: np.mean([universal[i] for i in own]) for layer, own in living.items()}
    )
    # In C1 one constant activates all images and two features none; of the two that live, one is never active.
    assert measured["universality"]["C1"] == pytest.approx((universal[0] + 1) / 4)
    assert measured["universality_living"]["C1"] == pytest.approx(universal[0] / 2)
    line = features[1]
    assert (line["gamma"], line["beta"]) == pytest.approx((9.9e-4, 0.5))
    assert line["largest_activation"] == pytest.approx(0.5, abs=0.02)
    assert line["universality"] == 1  # a constant activates every image


def test_a_layer_without_living_features_has_no_mean_over_them(make_spec, make_model, data):
    spec = make_spec()
    model = make_model(spec, channels=3, side=8)
    model.norms[1].weight.data[:] = 0
    measured, _ = measure(spec, model, data)
    for metric in ("universality_living", "gamma_positive", "beta_positive"):
        assert [*measured[metric]] == ["C1", "C3"]
    assert [*measured["universality"]] == ["C1", "C2", "C3"]


def test_features_are_measured_on_the_training_images(make_spec, make_model, data, plain):
    spec = make_spec()
    model = make_model(spec, channels=3, side=8)
    _, features = measure(spec, model, data)
    outputs, _ = hooked(*plain(spec, model), all_of(ArrayLoader(data, "train", CPU, flip=False)))
    largest = np.concatenate([output.max((0, 2, 3)) for output in outputs])
    np.testing.assert_allclose([f["largest_activation"] for f in features], largest, rtol=1e-4)
    highest = np.concatenate([output.max((2, 3)) for output in outputs], axis=1)
    shares = (highest / highest.max(0) > 1e-3).mean(0)  # main paper: of the feature's largest response
    assert [f["universality"] for f in features] == pytest.approx(shares)


def test_errors_and_losses_are_those_of_the_independent_network(by_hand, data, plain):
    spec, model = by_hand
    measured, _ = measure(spec, model, data)
    tests = ArrayLoader(data, "test", CPU, flip=False)
    labels = tests.labels
    _, logits = hooked(*plain(spec, model), all_of(tests))
    assert measured["test_error"] == (logits.argmax(1) != labels).double().mean().item()
    chances = logits.double().softmax(1)[torch.arange(20), labels]
    assert measured["test_loss"] == pytest.approx(-chances.log().mean().item(), rel=1e-5)


def test_the_pruned_error_is_without_features_dead_by_gamma(make_spec, make_model, make_data, plain):
    """Pruned, and folded, on a network whose constants matter."""
    data = make_data(test=300)
    spec = make_spec()
    model = make_model(spec, channels=3, side=8)
    gone = [[1, 2], [0, 4], [3]]
    for norm, filters in zip(model.norms, gone, strict=True):
        norm.weight.data[filters] = 0
        norm.bias.data[filters] = 3.0
    measured, _ = measure(spec, model, data)
    tests = ArrayLoader(data, "test", CPU, flip=False)
    errors = {}
    for silent in (True, False):
        network, activations = plain(spec, model)
        for place, filters in zip(activations, gone, strict=True):
            keep = torch.ones(network[place - 1].num_features)
            keep[filters] = 0 if silent else 1
            network[place].register_forward_hook(lambda m, i, out, keep=keep: out * keep[None, :, None, None])
        with torch.no_grad():
            errors[silent] = (network.eval()(all_of(tests)).argmax(1) != tests.labels).double().mean().item()
    assert measured["pruned_test_error"] == pytest.approx(errors[True])
    assert measured["test_error"] == pytest.approx(errors[False])
    assert errors[True] != errors[False]
    assert 0 <= measured["pruned_test_error_folded"] <= 1


def test_a_record_holds_what_was_measured(trained, data):
    spec, folder = trained
    record = read(folder / "record.json", spec.id, 1)
    model = load(spec, 1, folder / "weights.safetensors", data, CPU)
    histories = read_affine(folder / "affine.safetensors")
    dominated = {layer: histories[f"l2_dominates_{layer}"] for layer in spec.network.layers}
    measured, features = measure(spec, model, data, dominated)
    history = read_lines(folder / "history.csv")
    early, late = read_lines(folder / "silent.csv")
    assert record["measured"] == {
        "train_loss": history[-1]["train_loss"],
        **measured,
        "silent_early": {layer: early[layer] for layer in ("C1", "C2", "C3", "hidden")},
        "silent_late": {layer: late[layer] for layer in ("C1", "C2", "C3", "hidden")},
        "decay_floor": decay_floor(spec),
    }
    assert measured["test_error"] == history[-1]["test_error"]
    assert measured["test_loss"] == pytest.approx(history[-1]["test_loss"], rel=1e-6)
    assert record["spec"] == spec.to_dict()
    origin = json.loads((folder / "provenance.json").read_text())
    assert record["provenance"] == {**origin, "measured_by": provenance.commit(), "measuring": MEASURING}
    frame = read_features(folder / "features.csv")
    columns = ["gamma", "beta", "largest_activation", "universality", "l2_dominates"]
    assert list(frame) == ["layer", "filter", *columns]
    for column in frame.columns[2:]:
        np.testing.assert_allclose(frame[column], [f[column] for f in features], rtol=1e-6)


def test_weights_come_back_as_they_were_trained(trained, data, tmp_path):
    from filter_sparsity.training.loop import train

    spec, folder = trained
    model, _, _ = train(spec, 1, data, CPU, history_points=2)
    again = load(spec, 1, folder / "weights.safetensors", data, CPU)
    for key, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[key], value)


def test_measuring_twice_writes_the_same_bytes(run, data):
    spec, folder = run
    before = {name: (folder / name).read_bytes() for name in ("record.json", "features.csv")}
    extract_run(spec, 1, data, folder, CPU)
    assert before == {name: (folder / name).read_bytes() for name in before}


def test_the_summary_is_a_line_of_the_record_s_numbers(trained):
    spec, folder = trained
    measured = read(folder / "record.json", spec.id, 1)["measured"]
    said = summary(folder)
    assert said.startswith(f"test error {100 * measured['test_error']:.1f} %, sparsity by gamma ")
    assert "\n" not in said


def refused(spec, seed, data, folder):
    """Refused in one line, and no record stays that was not measured so."""
    for name in ("record.json", "features.csv"):
        (folder / name).unlink(missing_ok=True)
    with pytest.raises(UserError) as error:
        extract_run(spec, seed, data, folder, CPU)
    said = str(error.value)
    assert "\n" not in said
    assert not (folder / "record.json").exists()
    assert not (folder / "features.csv").exists()
    return said


@pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.99])
def test_cut_weights_are_refused(run, data, share):
    spec, folder = run
    weights = folder / "weights.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: int(share * len(whole))])
    assert refused(spec, 1, data, folder).startswith(f"{weights} is damaged (")


def test_absent_weights_are_told(run, data):
    spec, folder = run
    (folder / "weights.safetensors").unlink()
    assert refused(spec, 1, data, folder) == f"{folder / 'weights.safetensors'} is not there: train the run first"


def test_weights_of_another_seed_or_spec_are_refused(run, make_spec, data):
    spec, folder = run
    assert f"holds {spec.id} seed 1, not {spec.id} seed 2" in refused(spec, 2, data, folder)
    other = make_spec(strength=2e-3)
    assert f"holds {spec.id} seed 1, not {other.id} seed 1" in refused(other, 1, data, folder)


def test_weights_without_a_name_are_refused(run, data):
    from safetensors.torch import load_file, save_file

    spec, folder = run
    weights = folder / "weights.safetensors"
    save_file(load_file(weights), weights)
    assert f"holds no run, not {spec.id} seed 1" in refused(spec, 1, data, folder)


def test_weights_of_another_shape_under_this_name_are_refused(run, data):
    from safetensors.torch import load_file, save_file

    spec, folder = run
    weights = folder / "weights.safetensors"
    state = load_file(weights)
    state["norms.0.weight"] = torch.ones(9)
    save_file(state, weights, {"run": f"{spec.id} seed 1"})
    assert refused(spec, 1, data, folder).startswith(f"{weights} is damaged (")


def test_a_run_of_other_data_is_refused(run, make_data):
    spec, folder = run
    assert "was trained on other data than those now prepared as blobs" in refused(spec, 1, make_data(seed=1), folder)


@pytest.mark.parametrize("name", ["provenance.json", "history.csv"])
def test_a_run_with_a_damaged_or_absent_file_is_refused(run, data, name):
    spec, folder = run
    (folder / name).write_text("")
    assert refused(spec, 1, data, folder).startswith(str(folder / name))
    (folder / name).unlink()
    assert refused(spec, 1, data, folder).startswith(str(folder / name))


@pytest.mark.parametrize("name", ["weights.safetensors", "affine.safetensors", "history.csv"])
def test_a_changed_byte_that_every_reader_takes_is_refused(run, data, name):
    """The last byte of a weight, of a beta, a digit of a loss: files that are whole, and not what was trained."""
    spec, folder = run
    content = bytearray((folder / name).read_bytes())
    content[-2] = ord("7") if content[-2] != ord("7") else ord("8")
    (folder / name).write_bytes(content)
    assert refused(spec, 1, data, folder).startswith(f"{folder} does not hold what was trained")


def test_a_changed_formula_needs_a_new_version_of_the_recipe(make_spec, make_model, data):
    """Numbers of one fixed network. If they change, raise `metrics.MEASURING`, and this test's version with it."""
    spec = make_spec()
    model = make_model(spec, data.channels, data.side)
    with torch.no_grad():
        for norm in model.norms:
            norm.bias.sub_(torch.linspace(0, 1.5, norm.num_features))
            norm.weight[0], norm.bias[0] = 1e-4, 0.5  # negligible, but not silent
            norm.weight[1], norm.bias[1] = 1.0, -100  # silent, but not negligible
    measured, _ = measure(spec, model, data)
    numbers = {
        f"{metric} {layer}".strip(): round(number, 4)
        for metric, value in measured.items()
        for layer, number in (value.items() if isinstance(value, dict) else [("", value)])
    }
    assert MEASURING == 1
    assert numbers == {
        "test_loss": 1.1773,
        "test_error": 0.6,
        "sparsity_by_gamma C1": 0.25,
        "sparsity_by_gamma C2": 0.1667,
        "sparsity_by_gamma C3": 0.2,
        "sparsity_by_gamma total": 0.2,
        "sparsity_by_activation C1": 0.25,
        "sparsity_by_activation C2": 0.1667,
        "sparsity_by_activation C3": 0.6,
        "sparsity_by_activation total": 0.3333,
        "params_pruned": 0.313,
        "pruned_test_error": 0.65,
        "pruned_test_error_folded": 0.6,
        "universality C1": 0.735,
        "universality C2": 0.4967,
        "universality C3": 0.4,
        "universality_living C1": 0.6467,
        "universality_living C2": 0.396,
        "universality_living C3": 0.25,
        "gamma_positive C1": 1.0,
        "gamma_positive C2": 1.0,
        "gamma_positive C3": 1.0,
        "beta_positive C1": 0.0,
        "beta_positive C2": 0.0,
        "beta_positive C3": 0.0,
        "universality_beta_correlation C2": 0.2052,  # the other layers have fewer than five living features
    }
