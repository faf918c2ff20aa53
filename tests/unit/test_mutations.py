"""A deliberate change of a formula, an optimizer's constant or a pooling position makes the check fail.

Two tiny specs are trained for real on the digits, measured, and stored as the reference. Then the code is changed, the
same is done again, and compared by the project's own tolerances.
"""

from __future__ import annotations

import pytest
import torch

from filter_sparsity import check, extract, models, optim, sparsity, stored, train
from filter_sparsity.paths import of_run
from filter_sparsity.plan import Plan
from filter_sparsity.spec import Network

CPU = torch.device("cpu")
SEEDS = [0, 1, 2]
NETWORK = Network(name="tiny", filters=(8, 16, 16), kernels=(5, 3, 3), pool_after=(1, 3), conv_bias=False, hidden=(32,))


@pytest.fixture(scope="module")
def plan(make_spec):
    """Adam with L2 and SGD with weight decay, on settings that differ little between seeds in so few steps."""
    common = {"dataset": "digits", "flip": False, "network": NETWORK, "batch_size": 40, "phase_steps": (110, 30)}
    sgd = {"optimizer": "sgd", "algorithm": "SGD", "hyperparameters": {"momentum": 0.9}, "regularizer": "wd"}
    specs = (
        make_spec(**common, gamma_init=0.1, strength=0.1, rate=0.003),
        make_spec(**common, **sgd, strength=0.01, rate=0.03),
    )
    settings = {"scale": "test"}
    return Plan(settings, SEEDS, {s.id: s for s in specs}, {}, {}, {}, {}, [])


def campaign(plan, digits, runs):
    for spec in plan.specs.values():
        for seed in SEEDS:
            folder = of_run(runs, spec.id, seed)
            train.train_run(spec, seed, digits, folder, CPU, history_points=2)
            extract.extract_run(spec, seed, digits, folder, CPU)
    return runs


@pytest.fixture(scope="module")
def compared(plan, digits, root, tmp_path_factory):
    """Does a campaign with the code as it is now differ from the stored one? Its lines that do."""
    folder = tmp_path_factory.mktemp("reference")
    stored.store(plan, campaign(plan, digits, folder / "runs"), folder, folder / "test.csv")

    def compare(runs):
        lines = check.compare(plan, runs, folder / "test.csv", root / "report/references/tolerances.yaml")
        assert (lines["verdict"] != "no reference").all()
        return {*lines.loc[lines["verdict"] == "differs", "metric"]}

    return compare


def pooled_elsewhere(patch):
    before = models.ConvNet.pool
    patch.setattr(models.ConvNet, "pool", lambda self, x, layer: before(self, x, {1: 2, 2: 1}.get(layer, layer)))


def with_optimizer(patch, **changes):
    """Other arguments for the optimizers that have them; a function changes the strength of L2."""
    before = optim.make_optimizer

    def make(algorithm, groups, l2, **arguments):
        known = {k: v for k, v in changes.items() if k in arguments}
        return before(algorithm, groups, changes.get("l2", lambda strength: strength)(l2), **{**arguments, **known})

    patch.setattr(optim, "make_optimizer", make)


MUTATIONS = {  # what is changed, how, and a metric that must tell
    "threshold of gamma": (lambda p: p.setattr(sparsity, "GAMMA_THRESHOLD", 0.3), "sparsity_by_gamma"),
    "threshold of activation": (lambda p: p.setattr(sparsity, "ACTIVATION_THRESHOLD", 1.0), "sparsity_by_activation"),
    "formula of universality": (
        lambda p: p.setattr(sparsity, "universality", lambda m: (m > 0.5 * m.max(0)).mean(0)),
        "universality",
    ),
    "sign of gamma": (
        lambda p: p.setattr(sparsity, "share_positive", lambda values, dead: float((values < 0).mean())),
        "gamma_positive",
    ),
    "Adam's second moment": (lambda p: with_optimizer(p, betas=(0.9, 0.5)), "train_loss"),
    "SGD's momentum": (lambda p: with_optimizer(p, momentum=0.0), "train_loss"),
    "strength of L2": (lambda p: with_optimizer(p, l2=lambda strength: strength / 3), "train_loss"),
    "weight decay left out": (lambda p: p.setattr(optim, "decay", lambda group, strength: None), "train_loss"),
    "position of the pooling": (pooled_elsewhere, "train_loss"),
}


def test_the_same_code_agrees(plan, digits, compared, tmp_path):
    assert compared(campaign(plan, digits, tmp_path)) == set()


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutation_fails_the_check(plan, digits, compared, tmp_path, monkeypatch, name):
    change, metric = MUTATIONS[name]
    change(monkeypatch)
    differing = compared(campaign(plan, digits, tmp_path))
    assert metric in differing
