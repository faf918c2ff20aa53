"""Networks that people have: torchvision's, and timm's SelecSLS, which the paper's authors made."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest
import torch
from torch import nn

from filter_sparsity.data.torchvision_cpu import torchvision
from filter_sparsity.errors import UserError
from filter_sparsity.networks import measure, shrink
from helpers.own_networks import farthest, kill, masked, settle

X = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))


def create(name: str) -> nn.Module:
    models = torchvision().models
    torch.manual_seed(0)
    if name.startswith("selecsls"):
        import timm

        return timm.create_model(name, num_classes=10)
    model = getattr(models, name)(num_classes=10)
    if name == "vgg16_bn":  # its own head has 120 million parameters
        model.avgpool = nn.AdaptiveAvgPool2d(2)
        model.classifier = nn.Sequential(nn.Linear(512 * 2 * 2, 32), nn.ReLU(), nn.Linear(32, 10))
    return model


# A name; how many BatchNorms follow a convolution; a BatchNorm whose two dead filters can be removed; one whose cannot.
NETWORKS = [
    ("vgg16_bn", 13, "features.41", ""),
    ("resnet18", 20, "layer2.0.bn1", "layer2.0.bn2"),
    ("resnet50", 53, "layer1.0.bn2", "layer1.0.bn3"),
    ("mobilenet_v2", 52, "features.5.conv.1.1", "features.5.conv.3"),
    ("densenet121", 59, "features.denseblock1.denselayer2.norm2", ""),
    ("selecsls42", 41, "features.0.conv1.1", ""),
]


def test_a_network_that_torch_pruning_cannot_follow_is_said() -> None:
    with pytest.raises(UserError, match="Torch-Pruning cannot follow ShuffleNetV2"):
        shrink(create("shufflenet_v2_x0_5").eval(), X)


def test_a_wholly_dead_layer_keeps_one_filter() -> None:
    model = settle(create("resnet18"))
    kill(model, "layer2.1.bn1", slice(None))
    small, _ = shrink(model, X, latency_seconds=0)
    assert small.layer2[1].conv1.out_channels == small.layer2[1].conv2.in_channels == 1
    assert farthest(small, masked(model), X) < 1e-4


def test_frozen_batchnorm_replaced_as_the_page_says(root: Path) -> None:
    (code,) = re.findall(r"```python\n(for name, frozen.*?)```", (root / "docs/own_networks.md").read_text(), re.DOTALL)
    model = settle(create("resnet18"))
    convert = torchvision().ops.FrozenBatchNorm2d
    for name, norm in list(model.named_modules()):
        if isinstance(norm, nn.BatchNorm2d):
            frozen = convert(norm.num_features, eps=norm.eps)
            frozen.load_state_dict(norm.state_dict())
            model.set_submodule(name, frozen.eval())
    before = copy.deepcopy(model)
    with pytest.raises(UserError, match="bn1 is a FrozenBatchNorm2d"):
        measure(model, [X], progress=False)
    exec(code, {"model": model, "torch": torch, "torchvision": torchvision()})
    assert farthest(model, before, X) < 1e-5
    kill(model, "layer2.0.bn1", [1, 3])
    assert shrink(model, X, latency_seconds=0)[1].layers["removed"].sum() == 2


@pytest.mark.parametrize(("name", "layers", "removable", "summed"), NETWORKS)
def test_measured_and_shrunk(name: str, layers: int, removable: str, summed: str) -> None:
    torch.set_num_threads(1)
    model = settle(create(name))
    x = X[:, :, :32, :32] if name == "vgg16_bn" else X
    kill(model, removable, [1, 3])
    if summed:
        kill(model, summed, [0])
    table = measure(model, [x], progress=False)
    assert len(table) == layers + 1
    assert table.dead()[removable].sum() == 2
    assert table.loc["total", "flops"] > 0.4  # all; DenseNet: half, the other convolutions end in concatenations
    small, report = shrink(model, x, latency_seconds=0)
    rows = report.layers.set_index("norm")
    assert rows.loc[removable, "removed"] == 2
    if summed:
        assert rows.loc[summed, "kept_because"] == {"varies: another branch lives": 1}
    assert farthest(small, masked(model), torch.randn(x.shape, generator=torch.Generator().manual_seed(9))) < 1e-4
    assert report.after.parameters < report.before.parameters
