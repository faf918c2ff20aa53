import dataclasses
import json

import pytest

from filter_sparsity.errors import UserError
from filter_sparsity.spec import Network, Spec, short

# A change of these means that runs of before count as other trainings. Then raise RECIPE, and say so in the changes.
PAPER = {
    "cifar10-basicnet-adam-l2_1e-3-cdcee9",
    "cifar10-basicnet-adam-wd_2e-4-8e38ab",
    "cifar10-basicnet-sgd-l2_5e-4-7ec3fd",
    "cifar100-basicnet-amsgrad-l2_0.01-a1c374",
    "cifar100-basicnet-leaky_0.1-adam-l2_1e-4-a7b194",
    "cifar100-basicnet-adam-l2_1e-4-beta_-0.1-f721e9",
    "cifar100-basicnet-adam-l2_1e-4-gammarate_0.1-551851",
    "cifar10-basicnet-adamax-l2_1e-6-4dcadc",
    "cifar100-basicnet-rmsprop-l2_0.01-4a4804",
}
OTHERS = {  # a second value of every field
    "dataset": "cifar100",
    "flip": False,
    "negative_slope": 0.01,
    "gamma_init": 0.5,
    "beta_init": -0.1,
    "optimizer": "amsgrad",
    "algorithm": "Adamax",
    "rate": 2e-3,
    "hyperparameters": {"betas": [0.9, 0.99], "eps": 1e-8, "amsgrad": True},
    "gamma_rate_scale": 0.1,
    "beta_rate_scale": 0.1,
    "regularizer": "wd",
    "strength": 2e-3,
    "batch_size": 20,
    "phase_steps": (10, 6),
    "rate_decay": 0.2,
    "recipe": 99,
    "unregularized": "head",
}
OTHER_NETWORKS = {
    "name": "other",
    "filters": (4, 6, 6),
    "kernels": (3, 3, 3),
    "pool_after": (1, 2),
    "conv_bias": True,
    "hidden": (9,),
    "pool": "average",
    "hidden_norm": True,
    "head_pool": "average",
    "head_init": "torch",
}


def test_ids_at_paper_scale_are_pinned(paper_plan):
    assert set(paper_plan.specs) >= PAPER


@pytest.mark.parametrize(
    ("changes", "spec_id"),
    [
        ({}, "blobs-tiny-adam-l2_1e-3-c6962b"),
        ({"regularizer": "wd", "strength": 0.002}, "blobs-tiny-adam-wd_2e-3-563b75"),
        ({"regularizer": "none", "strength": 0, "flip": False}, "blobs-tiny-adam-none-6edce5"),
        ({"negative_slope": 0.01, "beta_init": 1.0}, "blobs-tiny-leaky_0.01-adam-l2_1e-3-beta_1-119a2d"),
    ],
)
def test_ids_of_specs_written_out_are_pinned(make_spec, changes, spec_id):
    assert make_spec(**changes).id == spec_id


def test_every_field_is_listed_here():
    assert {f.name for f in dataclasses.fields(Spec)} == {*OTHERS, "network"}
    assert {f.name for f in dataclasses.fields(Network)} == {*OTHER_NETWORKS}


@pytest.mark.parametrize("field", OTHERS)
def test_every_field_changes_the_id(make_spec, field):
    assert make_spec(**{field: OTHERS[field]}).id != make_spec().id


@pytest.mark.parametrize("field", OTHER_NETWORKS)
def test_every_field_of_the_network_changes_the_id(make_spec, field):
    network = dataclasses.replace(make_spec().network, **{field: OTHER_NETWORKS[field]})
    assert make_spec(network=network).id != make_spec().id


def test_changes_of_two_fields_do_not_cancel(make_spec):
    specs = [make_spec(), *(make_spec(**{k: v}) for k, v in OTHERS.items())]
    assert len({spec.id for spec in specs}) == len(specs)


def test_whole_numbers_and_decimals_are_one_setting(make_spec):
    whole = make_spec(gamma_init=1, beta_init=0, rate=1, strength=1, rate_decay=1, negative_slope=0)
    decimal = make_spec(gamma_init=1.0, beta_init=0.0, rate=1.0, strength=1.0, rate_decay=1.0, negative_slope=0.0)
    assert whole.id == decimal.id
    assert whole == decimal


@pytest.mark.parametrize(
    ("changes", "network"), [({}, {}), *(({k: v}, {}) for k, v in OTHERS.items()), ({}, OTHER_NETWORKS)]
)
def test_from_dict_inverts_to_dict_through_json(make_spec, changes, network):
    spec = make_spec(**changes, network=dataclasses.replace(make_spec().network, **network))
    again = Spec.from_dict(json.loads(json.dumps(spec.to_dict())))
    assert again == spec
    assert again.id == spec.id


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"strength": -1e-3}, "strength is -0.001: it must be a finite number, 0 or more"),
        ({"strength": float("nan")}, "strength is nan"),
        ({"rate": float("inf")}, "rate is inf"),
        ({"beta_init": float("nan")}, "beta_init is nan: it must be a finite number"),
        ({"regularizer": "l1"}, "regularizer is 'l1': allowed are l2, wd, decoupled, none"),
        ({"batch_size": 1}, "batch_size is 1"),
        ({"phase_steps": (5, 0)}, "phase_steps are [5, 0]: each phase needs 1 step or more"),
        ({"phase_steps": ()}, "phase_steps are []"),
    ],
)
def test_impossible_settings_are_refused_in_one_line(make_spec, changes, said):
    with pytest.raises(UserError) as error:
        make_spec(**changes)
    assert str(error.value).startswith(said)
    assert "\n" not in str(error.value)


def test_a_negative_beta_is_possible(make_spec):
    assert make_spec(beta_init=-0.1).beta_init == -0.1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kernels": (3, 3)}, "3 filters but 2 kernels"),
        ({"kernels": (3, 4, 3)}, "kernels are [3, 4, 3]: only odd ones"),
        ({"pool_after": (1, 4)}, "pool_after is [1, 4]: the layers are 1 to 3"),
        ({"pool_after": (0,)}, "pool_after is [0]"),
    ],
)
def test_impossible_networks_are_refused(make_spec, changes, said):
    with pytest.raises(UserError) as error:
        dataclasses.replace(make_spec().network, **changes)
    assert said in str(error.value)


@pytest.mark.parametrize("damage", ["missing", "unknown", "network", "nothing"])
def test_a_dict_that_is_no_spec_is_refused_in_one_line(make_spec, damage):
    data = make_spec().to_dict()
    if damage == "missing":
        del data["network"]
    elif damage == "unknown":
        data["colour"] = "red"
    elif damage == "network":
        data["network"]["depth"] = 3
    else:
        data = {}
    with pytest.raises(UserError, match=r"\Anot a spec: [^\n]+\Z"):
        Spec.from_dict(data)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0, "0"),
        (1e-3, "1e-3"),
        (5e-4, "5e-4"),
        (2.5e-5, "2.5e-5"),
        (0.01, "0.01"),
        (0.1, "0.1"),
        (1.0, "1"),
        (-0.1, "-0.1"),
        (-1e-3, "-1e-3"),
        (10, "10"),
        (2000, "2e3"),
    ],
)
def test_numbers_as_people_write_them(value, written):
    assert short(value) == written
