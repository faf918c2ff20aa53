"""Training against a second loop, written plainly: an nn.Sequential, uint8 batches, torch.optim, L2 added by hand."""

import itertools

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from filter_sparsity.data.torchvision_cpu import torchvision
from filter_sparsity.errors import UserError
from filter_sparsity.training.loaders import ArrayLoader
from filter_sparsity.training.loop import evaluate, train
from filter_sparsity.training.models import build
from filter_sparsity.training.optim import Update, param_groups
from helpers.loader_iteration import all_of, epoch

CPU = torch.device("cpu")
SGD = {"optimizer": "sgd", "algorithm": "SGD", "rate": 0.1, "hyperparameters": {"momentum": 0.9}}


@pytest.fixture(scope="module")
def data(make_data):
    return make_data()  # 50 images: 6 batches of 8 an epoch, 2 images left out


def normalised(data, images):
    """Images as the network sees them, computed per batch from bytes."""
    pixels = images.astype(np.float64) / 255
    mean, deviation = (np.array(v)[:, None, None] for v in (data.mean, data.deviation))
    return torch.from_numpy((pixels - mean) / deviation).float()


def per_sample(data, images):
    """Images as torchvision's transforms make them, one by one, in double precision."""
    transforms = torchvision().transforms
    change = transforms.Compose([transforms.ToTensor(), transforms.Normalize(data.mean, data.deviation)])
    return torch.stack([change(Image.fromarray(image.transpose(1, 2, 0)).copy()).double() for image in images])


def second_loop(spec, seed, data, plain, inputs=normalised):
    """What the design says a training is, with nothing of `train` but the initial weights."""
    torch.manual_seed(seed)
    shape = data.images["train"].shape
    network, _ = plain(spec, build(spec, shape[1], shape[2], len(data.classes)))
    network.double() if inputs is per_sample else network.float()
    generator = torch.Generator().manual_seed(seed)
    weights = list(network.parameters())
    if spec.algorithm == "SGD":
        optimizer = torch.optim.SGD(weights, lr=0.1, momentum=0.9, foreach=False)
    else:
        optimizer = torch.optim.Adam(weights, lr=1e-3, betas=(0.9, 0.99), eps=1e-8, foreach=False)
    base, count, size = optimizer.param_groups[0]["lr"], shape[0], spec.batch_size
    losses, start = [], count  # an epoch begins when no whole batch is left
    for step in range(sum(spec.phase_steps)):
        if start + size > count:
            order, start = torch.randperm(count, generator=generator).numpy(), 0
            flips = torch.randint(2, (count,), generator=generator).numpy() if spec.flip else np.zeros(count)
            losses.append([])
        chosen = order[start : start + size]
        start += size
        pixels = data.images["train"][chosen].copy()
        for i, image in enumerate(chosen):
            if flips[image]:
                pixels[i] = pixels[i, :, :, ::-1]
        factor = 1 if step < spec.phase_steps[0] else spec.rate_decay
        optimizer.param_groups[0]["lr"] = base * factor
        optimizer.zero_grad()
        loss = F.cross_entropy(network(inputs(data, pixels)), torch.from_numpy(data.labels["train"][chosen]))
        loss.backward()
        with torch.no_grad():
            for weight in weights:
                if spec.regularizer == "l2":
                    weight.grad += spec.strength * weight
            optimizer.step()
            for weight in weights:
                if spec.regularizer == "wd":
                    weight *= 1 - spec.strength * factor
        losses[-1].append(loss.item())
    return network, losses


@pytest.mark.parametrize(
    "changes",
    [
        {**SGD, "strength": 1e-2},
        {**SGD, "regularizer": "wd", "strength": 1e-2, "flip": False},
        {"strength": 1e-2},
        {"regularizer": "wd", "strength": 1e-2, "negative_slope": 0.1},
        {"regularizer": "none", "strength": 0, "beta_init": -0.1, "flip": False},
    ],
    ids=["sgd l2", "sgd wd", "adam l2", "adam wd leaky", "adam none"],
)
def test_a_second_plain_loop_agrees(make_spec, data, plain, changes):
    spec = make_spec(**changes)
    model, history, _ = train(spec, 3, data, CPU, history_points=1)
    network, losses = second_loop(spec, 3, data, plain)
    ours, _ = plain(spec, model)
    theirs = network.state_dict()
    for key, value in ours.state_dict().items():
        if "num_batches" not in key:
            torch.testing.assert_close(value, theirs[key], rtol=1e-4, atol=1e-4)
    assert [epoch.train_loss for epoch in history] == pytest.approx([np.mean(each) for each in losses], abs=1e-4)
    with torch.no_grad():
        logits = network.eval()(normalised(data, data.images["test"])).numpy()
    labels = data.labels["test"]
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert history[-1].test_loss == pytest.approx(-np.log(chances[range(20), labels]).mean(), abs=1e-4)
    assert history[-1].test_error == pytest.approx((logits.argmax(1) != labels).mean())


@pytest.mark.parametrize("changes", [{**SGD, "strength": 1e-2}, {"strength": 1e-2}], ids=["sgd", "adam"])
def test_a_plain_loop_in_double_precision_has_the_same_losses(make_spec, data, plain, changes):
    """Each image through torchvision's transforms, everything float64: rounding is all that differs."""
    spec = make_spec(**changes)
    _, history, _ = train(spec, 3, data, CPU, history_points=1)
    _, losses = second_loop(spec, 3, data, plain, per_sample)
    assert [epoch.train_loss for epoch in history] == pytest.approx([np.mean(each) for each in losses], rel=2e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("changes", [{**SGD, "strength": 1e-2}, {"strength": 1e-2}, {"regularizer": "wd"}])
def test_a_captured_step_computes_what_an_uncaptured_one_does(make_spec, data, monkeypatch, changes):
    device = torch.device("cuda")
    spec = make_spec(phase_steps=(20, 10), **changes)
    captured, history, _ = train(spec, 0, data, device, 1)
    monkeypatch.setattr("filter_sparsity.training.loop.WARM_UP", spec.steps)  # so that nothing is captured
    eager, again, _ = train(spec, 0, data, device, 1)
    for key, value in captured.state_dict().items():
        torch.testing.assert_close(value, eager.state_dict()[key])
    assert [e.train_loss for e in history] == pytest.approx([e.train_loss for e in again], rel=1e-5)


def test_one_spec_and_seed_give_the_same_bits_twice(make_spec, data):
    (one, history, affine), (two, again, kept) = (train(make_spec(), 1, data, CPU, 5) for _ in range(2))
    for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert history == again
    layers = make_spec().network.layers
    for a, b in zip(affine.tensors(layers).values(), kept.tensors(layers).values(), strict=True):
        assert torch.equal(a, b)


def test_seeds_differ(make_spec, data):
    (one, history, _), (two, other, _) = (train(make_spec(), seed, data, CPU, 1) for seed in (0, 1))
    assert not torch.equal(one.convs[0].weight, two.convs[0].weight)
    assert history[0].train_loss != other[0].train_loss


@pytest.mark.parametrize(
    ("seed", "first"),
    [(0, [4, 5, 13, 19, 7, 14, 3, 6, 9, 17, 11, 2]), (1, [5, 13, 2, 11, 19, 18, 1, 9, 4, 7, 0, 14])],
)
def test_the_data_order_of_a_seed_is_pinned(make_data, seed, first):
    data = make_data(train=20)
    images = ArrayLoader(data, "train", CPU, flip=True)
    images.labels = torch.arange(20)  # so that labels tell which images came
    batches = epoch(images, 4, torch.Generator().manual_seed(seed))
    seen = torch.cat([labels for _, labels in batches]).tolist()
    assert seen[:12] == first
    assert seen == torch.randperm(20, generator=torch.Generator().manual_seed(seed)).tolist()


def test_an_epoch_has_whole_batches_and_no_image_twice(data):
    images = ArrayLoader(data, "train", CPU, flip=False)
    images.labels = torch.arange(50)
    generator = torch.Generator().manual_seed(0)
    epochs = [[labels.tolist() for _, labels in epoch(images, 8, generator)] for _ in range(2)]
    for batches in epochs:
        assert [len(batch) for batch in batches] == [8] * 6
        assert len({i for batch in batches for i in batch}) == 48
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize("split", ["train", "test"])
def test_images_are_normalised_by_the_training_images(data, split):
    images = all_of(ArrayLoader(data, split, CPU, flip=False))
    torch.testing.assert_close(images.contiguous(), normalised(data, data.images[split]), rtol=0, atol=2e-6)
    if split == "train":
        assert images.mean((0, 2, 3)).tolist() == pytest.approx([0] * 3, abs=1e-5)
        assert images.std((0, 2, 3), correction=0).tolist() == pytest.approx([1] * 3, abs=1e-5)


def test_a_pass_that_begins_later_goes_on_with_the_same_batches(data):
    images = ArrayLoader(data, "train", CPU, flip=True)
    whole = list(epoch(images, 8, torch.Generator().manual_seed(5)))
    images.shuffle(8, torch.Generator().manual_seed(5), first=4)
    for i in (4, 5):
        images.load(i)
        for ours, theirs in zip(images.batch(), whole[i], strict=True):
            assert torch.equal(ours, theirs)


def test_about_half_the_images_come_flipped_each_epoch_anew(make_data):
    data = make_data(train=400, side=4)
    images = ArrayLoader(data, "train", CPU, flip=True)
    straight = all_of(images)
    labels, images.labels = images.labels, torch.arange(400)
    generator = torch.Generator().manual_seed(0)
    flipped = []
    for _ in range(2):
        which = torch.zeros(400, dtype=torch.bool)
        for batch, chosen in epoch(images, 40, generator):
            same = (batch == straight[chosen]).all((1, 2, 3))
            mirrored = (batch == straight[chosen].flip(-1)).all((1, 2, 3))
            assert (same ^ mirrored).all()
            which[chosen] = mirrored
        flipped.append(which)
        assert 160 < which.sum() < 240  # 4 standard deviations
    assert not torch.equal(*flipped)
    assert len(labels) == 400


def test_without_flips_no_image_is_flipped(data):
    images = ArrayLoader(data, "train", CPU, flip=False)
    straight = all_of(images)
    images.labels = torch.arange(50)
    for batch, chosen in epoch(images, 10, torch.Generator().manual_seed(0)):
        assert torch.equal(batch, straight[chosen])


@pytest.mark.parametrize(("points", "steps"), [(5, [0, 3, 6, 9, 12, 15]), (15, list(range(16))), (1, [0, 15]),
                                               (4, [0, 4, 8, 11, 15]), (100, list(range(16)))])  # fmt: skip
def test_gammas_and_betas_are_kept_evenly_from_first_to_last(make_spec, data, points, steps):
    spec = make_spec(gamma_init=0.75, beta_init=-0.25)
    model, _, affine = train(spec, 0, data, CPU, history_points=points)
    kept = affine.tensors(spec.network.layers)
    assert kept["step"].tolist() == steps
    assert set(kept) == {"step", *(f"{part}_C{i}" for part in ("gamma", "beta") for i in (1, 2, 3))}
    for i, norm in enumerate(model.norms, start=1):
        assert kept[f"gamma_C{i}"].shape == (len(steps), spec.network.filters[i - 1])
        assert set(kept[f"gamma_C{i}"][0].tolist()) == {0.75}
        assert set(kept[f"beta_C{i}"][0].tolist()) == {-0.25}
        assert torch.equal(kept[f"gamma_C{i}"][-1], norm.weight)
        assert torch.equal(kept[f"beta_C{i}"][-1], norm.bias)
        assert not torch.equal(kept[f"gamma_C{i}"][0], kept[f"gamma_C{i}"][-1])


@pytest.mark.parametrize("phase_steps", [(4, 3), (6, 6), (1, 12), (7, 1)])
def test_the_rate_drops_at_the_published_step(make_spec, data, phase_steps):
    """With a decay of 0 everything stands still from the drop on."""
    spec = make_spec(phase_steps=phase_steps, rate_decay=0, **SGD)
    _, _, affine = train(spec, 0, data, CPU, history_points=sum(phase_steps))
    gammas = affine.tensors(spec.network.layers)["gamma_C2"]
    moves = [not torch.equal(a, b) for a, b in itertools.pairwise(gammas)]
    assert moves == [True] * phase_steps[0] + [False] * phase_steps[1]


def test_epochs_steps_and_rate_factors_of_the_history(make_spec, data):
    reported = []
    _, history, _ = train(make_spec(phase_steps=(6, 6, 3)), 0, data, CPU, 1, lambda *line: reported.append(line))
    assert [(epoch.epoch, epoch.step) for epoch in history] == [(1, 6), (2, 12), (3, 15)]
    assert [epoch.rate_factor for epoch in history] == pytest.approx([1, 0.1, 0.01])
    assert reported == [(epoch, 3) for epoch in history]


def test_training_learns(make_spec, data):
    """Blobs told apart by their mean level; chance is an error of 2/3."""
    _, history, _ = train(make_spec(phase_steps=(60, 30), rate=1e-2), 0, data, CPU, 1)
    assert history[-1].train_loss < 0.5 * history[0].train_loss
    assert history[-1].test_error < 0.2


def test_evaluation_is_a_plain_loop_over_all_images(make_spec, make_model, digits, plain):
    spec = make_spec()
    model = make_model(spec, channels=1, side=16, classes=10).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    images = ArrayLoader(digits, "train", CPU, flip=True)  # 1,442 images: more than one batch
    loss, error = evaluate(model, images)
    network, _ = plain(spec, model)
    network.eval()
    losses, wrong = [], []
    with torch.no_grad():
        for image, label in zip(digits.images["train"], digits.labels["train"], strict=True):
            logits = network(normalised(digits, image[None]))[0].double()
            losses.append((logits.logsumexp(0) - logits[label]).item())
            wrong.append(logits.argmax().item() != label)
    assert loss == pytest.approx(np.mean(losses), rel=1e-5)
    assert error == np.mean(wrong)
    assert model.training
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])


def test_update_and_train_agree_on_the_start(make_spec):
    """No schedule step is due at step 0 that would change the base rate."""
    spec = make_spec(rate=0.5)
    update = Update(spec, param_groups(spec, build(spec, 3, 8, 3)))
    assert [group["lr"] for group in update.optimizer.param_groups] == [0.5]


def test_a_batch_larger_than_the_data_is_refused(make_spec, data):
    with pytest.raises(UserError, match=r"\Athe mini-batch of 51 is more than the 50 images of blobs\Z"):
        train(make_spec(batch_size=51), 0, data, CPU, 1)


def test_the_reference_network_is_another_one(make_spec, make_model, plain):
    """So that the comparison above compares two things."""
    network, _ = plain(make_spec(), make_model(make_spec(), 3, 8))
    kinds = [type(module) for module in network]
    assert kinds[:4] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d]
