from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from filter_sparsity.errors import UserError
from filter_sparsity.networks import measure
from filter_sparsity.networks.table import Responses
from helpers.own_networks import kill, settle


def network() -> nn.Module:
    return settle(
        nn.Sequential(
            nn.Conv2d(3, 4, 3),
            nn.BatchNorm2d(4),
            nn.ReLU(inplace=True),
            nn.Conv2d(4, 6, 3),
            nn.BatchNorm2d(6),
            nn.Flatten(),
        )
    )


def test_the_table_of_a_network() -> None:
    model = network()
    kill(model, "1", [2])
    images = torch.randn(50, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    table = measure(model, [(images[:20], None), (images[20:], None)], progress=False)
    first = torch.relu(model[1](model[0](images))).detach()
    highest = first.amax((2, 3))
    expected = (highest > 1e-3 * highest.amax(0)).float().mean(0).numpy()
    features = table.features[table.features["layer"] == "0"]
    assert np.allclose(features["universality"], expected, atol=0.021)  # one image
    assert np.allclose(features["largest_activation"], highest.amax(0))
    assert table.loc["0", "sparsity_by_gamma"] == table.loc["0", "sparsity_by_activation"] == 0.25
    assert table.loc["total", "sparsity_by_gamma"] == 0.1
    assert table.loc["0", "parameters"] == pytest.approx((108 + 4) / sum(p.numel() for p in model.parameters()))
    flops = np.array([2 * 108 * 36, 2 * 216 * 16])
    assert np.allclose(table["flops"].iloc[:2], flops / flops.sum())
    assert table.loc["3", "sparsity_by_activation"] == 0


@pytest.mark.parametrize("between", [nn.MaxPool2d(2), nn.Dropout()])
def test_a_nonlinearity_behind_pooling(between: nn.Module) -> None:
    model = settle(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), between, nn.ReLU(), nn.Conv2d(4, 2, 1)))
    kill(model, "1", [2])
    table = measure(model, [torch.randn(9, 3, 8, 8)], progress=False)
    assert table.loc["0", "sparsity_by_activation"] == 0.25


def test_no_nonlinearity_follows_the_last() -> None:
    model = network()
    images = torch.randn(9, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    features = measure(model, [images], progress=False).features
    truth = model[:5](images).abs().amax((0, 2, 3)).detach().numpy()
    assert np.allclose(features.loc[features["layer"] == "3", "largest_activation"], truth)


@pytest.mark.parametrize("rising", [True, False])
def test_universality_in_one_pass_is_that_of_two(rising: bool) -> None:
    generator = torch.Generator().manual_seed(1)
    values = torch.exp(torch.randn(2000, 5, generator=generator) * 4)
    values = values.sort(0, descending=not rising).values
    values[:, 4] = 0
    responses = Responses(5, torch.device("cpu"))
    for part in values.split(130):
        responses.add(part, -part / 2)
    exact = (values > 1e-3 * values.amax(0)).double().mean(0).numpy()
    assert np.abs(responses.universality() - exact).max() < 0.003
    assert responses.universality()[4] == 0
    assert torch.equal(responses.largest, values.amax(0))


def test_markdown_and_picture() -> None:
    table = measure(network(), [torch.randn(3, 3, 8, 8)], progress=False)
    lines = table.to_markdown().splitlines()
    assert len(lines) == 5
    assert lines[0].startswith("| layer | filters | sparsity by gamma |")
    assert lines[-1].startswith("| total | 10 | 0.0 % |")
    pytest.importorskip("matplotlib").use("agg")
    axes = table.plot()
    assert axes.lines[0].get_label() == "sparsity by gamma"
    assert isinstance(table[["filters"]], pd.DataFrame)


def test_bad_input() -> None:
    with pytest.raises(UserError, match="the loader is empty"):
        measure(network(), [], progress=False)
    with pytest.raises(UserError, match="no convolution that a BatchNorm"):
        measure(nn.ReLU().eval(), [torch.randn(1, 3, 8, 8)], progress=False)
    with pytest.raises(UserError, match=r"cannot compute an input of shape \(1, 5, 8, 8\)"):
        measure(network(), [torch.randn(1, 5, 8, 8)], progress=False)
    with pytest.raises(UserError, match="must give tensors"):
        measure(network(), ["image"], progress=False)
    with pytest.raises(UserError, match="training mode"):
        measure(network().train(), [torch.randn(1, 3, 8, 8)], progress=False)
    with pytest.raises(UserError, match="not finite"):
        measure(network(), [torch.full((1, 3, 8, 8), torch.nan)], progress=False)
