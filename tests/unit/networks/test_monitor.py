from __future__ import annotations

import copy
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn

import filter_sparsity
from filter_sparsity.errors import UserError
from helpers.own_networks import kill


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8))


def test_a_line_a_step_and_a_file_is_continued(tmp_path: Path) -> None:
    model = network()
    monitor = filter_sparsity.Monitor(model, tmp_path / "a" / "sparsity.csv")
    assert monitor.step() == 0
    kill(model, "1", [0, 1, 2], gamma=-1e-4)
    assert monitor.step() == 0.25
    filter_sparsity.Monitor(nn.DataParallel(model), tmp_path / "a" / "sparsity.csv").step()
    lines = pd.read_csv(tmp_path / "a" / "sparsity.csv")
    assert lines["step"].tolist() == [0, 1, 2]
    assert lines["1"].tolist() == [0, 0.75, 0.75]
    assert lines["3"].tolist() == [0, 0, 0]


def test_tensorboard(tmp_path: Path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    model = network()
    monitor = filter_sparsity.Monitor(model, tensorboard=tmp_path)
    monitor.step()
    kill(model, "1", [0, 1, 2])
    monitor.step()
    written = events.EventAccumulator(str(tmp_path)).Reload()
    assert [(e.step, e.value) for e in written.Scalars("sparsity by gamma/total")] == [(0, 0), (1, 0.25)]
    assert [e.value for e in written.Scalars("sparsity by gamma/1")] == [0, 0.75]


def test_bad_input(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no BatchNorm"):
        filter_sparsity.Monitor(nn.Conv2d(3, 4, 3))
    model = network()
    filter_sparsity.Monitor(model, tmp_path / "s.csv")
    with pytest.raises(UserError, match="not of this network"):
        filter_sparsity.Monitor(copy.deepcopy(model)[:2], tmp_path / "s.csv")
    model[1].weight.data[0] = torch.nan
    with pytest.raises(UserError, match="diverged"):
        filter_sparsity.Monitor(model).step()
