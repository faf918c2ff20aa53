"""The checks of tests/gpu_smoke.py: on a GPU where there is one, and rehearsed on a CPU."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

import gpu_smoke
from gpu_smoke import Failed
from helpers.bare import bare

NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory):
    return gpu_smoke.make_bench("cpu", tmp_path_factory.mktemp("smoke"))


@pytest.mark.gpu
@NEEDS_GPU
def test_every_check_holds_on_a_gpu(tmp_path, capsys):
    failed = gpu_smoke.run(gpu_smoke.make_bench("cuda", tmp_path))
    assert failed == 0, capsys.readouterr().out


def test_checks_cover_every_optimizer_regularizer_and_precision(rehearsal):
    on_gpu = gpu_smoke.replace(rehearsal, device=torch.device("cuda"))
    names = [name for name, _ in gpu_smoke.checks(on_gpu)]
    assert len(set(names)) == len(names)
    captured = {tuple(name.split(": ")[1].split()) for name in names if name.startswith("captured")}
    precisions, regularizers = ("float32", "tf32", "bfloat16"), ("l2", "wd")
    optimizers = ("sgd", "adam", "amsgrad", "adagrad", "adadelta", "rmsprop", "adamax")
    assert captured == {(o, r, p) for o in optimizers for r in regularizers for p in precisions}


@pytest.mark.slow
def test_it_is_rehearsed_on_a_cpu_in_a_bare_interpreter(root, tmp_path):
    command = [sys.executable, str(root / "tests/gpu_smoke.py"), "--device", "cpu"]
    done = subprocess.run(command, env=bare(tmp_path), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert sum(line.startswith("ok ") for line in lines) == 36
    assert not [line for line in lines if line.startswith("FAILED")]
    assert "36 of 36 checks hold" in lines[-2]
    assert lines[-1].startswith("rehearsed on a CPU")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_it_ends_with_one_line(root):
    command = [sys.executable, str(root / "tests/gpu_smoke.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "finds no CUDA device" in done.stderr


def test_a_difference_is_found(rehearsal, monkeypatch):
    """With steps that are captured wrongly: the second epoch trains on the first one's batches."""
    from filter_sparsity.training.loaders import ArrayLoader

    shuffle = ArrayLoader.shuffle
    calls = []

    def stale(self, batch, generator, first=0):
        calls.append(self)
        shuffle(self, batch, generator, first)
        if len({id(loader) for loader in calls}) == 1 and len(calls) > 1:
            self.order = self.first
        elif len(calls) == 1:
            self.first = self.order

    monkeypatch.setattr(ArrayLoader, "shuffle", stale)
    with pytest.raises(Failed, match="tensors differ"):
        gpu_smoke.captured_equals_plain(rehearsal, "adam", "l2", "float32")


def test_a_coarser_product_is_found(rehearsal, monkeypatch):
    """Factors rounded to TF32's 10 bits of mantissa on one side: the first loss is no longer the CPU's."""
    from filter_sparsity.training import models

    convolve, own = models.convolve, gpu_smoke.first_losses
    coarse = []

    def rounded(value):
        return ((value.contiguous().view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)

    def convolved(conv, x):
        return torch.nn.functional.conv2d(rounded(x), rounded(conv.weight.detach()), padding="same")

    def losses(bench, optimizer):
        coarse.append(optimizer)
        monkeypatch.setattr(models, "convolve", convolved if len(coarse) == 2 else convolve)
        return own(bench, optimizer)

    monkeypatch.setattr(gpu_smoke, "first_losses", losses)
    with pytest.raises(Failed, match="losses differ from the CPU's"):
        gpu_smoke.first_steps_equal_the_cpus(rehearsal, "sgd")
