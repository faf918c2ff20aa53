"""Removing features against zeroing them by hooks in an independent network, and against counts by hand."""

import dataclasses

import pytest
import torch

from filter_sparsity import sparsity
from filter_sparsity.measuring.prune import mask, remove
from filter_sparsity.spec import Network

BASICNET = Network("basicnet", (3, 4, 4, 6, 6, 8, 8), (5, 3, 3, 3, 3, 3, 3), (1, 3, 5, 7), False, (7,))
VGG11 = Network("vgg11", (3, 4, 5, 5, 6, 6, 7, 7), (3,) * 8, (1, 2, 4, 6, 8), True, (7,))
VGG16 = Network("vgg16", (3, 3, 4, 4, 5, 5, 5, 6, 6, 6, 7, 7, 7), (3,) * 13, (2, 4, 7, 10, 13), True, (6, 5))
VARIED = dataclasses.replace(BASICNET, name="varied", pool="average", hidden_norm=True)
MEANS = dataclasses.replace(BASICNET, name="means", pool_after=(1, 3, 5), head_pool="average", hidden_norm=True)
NETWORKS = {network.name: network for network in (BASICNET, VGG11, VGG16, VARIED, MEANS)}
PATTERNS = {  # which filters of which layers (from 0) are dead; "all" of a layer's, -1 the last layer
    "none": {},
    "first filter of the first layer": {0: [0]},
    "some everywhere": {layer: [0, 2] for layer in range(7)},
    "some of the last layer": {-1: [1, 3, 6]},
    "all but one": {2: [0, 1, 2]},
    "a whole layer": {3: "all"},
    "the whole first layer": {0: "all"},
    "the whole last layer": {-1: "all", 1: [0]},
    "two whole layers in a row": {2: "all", 3: "all"},
}


def dead_filters(network, pattern):
    dead = [torch.zeros(filters, dtype=torch.bool) for filters in network.filters]
    for layer, which in pattern.items():
        dead[layer][slice(None) if which == "all" else which] = True
    return dead


def zeroed(network, activations, dead):
    """The independent network with hooks that set dead features to zero after their activation."""
    for place, gone in zip(activations, dead, strict=True):
        network[place].register_forward_hook(lambda m, i, out, gone=gone: out * ~gone[None, :, None, None])
    return network


def images(channels, side, n=4):
    return torch.randn(n, channels, side, side, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("negative_slope", [0, 0.1])
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("name", NETWORKS)
def test_removed_masked_and_zeroed_networks_agree(make_spec, make_model, plain, name, pattern, negative_slope):
    network = NETWORKS[name]
    spec = make_spec(network=network, negative_slope=negative_slope)
    model = make_model(spec, channels=3, side=32, classes=5)
    dead = dead_filters(network, PATTERNS[pattern])
    x = images(3, 32)
    with torch.no_grad():
        wanted = zeroed(*plain(spec, model), dead)(x)
        torch.testing.assert_close(remove(model, dead).eval()(x), wanted, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(mask(model, dead).eval()(x), wanted, rtol=1e-4, atol=1e-5)
        if pattern != "none":
            assert not torch.allclose(model(x), wanted, rtol=1e-3, atol=1e-4)


def test_the_original_is_left_as_it_was(make_spec, make_model):
    spec = make_spec(network=BASICNET)
    model = make_model(spec, channels=3, side=16)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    dead = dead_filters(BASICNET, {0: [1], 3: "all", -1: [0]})
    for fold in (False, True):
        remove(model, dead, fold=fold)
    mask(model, dead)
    assert before.keys() == model.state_dict().keys()
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])


@pytest.mark.parametrize("pattern", [p for p in PATTERNS if "whole" not in p])  # those layers keep one filter
@pytest.mark.parametrize("name", NETWORKS)
def test_the_parameters_that_went_are_those_counted(make_spec, make_model, name, pattern):
    network = NETWORKS[name]
    model = make_model(make_spec(network=network), channels=3, side=32)
    dead = dead_filters(network, PATTERNS[pattern])
    small = remove(model, dead)
    before, after = (sum(p.numel() for p in m.convs.parameters()) for m in (model, small))
    shares = [d.float().mean().item() for d in dead]
    counted = sparsity.params_pruned(shares, network.filters, network.kernels, 3, network.conv_bias)
    assert 1 - after / before == pytest.approx(counted, abs=1e-7)
    assert [norm.num_features for norm in small.norms] == [int((~d).sum()) for d in dead]


def test_a_whole_dead_layer_keeps_one_filter(make_spec, make_model):
    model = make_model(make_spec(network=BASICNET), channels=3, side=16)
    small = remove(model, dead_filters(BASICNET, {3: "all"}))
    assert [conv.out_channels for conv in small.convs] == [3, 4, 4, 1, 6, 8, 8]


def constant_features(model, dead, beta):
    """Gamma exactly 0: the feature is the constant activation(beta)."""
    for norm, gone in zip(model.norms, dead, strict=True):
        norm.weight.data[gone] = 0
        norm.bias.data[gone] = beta


@pytest.mark.parametrize(("negative_slope", "beta"), [(0, 0.7), (0.1, 0.7), (0.1, -0.7), (0, -0.7)])
@pytest.mark.parametrize(
    "pattern", ["some everywhere", "a whole layer", "the whole last layer", "two whole layers in a row"]
)
def test_folding_is_exact_where_nothing_is_padded(make_spec, make_model, plain, pattern, negative_slope, beta):
    network = dataclasses.replace(BASICNET, kernels=(1,) * 7, conv_bias=True)
    spec = make_spec(network=network, negative_slope=negative_slope)
    model = make_model(spec, channels=3, side=32)  # 2x2 maps before the head
    dead = dead_filters(network, PATTERNS[pattern])
    constant_features(model, dead, beta)
    x = images(3, 32)
    with torch.no_grad():
        wanted = plain(spec, model)[0](x)
        torch.testing.assert_close(remove(model, dead, fold=True).eval()(x), wanted, rtol=1e-4, atol=1e-5)
        silent = beta < 0 and not negative_slope  # a constant 0 needs no folding
        assert torch.allclose(remove(model, dead).eval()(x), wanted, rtol=1e-3, atol=1e-3) == silent


def test_folding_is_exact_inside_a_padded_map(make_spec, make_model):
    network = Network("two", (4, 6), (3, 5), (), False, (5,))
    model = make_model(make_spec(network=network), channels=2, side=12)
    dead = dead_filters(network, {0: [1, 3]})
    constant_features(model, dead, 0.9)
    small = remove(model, dead, fold=True).eval()

    def second(m, x):
        for conv, norm in zip(m.convs, m.norms, strict=True):
            x = m.activation(norm(conv(x)))
        return x

    with torch.no_grad():
        ours, wanted = (second(m, images(2, 12)) for m in (small, model))
    torch.testing.assert_close(ours[..., 2:-2, 2:-2], wanted[..., 2:-2, 2:-2], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(ours, wanted, atol=1e-2)  # the border differs, as the docstring says


@pytest.mark.parametrize("network", [BASICNET, MEANS], ids=["positions", "means"])
def test_folding_into_the_head_is_exact(make_spec, make_model, network):
    model = make_model(make_spec(network=network), channels=3, side=32)
    dead = dead_filters(network, {-1: [0, 5, 7]})
    constant_features(model, dead, 1.3)
    x = images(3, 32)
    with torch.no_grad():
        torch.testing.assert_close(remove(model, dead, fold=True).eval()(x), model(x), rtol=1e-4, atol=1e-5)
