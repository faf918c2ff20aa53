"""A deliberate change of a formula, an optimizer's constant or a pooling position makes the check fail.

Tiny specs are trained for real on the digits, measured, and stored as the reference. Then the code is changed, the
same is done again, and compared by the project's own tolerances.
"""

from __future__ import annotations

import pytest
import torch

from filter_sparsity import metrics, sparsity
from filter_sparsity.measuring import extract
from filter_sparsity.paths import run_folder
from filter_sparsity.plan import Plan
from filter_sparsity.records import archive
from filter_sparsity.spec import Network
from filter_sparsity.training import models, optim, run
from filter_sparsity.verdict import regression

pytestmark = pytest.mark.slow
CPU = torch.device("cpu")
SEEDS = [0, 1, 2, 3]
NETWORK = Network(name="tiny", filters=(8, 16, 16), kernels=(5, 3, 3), pool_after=(1, 3), conv_bias=False, hidden=(32,))
COMMON = {"dataset": "digits", "flip": False, "network": NETWORK, "batch_size": 40, "phase_steps": (110, 30)}
SGD = {"optimizer": "sgd", "algorithm": "SGD", "hyperparameters": {"momentum": 0.9}, "regularizer": "wd"}
SPECS = {  # in so few steps their seeds differ little, and what each is for matters
    "adam": {**COMMON, "gamma_init": 0.1, "strength": 0.1, "rate": 0.003},
    "sgd": {**COMMON, **SGD, "strength": 0.03, "rate": 0.03},
    "still": {**COMMON, "beta_init": -3, "strength": 1e-3, "rate": 1e-4, "phase_steps": (40, 10)},
}


@pytest.fixture(scope="module")
def plans(make_spec):
    """A plan of each of the specs alone."""
    specs = {name: make_spec(**settings) for name, settings in SPECS.items()}
    return {name: Plan({"scale": "test"}, SEEDS, {s.id: s}, {}, {}, {}, {}, []) for name, s in specs.items()}


def campaign(plan, digits, runs):
    """Train and measure a plan's runs."""
    for spec in plan.specs.values():
        for seed in SEEDS:
            folder = run_folder(runs, spec.id, seed)
            run.train_run(spec, seed, digits, folder, folder / "checkpoints", run.Settings(CPU, 2)).clear()
            extract.extract_run(spec, seed, digits, folder, CPU)
    return runs


@pytest.fixture(scope="module")
def compared(plans, digits, root, tmp_path_factory):
    """The metrics in which a campaign with the code as it is now differs from the stored one."""
    folder = tmp_path_factory.mktemp("reference")
    for name, plan in plans.items():
        archive.store(plan, campaign(plan, digits, folder / name), folder, folder / f"{name}.csv")

    def compare(name, runs):
        campaign(plans[name], digits, runs)
        lines = regression.compare(
            plans[name], runs, folder / f"{name}.csv", root / "report/references/tolerances.yaml"
        )
        # A correlation needs five living features, which one seed's layer can have and another's lack.
        assert {*lines.loc[lines["verdict"] == "no reference", "metric"]} <= {*metrics.signed_metrics()}
        return {*lines.loc[lines["verdict"] == "differs", "metric"]}

    return compare


def pooled_later(patch):
    """What is pooled after C1 is pooled after C3, too, instead."""
    before = models.ConvNet.pool
    patch.setattr(models.ConvNet, "pool", lambda self, x, at: before(self, before(self, x, 3), 3) if at == 3 else x)


def with_optimizer(patch, **changes):
    """Other arguments for the optimizers that have them; a function changes the strength of L2."""
    before = optim.make_optimizer

    def make(algorithm, groups, l2, **arguments):
        known = {k: v for k, v in changes.items() if k in arguments}
        return before(algorithm, groups, changes.get("l2", lambda strength: strength)(l2), **{**arguments, **known})

    patch.setattr(optim, "make_optimizer", make)


MUTATIONS = {  # what is changed; how; the spec that is trained, and a metric of it that must tell
    "threshold of gamma": (lambda p: p.setattr(metrics, "GAMMA_THRESHOLD", 0.3), "adam", "sparsity_by_gamma"),
    "threshold of activation": (
        lambda p: p.setattr(metrics, "ACTIVATION_THRESHOLD", 1.0),
        "still",
        "sparsity_by_activation",
    ),
    "threshold of universality": (lambda p: p.setattr(metrics, "UNIVERSALITY_THRESHOLD", 0.5), "sgd", "universality"),
    "sign of gamma": (
        lambda p: p.setattr(sparsity, "share_positive", lambda values, dead: float((values < 0).mean())),
        "adam",
        "gamma_positive",
    ),
    "Adam's epsilon": (lambda p: with_optimizer(p, eps=1e-2), "adam", "train_loss"),
    "SGD's momentum": (lambda p: with_optimizer(p, momentum=0.0), "sgd", "train_loss"),
    "strength of L2": (lambda p: with_optimizer(p, l2=lambda strength: strength / 3), "adam", "train_loss"),
    "weight decay left out": (lambda p: p.setattr(optim, "decay", lambda group, strength: None), "sgd", "train_loss"),
    "position of the pooling": (pooled_later, "still", "train_loss"),
}


@pytest.mark.parametrize("name", SPECS)
def test_the_same_code_agrees(compared, tmp_path, name):
    assert compared(name, tmp_path) == set()


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutation_fails_the_check(compared, tmp_path, monkeypatch, name):
    change, spec, metric = MUTATIONS[name]
    change(monkeypatch)
    assert metric in compared(spec, tmp_path)
