"""What a run writes and prints."""

import numpy as np
import pytest
import torch

from filter_sparsity import paths
from filter_sparsity.errors import UserError
from filter_sparsity.records import record
from filter_sparsity.training import run
from filter_sparsity.training.loop import Epoch, train
from filter_sparsity.training.run import Progress, Settings, clock, train_run

CPU = torch.device("cpu")
SGD = {"optimizer": "sgd", "algorithm": "SGD", "rate": 0.1, "hyperparameters": {"momentum": 0.9}}


@pytest.fixture(scope="module")
def data(make_data):
    return make_data()


def test_a_run_leaves_its_weights_histories_and_origin(make_spec, data, tmp_path):
    from safetensors.torch import load_file

    spec = make_spec()
    folder = tmp_path / "seed2"
    train_run(spec, 2, data, folder, tmp_path / "checkpoints", Settings(CPU, history_points=3))
    assert {path.name for path in folder.iterdir()} == {*paths.TRAINED, "train.log"}
    model, history, affine = train(spec, 2, data, CPU, history_points=3)
    for key, value in load_file(folder / "weights.safetensors").items():
        assert torch.equal(value, model.state_dict()[key])
    lines = record.read_lines(folder / "history.csv")
    assert lines == [{k: float(v) for k, v in vars(epoch).items()} for epoch in history]
    kept = record.read_affine(folder / "affine.safetensors")
    for key, value in affine.tensors(spec.network.layers).items():
        assert np.array_equal(kept[key], value.numpy())
    origin = record.read_provenance(folder / "provenance.json", spec.id, 2)
    assert origin["spec"] == spec.to_dict()
    assert origin["data_digest"] == data.digest
    device, *epochs = (folder / "train.log").read_text().splitlines()
    assert device.startswith("device cpu: ")
    assert device.endswith(f", torch {torch.__version__}")
    assert len(epochs) == len(history) == 3


def test_the_files_of_a_run_are_the_same_bytes_twice(make_spec, data, tmp_path):
    runs = [tmp_path / str(i) for i in range(4)]
    for folder in runs:
        train_run(make_spec(), 0, data, folder, folder / "checkpoints", Settings(CPU, history_points=2)).clear()
    for name in ("weights.safetensors", "affine.safetensors", "history.csv"):
        assert len({(folder / name).read_bytes() for folder in runs}) == 1


def test_missing_provenance_is_found_before_the_first_step(make_spec, data, tmp_path, monkeypatch):
    def fails(device):
        raise RuntimeError("no provenance")

    monkeypatch.setattr(run, "collect_provenance", fails)
    monkeypatch.setattr(run.Training, "run", lambda *_: pytest.fail("it was trained first"))
    with pytest.raises(RuntimeError, match="no provenance"):
        train_run(make_spec(), 0, data, tmp_path / "run", tmp_path / "checkpoints", Settings(CPU))


def test_a_diverging_training_is_one_line_and_leaves_no_result(make_spec, data, tmp_path):
    spec = make_spec(**{**SGD, "rate": 1e30})
    with pytest.raises(UserError) as error:
        train_run(spec, 0, data, tmp_path / "run", tmp_path / "checkpoints", Settings(CPU, history_points=1))
    assert str(error.value).startswith(f"{spec.id}, seed 0: the training diverged in epoch 1")
    assert "\n" not in str(error.value)
    assert not {path.name for path in (tmp_path / "run").iterdir()} & {*paths.TRAINED}


def test_the_log_has_a_line_per_epoch(tmp_path):
    with (tmp_path / "log").open("w") as log:
        progress = Progress("a run", log)
        for i in (1, 2):
            progress(Epoch(i, 10 * i, 1.0, 0.51234, 0.6, 0.123), 2)
    first, second = (tmp_path / "log").read_text().splitlines()
    assert first.startswith("epoch 1/2  train loss 0.5123  test loss 0.6000  test error 12.3 %")
    assert second.startswith("epoch 2/2")
    assert second.endswith("0:00 left")


@pytest.mark.parametrize(("seconds", "written"), [(0, "0:00"), (65, "1:05"), (3725, "1:02:05"), (59.7, "1:00")])
def test_clock(seconds, written):
    assert clock(seconds) == written
