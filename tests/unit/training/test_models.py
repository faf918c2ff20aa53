import dataclasses
import math
from pathlib import Path

import pytest
import torch
from torch import nn

from filter_sparsity.data.torchvision_cpu import torchvision
from filter_sparsity.planning.validation import read_yaml
from filter_sparsity.spec import Network
from filter_sparsity.training.fast_conv import convolve
from filter_sparsity.training.models import build


def parameters(modules):
    return sum(p.numel() for module in modules for p in module.parameters())


@pytest.fixture(scope="module")
def paper_networks(paper_settings, make_spec):
    """The three networks as the recipe gives them at published width."""
    facts = read_yaml(Path(paper_settings["experiments"]["recipe"]))["networks"]
    networks = {}
    for name, fact in facts.items():
        values = {k: v["value"] for k, v in fact.items()}
        network = Network(name, **{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
        networks[name] = make_spec(network=network)
    return networks


def test_basicnet_has_the_printed_convolutional_parameters(paper_plan):
    model = build(next(iter(paper_plan.specs.values())), channels=3, side=32, classes=10)
    assert parameters(model.convs) == 4_649_664  # header of Table 1
    assert [norm.num_features for norm in model.norms] == [64, 128, 128, 256, 256, 512, 512]
    # the head sees the mean of each of C7's 512 features, whatever the side of the images
    assert parameters(model.head) == (512 * 256 + 256) + (256 * 10 + 10)
    assert parameters(model.head_norms) == 2 * 256
    larger = build(next(iter(paper_plan.specs.values())), channels=3, side=64, classes=10)
    assert parameters([larger]) == parameters([model])


@pytest.mark.parametrize("name", ["vgg16", "vgg11"])
def test_vgg_is_torchvisions_feature_stack(paper_networks, name):
    vision = torchvision()
    with torch.device("meta"):
        theirs = getattr(vision.models, f"{name}_bn")().features
    ours = build(paper_networks[name], channels=3, side=32, classes=10)
    for kind, stack in ((nn.Conv2d, ours.convs), (nn.BatchNorm2d, ours.norms)):
        shapes = [[tuple(p.shape) for p in m.parameters()] for m in theirs if isinstance(m, kind)]
        assert [[tuple(p.shape) for p in m.parameters()] for m in stack] == shapes
    # and the poolings stand at the same places
    pools, convs = [], 0
    for module in theirs:
        convs += isinstance(module, nn.Conv2d)
        if isinstance(module, nn.MaxPool2d):
            pools.append(convs)
            assert (module.kernel_size, module.stride) == (2, 2)
    assert sorted(ours.pool_after) == pools


def test_vgg_computes_what_torchvisions_features_compute(paper_networks):
    theirs = torchvision().models.vgg11_bn(init_weights=False).features.eval()
    network = paper_networks["vgg11"]
    ours = build(network, channels=3, side=32, classes=10).eval()
    for kind, stack in ((nn.Conv2d, ours.convs), (nn.BatchNorm2d, ours.norms)):
        for source, target in zip((m for m in theirs if isinstance(m, kind)), stack, strict=True):
            target.load_state_dict(source.state_dict())
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(ours(images), ours.classify(theirs(images)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("negative_slope", [0, 0.01, 0.1])
@pytest.mark.parametrize("facts", [{}, {"pool": "average"}, {"hidden_norm": True}, {"head_pool": "average"}])
@pytest.mark.parametrize("training", [False, True])
def test_the_order_is_convolution_norm_activation_pooling(
    make_spec, make_model, plain, negative_slope, facts, training
):
    network = dataclasses.replace(make_spec().network, **facts)
    spec = make_spec(negative_slope=negative_slope, network=network)
    model = make_model(spec, channels=3, side=9).train(training)  # an odd side: pooling drops a row and a column
    reference, _ = plain(spec, model)
    images = torch.randn(6, 3, 9, 9, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(model(images), reference(images), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("negative_slope", [0, 0.1])
@pytest.mark.parametrize("training", [False, True])
def test_gradients_are_those_of_the_published_order(make_spec, make_model, plain, negative_slope, training):
    spec = make_spec(negative_slope=negative_slope)
    model = make_model(spec, channels=3, side=8).train(training)
    reference, _ = plain(spec, model)
    images = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    model(images).square().sum().backward()
    reference(images).square().sum().backward()
    norms = [m for m in reference if isinstance(m, nn.BatchNorm2d)]
    for ours, theirs in zip(model.norms, norms, strict=True):
        torch.testing.assert_close(ours.weight.grad, theirs.weight.grad, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(ours.bias.grad, theirs.bias.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("gamma_init", "beta_init"), [(1, 0), (1, -0.1), (1, 1.0), (0.5, 0)])
def test_gammas_and_betas_start_where_the_spec_says(make_spec, gamma_init, beta_init):
    model = build(make_spec(gamma_init=gamma_init, beta_init=beta_init), 3, 8, 3)
    for norm in model.norms:
        assert torch.equal(norm.weight, torch.full_like(norm.weight, gamma_init))
        assert torch.equal(norm.bias, torch.full_like(norm.bias, beta_init))


def test_weights_are_xavier_uniform_with_the_gain_for_relu(make_spec):
    network = dataclasses.replace(make_spec().network, filters=(40, 50, 60), hidden=(70,), conv_bias=True)
    torch.manual_seed(0)
    model = build(make_spec(network=network), channels=3, side=8, classes=10)
    areas = [25, 9, 9, 1, 1]
    for layer, area in zip([*model.convs, *model.head], areas, strict=True):
        outputs, inputs = layer.weight.shape[:2]
        # Glorot and Bengio: uniform on +-a with a = sqrt(6 / (fan in + fan out)), times sqrt(2) for ReLU
        bound = math.sqrt(2) * math.sqrt(6 / (area * (inputs + outputs)))
        largest = layer.weight.abs().max().item()
        assert 0.98 * bound < largest <= bound
        assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.06)
        assert torch.count_nonzero(layer.bias) == 0


def test_a_head_of_torchs_own_initialisation(make_spec):
    """torch's nn.Linear: weights and biases uniform on +-1 / sqrt(fan in); the convolutions stay Xavier's."""
    network = dataclasses.replace(make_spec().network, filters=(40, 50, 60), hidden=(70,))
    built = {}
    for init in ("xavier", "torch"):
        torch.manual_seed(0)
        built[init] = build(make_spec(network=dataclasses.replace(network, head_init=init)), 3, 8, 10)
    for layer in built["torch"].head:
        bound = 1 / math.sqrt(layer.in_features)
        assert 0.9 * bound < layer.weight.abs().max().item() <= bound
        assert 0 < layer.bias.abs().max().item() <= bound
    for layer in built["torch"].convs:
        area = layer.kernel_size[0] ** 2
        bound = math.sqrt(12 / (area * (layer.in_channels + layer.out_channels)))
        assert 0.98 * bound < layer.weight.abs().max().item() <= bound


def test_the_seed_decides_the_weights(make_spec):
    def weights(seed):
        torch.manual_seed(seed)
        return build(make_spec(), 3, 8, 3).convs[0].weight

    assert torch.equal(weights(3), weights(3))
    assert not torch.equal(weights(3), weights(4))


def test_weights_do_not_depend_on_what_else_a_spec_says(make_spec):
    def weights(**changes):
        torch.manual_seed(0)
        return torch.cat([p.flatten() for n, p in build(make_spec(**changes), 3, 8, 3).named_parameters()
                          if "norms" not in n])  # fmt: skip

    changed = weights(optimizer="sgd", algorithm="SGD", negative_slope=0.1, beta_init=1.0, strength=0.5)
    assert torch.equal(weights(), changed)


@pytest.mark.parametrize(("side", "kernel"), [(4, 3), (3, 3), (2, 3), (1, 3), (4, 5), (2, 1)])
def test_small_map_convolutions_match_torch_and_its_gradients(side, kernel):
    torch.manual_seed(0)
    conv = nn.Conv2d(6, 5, kernel, padding=kernel // 2, bias=False).double().to(memory_format=torch.channels_last)
    x = torch.randn(7, 6, side, side).double().contiguous(memory_format=torch.channels_last).requires_grad_()
    wanted = torch.randn(7, 5, side, side).double()
    found = []
    for output in (conv(x), convolve(conv, x)):
        found.append((output, *torch.autograd.grad(output, (x, conv.weight), wanted)))
    for theirs, ours in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs)
        assert ours.stride() == theirs.stride()  # fused optimizers read a gradient by the weight's strides
    assert type(convolve(conv, x).grad_fn).__name__ == "SmallMapConvBackward"
