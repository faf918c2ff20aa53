"""What a GPU would be given, on a CPU."""

import sys

import pytest

from filter_sparsity.training import optim

CAPTURABLE = ("adam", "adadelta", "adamax", "rmsprop")  # torch's modules that ask where a count may lie


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """The optimizers' code for a GPU, on a CPU: counts in tensors, all parameters at once."""
    own = optim.make_optimizer

    def make(algorithm, groups, l2, device="cpu", **arguments):
        several = {} if algorithm in ("SGD", "Adam") else {"foreach": True}
        return own(algorithm, groups, l2, "cuda", **several, **arguments)

    monkeypatch.setattr(optim, "make_optimizer", make)
    for name in CAPTURABLE:
        module = sys.modules[f"torch.optim.{name}"]  # `torch.optim` deletes the names of its modules
        monkeypatch.setattr(module, "_get_capturable_supported_devices", lambda **_: ["cpu"])
