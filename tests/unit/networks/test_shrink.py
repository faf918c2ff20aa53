"""The failures that users of pruning libraries report most, each on a small network. Truth is the masked network."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from filter_sparsity.data.torchvision_cpu import torchvision
from filter_sparsity.errors import UserError
from filter_sparsity.networks import Report, measure, shrink
from helpers.own_networks import farthest, kill, masked, settle


def block(inputs: int, filters: int, kernel: int = 3, groups: int = 1, padding: int | None = None) -> nn.Sequential:
    conv = nn.Conv2d(
        inputs, filters, kernel, padding=kernel // 2 if padding is None else padding, groups=groups, bias=False
    )
    return nn.Sequential(conv, nn.BatchNorm2d(filters), nn.ReLU())


class Net(nn.Module):
    """Modules by name, and a forward that a test gives."""

    def __init__(self, forward, **modules: nn.Module) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        self.modules_ = nn.ModuleDict(modules)
        self.how = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.how(self.modules_, x)


def head(m: nn.ModuleDict, x: Tensor) -> Tensor:
    return m["head"](x.mean((2, 3)))


FrozenBatchNorm2d = torchvision().ops.FrozenBatchNorm2d
X = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(3))


def run(model: nn.Module, x: Tensor = X, **options: object) -> tuple[nn.Module, Report]:
    torch.set_num_threads(1)
    small, report = shrink(model, x, latency_seconds=0, **options)  # type: ignore[arg-type]
    if options.get("border") != "fold":
        other = torch.randn(x.shape, generator=torch.Generator().manual_seed(9))
        assert farthest(small, masked(model), other) < 1e-5
    return small, report


def kept(report: Report) -> str:
    return str(sorted({reason for each in report.layers["kept_because"] for reason in each}))


def stack(padding: int | None = None) -> nn.Module:
    return settle(
        nn.Sequential(
            *block(3, 8), *block(8, 6, padding=padding), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 5)
        )
    )


def test_silent_features_go_and_the_model_stays_as_it_was() -> None:
    model = stack()
    kill(model, "1", [1, 4, 5])
    before = copy.deepcopy(model.state_dict())
    small, report = run(model)
    assert small[0].out_channels == small[3].in_channels == 5
    assert report.layers["removed"].tolist() == [3, 0]
    assert report.after.parameters == report.before.parameters - 3 * (27 + 2 + 9 * 6)
    assert report.after.flops < report.before.flops
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_large_network_s_optimizer_cannot_train_the_small() -> None:
    model = stack()
    old = torch.optim.SGD(model.parameters(), lr=0.1)
    kill(model, "1", [1, 4, 5])
    small, _ = run(model)
    before = copy.deepcopy(small.state_dict())
    new = torch.optim.SGD(small.parameters(), lr=0.1)
    for optimizer, trains in ((old, False), (new, True)):
        small(X).square().sum().backward()
        optimizer.step()
        assert torch.equal(small[0].weight, before["0.weight"]) != trains
    assert torch.isfinite(small(X)).all()


def test_a_constant_is_folded_exactly_where_nothing_is_padded() -> None:
    model = stack(padding=0)
    kill(model, "1", [2, 3], beta=5.0)
    small, report = run(model)
    assert report.layers["removed"].tolist() == [2, 0]
    dropped = copy.deepcopy(model)
    kill(dropped, "1", [2, 3], beta=0.0, gamma=0.0)
    assert farthest(small, dropped, X) > 0.01  # the constant matters


def test_a_constant_before_padding_stays_or_changes_the_border() -> None:
    model = settle(nn.Sequential(*block(3, 8), nn.Conv2d(8, 4, 3, padding=1)))
    kill(model, "1", [2, 3], beta=5.0)
    small, report = run(model)
    assert small[0].out_channels == 8
    assert "border" in kept(report)
    small, report = run(model, border="fold")
    assert small[0].out_channels == 6
    apart = (small(X) - masked(model)(X)).abs()
    assert apart[:, :, 1:-1, 1:-1].max() < 1e-4 < 0.1 < apart.max()
    assert report.difference > 0.01


def test_a_constant_reaches_every_position_of_a_linear_layer() -> None:
    model = stack(padding=0)
    kill(model, "4", [0, 5], beta=2.0)
    small, _ = run(model)
    assert small[-1].in_features == 16


def test_a_convolution_without_batchnorm_gets_a_bias() -> None:
    model = settle(nn.Sequential(*block(3, 8), nn.Conv2d(8, 4, 1, bias=False)))
    kill(model, "1", [7], beta=2.0)
    small, _ = run(model)
    assert small[3].bias is not None


@pytest.mark.parametrize("both", [True, False])
def test_a_feature_before_a_sum_goes_if_both_branches_are_dead(both: bool) -> None:
    def forward(m: nn.ModuleDict, x: Tensor) -> Tensor:
        x = m["stem"](x)
        return head(m, torch.relu(m["norm"](m["conv"](x)) + x))

    model = settle(
        Net(forward, stem=block(3, 8), conv=nn.Conv2d(8, 8, 3, padding=1), norm=nn.BatchNorm2d(8), head=nn.Linear(8, 3))
    )
    kill(model, "modules_.norm", [1, 2])
    if both:
        kill(model, "modules_.stem.1", [1])
    small, report = run(model)
    assert small.modules_["stem"][0].out_channels == (7 if both else 8)
    assert "another branch" in kept(report)


def test_depthwise_convolutions_shrink_with_what_they_are_given() -> None:
    model = settle(nn.Sequential(*block(3, 8, 1), *block(8, 8, groups=8), nn.Conv2d(8, 4, 1)))
    kill(model, "1", [0, 1])
    kill(model, "4", [5])
    small, _ = run(model)
    assert small[3].groups == small[3].in_channels == small[6].in_channels == 5


def test_a_convolution_of_one_channel_is_not_depthwise() -> None:
    model = settle(nn.Sequential(*block(1, 1), *block(1, 6), nn.Conv2d(6, 2, 1)))
    kill(model, "4", [0])
    small, _ = run(model, X[:, :1])
    assert (small[3].in_channels, small[3].out_channels) == (1, 5)


def test_grouped_convolutions_lose_alike_from_each_group() -> None:
    model = settle(nn.Sequential(*block(3, 8), *block(8, 8, groups=2), nn.Conv2d(8, 4, 1)))
    kill(model, "1", [0, 1, 4])  # 0 and 4 are the first of their groups
    kill(model, "4", [3])
    small, report = run(model)
    assert small[3].in_channels == 6
    assert small[3].out_channels == 8
    assert "unequally" in kept(report)


def test_a_wholly_dead_layer_keeps_one_filter() -> None:
    model = stack()
    kill(model, "1", slice(None))
    small, report = run(model)
    assert small[0].out_channels == 1
    assert "last filter" in kept(report)


@pytest.mark.parametrize("twice", [True, False])
def test_concatenations(twice: bool) -> None:
    def forward(m: nn.ModuleDict, x: Tensor) -> Tensor:
        a, b = m["a"](x), m["b"](x)
        return head(m, torch.relu(m["last"](torch.cat([a, a] if twice else [a, b], 1))))

    model = settle(Net(forward, a=block(3, 4), b=block(3, 4), last=nn.Conv2d(8, 6, 1), head=nn.Linear(6, 3)))
    kill(model, "modules_.a.1", [1])
    if not twice:
        kill(model, "modules_.b.1", [0, 2])
    small, report = run(model)
    expected = 8 - report.layers["removed"].sum() * (2 if twice else 1)
    assert small.modules_["last"].in_channels == expected
    assert twice or expected == 5


def test_a_multiple_of_filters_stays() -> None:
    model = stack()
    kill(model, "1", [1, 4, 5])  # of 8
    small, report = run(model, multiple=2)
    assert small[0].out_channels == 6
    assert "multiple" in kept(report)
    assert run(model, multiple=8)[0][0].out_channels == 8


def test_features_that_are_the_output_stay() -> None:
    model = settle(nn.Sequential(*block(3, 8), *block(8, 4)))
    kill(model, "1", [0])
    kill(model, "4", [0])
    small, report = run(model)
    assert small(X).shape == model(X).shape
    assert report.layers["removed"].tolist() == [1, 0]
    assert "output" in kept(report)


def test_a_feature_behind_a_gate_goes_if_it_is_zero() -> None:
    def forward(m: nn.ModuleDict, x: Tensor) -> Tensor:
        x = m["stem"](x)
        return head(m, x * torch.sigmoid(m["gate"](x.mean((2, 3), keepdim=True))))

    model = settle(Net(forward, stem=block(3, 8), gate=nn.Conv2d(8, 8, 1), head=nn.Linear(8, 3)))
    kill(model, "modules_.stem.1", [1])
    kill(model, "modules_.stem.1", [2], beta=1.0)  # a constant times the gate varies
    _, report = run(model)
    assert report.layers["removed"].tolist() == [1]
    assert "another branch" in kept(report)


def test_what_is_mixed_over_channels_stays() -> None:
    def forward(m: nn.ModuleDict, x: Tensor) -> Tensor:
        return head(m, m["mix"](m["stem"](x)))

    model = settle(Net(forward, stem=block(3, 8), mix=nn.GroupNorm(2, 8), head=nn.Linear(8, 3)))
    kill(model, "modules_.stem.1", [1])
    _, report = run(model)
    assert report.layers["removed"].sum() == 0


def test_a_mean_over_channels_is_caught_by_the_check() -> None:
    def forward(m: nn.ModuleDict, x: Tensor) -> Tensor:
        x = m["stem"](x)
        return head(m, x * x.mean(1, keepdim=True))

    model = settle(Net(forward, stem=block(3, 8), head=nn.Linear(8, 3)))
    kill(model, "modules_.stem.1", [1])
    _, report = run(model)
    assert report.layers["removed"].sum() == 0
    assert "graph" in kept(report)


def test_batchnorm_before_the_convolution() -> None:
    def forward(m: nn.ModuleDict, x: Tensor) -> Tensor:
        x = m["first"](x)
        x = m["second"](torch.relu(m["norm"](x)))
        return head(m, x)

    model = settle(
        Net(forward, first=nn.Conv2d(3, 8, 3), norm=nn.BatchNorm2d(8), second=nn.Conv2d(8, 4, 3), head=nn.Linear(4, 3))
    )
    kill(model, "modules_.norm", [0, 3], beta=1.0)
    small, _ = run(model)
    assert small.modules_["first"].out_channels == 6


def test_forwards_that_depend_on_data_and_shared_modules() -> None:
    def forward(m: nn.ModuleDict, x: Tensor) -> Tensor:
        x = m["stem"](x)
        for _ in range(2 if x.sum() > -1e9 else 1):
            x = torch.relu(m["norm"](m["conv"](x)))
        return head(m, x)

    model = settle(
        Net(forward, stem=block(3, 8), conv=nn.Conv2d(8, 8, 3, padding=1), norm=nn.BatchNorm2d(8), head=nn.Linear(8, 3))
    )
    kill(model, "modules_.norm", [1, 2])
    kill(model, "modules_.stem.1", [1, 3])
    small, _ = run(model)
    assert small.modules_["conv"].in_channels == small.modules_["conv"].out_channels


def test_a_convolution_that_is_not_called_as_a_module_is_said() -> None:
    def forward(m: nn.ModuleDict, x: Tensor) -> Tensor:
        x = m["conv"](x) if not torch.is_grad_enabled() else nn.functional.conv2d(x, m["conv"].weight, m["conv"].bias)
        return head(m, m["last"](torch.relu(m["norm"](x))))

    model = settle(
        Net(
            forward, conv=nn.Conv2d(3, 8, 3, bias=False), norm=nn.BatchNorm2d(8), last=block(8, 4), head=nn.Linear(4, 3)
        )
    )
    kill(model, "modules_.norm", [1, 2])
    kill(model, "modules_.last.1", [3])
    _, report = run(model)
    assert report.layers.set_index("norm")["removed"].to_dict() == {"modules_.norm": 0, "modules_.last.1": 1}
    assert "2 kept: the dependency graph does not have" in str(report)


def test_the_sign_of_gamma_does_not_matter() -> None:
    model = stack()
    kill(model, "1", [0], gamma=-1e-5)
    model[1].weight.data[1] = -0.7
    assert run(model)[0][0].out_channels == 7


def test_frozen_layers_stay_frozen() -> None:
    model = stack().requires_grad_(False)
    model[-1].requires_grad_(True)
    kill(model, "1", [0])
    small, _ = run(model)
    assert small[0].out_channels == 7
    assert [p.requires_grad for p in small.parameters()] == [p.requires_grad for p in model.parameters()]
    assert not any(p.requires_grad for p in model[0].parameters())


def subnormal(x: Tensor) -> bool:
    return bool(((x != 0) & (x.abs() < torch.finfo(x.dtype).tiny)).any())


def test_nothing_is_subnormal_with_any_number_of_threads() -> None:
    """Rounded in the network: a processor's mode that flushes subnormal numbers is of one thread alone."""
    model = stack()
    kill(model, "1", [0], gamma=1e-41, beta=1e-42)
    model[3].weight.data[:, 1] = 1e-40
    model[4].running_mean[0] = 1e-39
    small, _ = run(model)
    assert not any(subnormal(value) for value in small.state_dict().values() if value.is_floating_point())

    def computes_subnormal(network: nn.Module) -> bool:
        found = []
        hooks = [m.register_forward_hook(lambda m, x, out: found.append(subnormal(out))) for m in network]
        network(X)
        for hook in hooks:
            hook.remove()
        return any(found)

    threads = torch.get_num_threads()
    try:
        for count in (1, 4):
            torch.set_num_threads(count)
            assert computes_subnormal(masked(model))
            assert not computes_subnormal(small)
    finally:
        torch.set_num_threads(threads)


def test_dead_by_activation() -> None:
    model = stack()
    kill(model, "1", [0, 6], gamma=0.5, beta=-100.0)
    dead = measure(model, [X], progress=False).dead("activation")
    assert np.flatnonzero(dead["1"]).tolist() == [0, 6]
    small, _ = shrink(model, X, criterion=dead, latency_seconds=0)
    assert small[0].out_channels == 6
    assert farthest(small, model, X) < 1e-5


def test_nothing_dead() -> None:
    small, report = run(stack())
    assert small[0].out_channels == 8
    assert "0 dead features of 14; 0 removed" in str(report)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda m: m.train(), "model.eval()"),
        (lambda m: torch.compile(m), "_orig_mod"),
        (lambda m: m[1].weight.data.fill_(torch.nan) is not None and m, "1.weight has values that are not finite"),
        (lambda m: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval(), "no convolution that a BatchNorm"),
        (lambda m: nn.Sequential(m, FrozenBatchNorm2d(8)).eval(), "1 is a FrozenBatchNorm2d"),
    ],
)
def test_models_that_cannot_be_used(spoil, said: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError, match=said.replace("(", r"\(").replace(")", r"\)")):
        shrink(spoil(stack()), X)


def test_bad_arguments() -> None:
    with pytest.raises(UserError, match=r"cannot compute an input of shape \(2, 4, 12, 12\)"):
        shrink(stack(), torch.zeros(2, 4, 12, 12))
    with pytest.raises(UserError, match="criterion"):
        shrink(stack(), X, criterion="norm")
    with pytest.raises(UserError, match="does not have"):
        shrink(stack(), X, criterion={"other": [True]})
    with pytest.raises(UserError, match="border"):
        shrink(stack(), X, border="drop")
    with pytest.raises(UserError, match="multiple is 0"):
        shrink(stack(), X, multiple=0)
    with pytest.raises(UserError, match="has 2 features of 1, which has 8"):
        shrink(stack(), X, criterion={"1": [True, False]})
