"""Updates against the published rules, written here again in numpy and float64."""

from inspect import signature
from pathlib import Path

import numpy as np
import pytest
import torch

from filter_sparsity.errors import UserError
from filter_sparsity.planning.validation import read_yaml
from filter_sparsity.training.models import build
from filter_sparsity.training.optim import Update, decay, decay_floor, make_optimizer, param_groups


# Each rule gives the step that is then multiplied by the learning rate. Constants: design facts of the paper
# (momentum 0.9; Adam's 0.9, 0.99, 1e-8), otherwise those of torch's documentation.
def sgd():
    v = 0

    def step(g, t):
        nonlocal v
        v = 0.9 * v + g
        return v

    return step


def adam(amsgrad=False):
    m = v = largest = 0

    def step(g, t):
        nonlocal m, v, largest
        m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g * g
        largest = np.maximum(largest, v)  # Reddi et al.; torch corrects its bias as Adam's
        second = (largest if amsgrad else v) / (1 - 0.99**t)
        return m / (1 - 0.9**t) / (np.sqrt(second) + 1e-8)

    return step


def adagrad():
    total = 0

    def step(g, t):
        nonlocal total
        total = total + g * g
        return g / (np.sqrt(total) + 1e-10)

    return step


def adadelta():
    gradients = steps = 0

    def step(g, t):
        nonlocal gradients, steps
        gradients = 0.9 * gradients + 0.1 * g * g
        d = np.sqrt(steps + 1e-6) / np.sqrt(gradients + 1e-6) * g
        steps = 0.9 * steps + 0.1 * d * d
        return d

    return step


def rmsprop():
    v = 0

    def step(g, t):
        nonlocal v
        v = 0.99 * v + 0.01 * g * g
        return g / (np.sqrt(v) + 1e-8)

    return step


def adamax():
    m = u = 0

    def step(g, t):
        nonlocal m, u
        m, u = 0.9 * m + 0.1 * g, np.maximum(0.999 * u, np.abs(g) + 1e-8)
        return m / (1 - 0.9**t) / u

    return step


RULES = {  # name: rule and base rate (caption of Figure 3)
    "sgd": (sgd, 0.1),
    "adam": (adam, 1e-3),
    "amsgrad": (lambda: adam(amsgrad=True), 1e-3),
    "adagrad": (adagrad, 1e-2),
    "adadelta": (adadelta, 1.0),
    "rmsprop": (rmsprop, 1e-3),
    "adamax": (adamax, 2e-3),
}
PHASES = [0, 0, 0, 0, 1, 1, 2]  # of each step
GAMMA_SCALE, BETA_SCALE, DECAY = 0.5, 0.1, 0.1


@pytest.fixture(scope="module")
def optimizers(paper_settings):
    return read_yaml(Path(paper_settings["experiments"]["recipe"]))["optimizers"]


@pytest.fixture
def start(make_spec, optimizers):
    """A network in float64 and the update rule of an optimizer as the recipe gives it."""

    def begin(name, **changes):
        settings = {k: optimizers[name][k] for k in ("algorithm", "rate", "hyperparameters")}
        spec = make_spec(optimizer=name, rate_decay=DECAY, **{**settings, **changes})
        torch.manual_seed(0)
        model = build(spec, channels=1, side=8, classes=3).double()
        return model, Update(spec, param_groups(spec, model))

    return begin


def scale(name):
    return {"weight": GAMMA_SCALE, "bias": BETA_SCALE}[name.split(".")[-1]] if name.startswith("norms") else 1


def drive(model, update, gradients):
    """Steps with given gradients through the phases; the parameters after the last."""
    for t, phase in enumerate(PHASES):
        update.start_phase(phase)
        for name, p in model.named_parameters():
            p.grad = torch.empty_like(p).copy_(torch.from_numpy(gradients[name][t]))  # laid out as by autograd
        update.step()
    return {name: p.detach().numpy() for name, p in model.named_parameters()}


def draw_gradients(model):
    draw = np.random.default_rng(0)
    return {n: draw.normal(0, 0.1, (len(PHASES), *p.shape)) for n, p in model.named_parameters()}


@pytest.mark.parametrize("regularizer", ["none", "l2", "wd"])
@pytest.mark.parametrize("name", RULES)
def test_every_parameter_follows_the_published_rule(start, name, regularizer):
    strength = 0.02
    model, update = start(
        name,
        regularizer=regularizer,
        strength=strength,
        gamma_rate_scale=GAMMA_SCALE,
        beta_rate_scale=BETA_SCALE,
        beta_init=0.3,
    )
    gradients = draw_gradients(model)
    thetas = {n: p.detach().numpy().copy() for n, p in model.named_parameters()}
    rule, rate = RULES[name]
    for key, theta in thetas.items():
        step = rule()
        for t, phase in enumerate(PHASES):
            g = gradients[key][t] + (strength * theta if regularizer == "l2" else 0)
            theta = theta - rate * scale(key) * DECAY**phase * step(g, t + 1)
            if regularizer == "wd":
                theta = theta * (1 - strength * DECAY**phase)  # neither the base rate nor the gammas' own rate
        thetas[key] = theta
    trained = drive(model, update, gradients)
    assert thetas.keys() == trained.keys()
    for key, theta in thetas.items():
        np.testing.assert_allclose(trained[key], theta, rtol=1e-12, atol=1e-13, err_msg=key)


@pytest.mark.parametrize("name", RULES)
def test_weight_decay_without_gradients_is_a_power(start, name):
    model, update = start(name, regularizer="wd", strength=0.02, gamma_rate_scale=GAMMA_SCALE, beta_init=0.3)
    before = {n: p.detach().numpy().copy() for n, p in model.named_parameters()}
    after = drive(model, update, {n: np.zeros((len(PHASES), *v.shape)) for n, v in before.items()})
    factor = (1 - 0.02) ** 4 * (1 - 0.002) ** 2 * (1 - 0.0002)
    for key in before:
        np.testing.assert_allclose(after[key], factor * before[key], rtol=1e-12)


@pytest.mark.parametrize("strength", [1e-6, 1e-4, 1e-2])
def test_adam_without_gradients_shrinks_alike_at_every_l2(start, strength):
    """The supplement's Figure 3: what the gradient does not say, L2 alone decides, normalised away by Adam."""
    model, update = start("adam", regularizer="l2", strength=strength)
    gradients = {n: np.zeros((len(PHASES), *p.shape)) for n, p in model.named_parameters()}
    drive(model, update, gradients)
    steps = 1e-3 * (4 + 2 * 0.1 + 0.01)
    gammas = model.norms[0].weight.detach().numpy()
    np.testing.assert_allclose(1 - gammas, steps, rtol=0.02)


@pytest.mark.parametrize("name", RULES)
def test_l2_and_weight_decay_differ(start, name):
    ends = []
    for regularizer in ("l2", "wd", "none"):
        model, update = start(name, regularizer=regularizer, strength=0.02)
        ends.append(drive(model, update, draw_gradients(model))["norms.0.weight"])
    assert not any(np.allclose(ends[a], ends[b], rtol=1e-6) for a, b in ((0, 1), (0, 2), (1, 2)))


@pytest.mark.parametrize("regularizer", ["l2", "wd"])
def test_gammas_and_betas_are_regularized_too(start, regularizer):
    def end(strength):
        model, update = start("sgd", regularizer=regularizer, strength=strength, beta_init=0.3)
        return drive(model, update, draw_gradients(model))

    free, held = end(0.0), end(0.05)
    for layer in range(3):
        for part in ("weight", "bias"):
            key = f"norms.{layer}.{part}"
            assert (held[key] < free[key]).all()  # both start above zero


@pytest.mark.parametrize("name", ["sgd", "adam"])
@pytest.mark.parametrize("regularizer", ["l2", "wd"])
@pytest.mark.parametrize("unregularized", ["head", "norms"])
def test_unregularized_parameters_go_as_without_a_regularizer(start, name, regularizer, unregularized):
    def end(strength, unregularized):
        changes = {"regularizer": regularizer, "strength": strength, "unregularized": unregularized}
        model, update = start(name, gamma_rate_scale=GAMMA_SCALE, **changes)
        return drive(model, update, draw_gradients(model))

    free, held, found = end(0.0, "nothing"), end(0.05, "nothing"), end(0.05, unregularized)
    for key in found:
        assert (free[key] != held[key]).any()
        assert (found[key] == (free if key.startswith(unregularized) else held)[key]).all()


def test_every_parameter_has_one_learning_rate(start):
    model, update = start("adam", gamma_rate_scale=0.1, beta_rate_scale=0.2)
    update.start_phase(1)
    rates = {id(p): g["lr"] for g in update.optimizer.param_groups for p in g["params"]}
    assert sum(len(g["params"]) for g in update.optimizer.param_groups) == len(list(model.parameters()))
    for norm in model.norms:
        assert (rates[id(norm.weight)], rates[id(norm.bias)]) == pytest.approx((1e-5, 2e-5))
    for layer in (*model.convs, *model.head):
        assert rates[id(layer.weight)] == pytest.approx(1e-4)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hyperparameters": {"momentum": 0.9}}, "torch.optim.Adam refuses what the spec says of it: .*'momentum'"),
        ({"hyperparameters": {"betas": [0.9, 2.0]}}, "torch.optim.Adam refuses .* beta parameter"),
        ({"algorithm": "Adan"}, "torch.optim has no 'Adan': name one of its classes"),
    ],
)
def test_what_torch_does_not_take_is_one_line(start, changes, said):
    with pytest.raises(UserError, match=said) as error:
        start("adam", **changes)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("algorithm", "changes", "named"),
    [("Adagrad", {"lr_decay": 0.1}, "Adagrad with lr_decay"), ("Adafactor", {}, "Adafactor")],
)
def test_what_a_cuda_graph_cannot_hold_is_refused_in_one_line(algorithm, changes, named):
    theta = torch.nn.Parameter(torch.zeros(3))
    make_optimizer(algorithm, [theta], l2=0.0, **changes)
    with pytest.raises(UserError, match=rf"\Atorch.optim.{named} counts its steps on the CPU, [^\n]+\Z"):
        make_optimizer(algorithm, [theta], l2=0.0, device="cuda", **changes)


def test_decay_of_a_scalar():
    scalars = [torch.tensor([1.0, -2.0], dtype=torch.float64), torch.tensor(0.0)]
    decay(scalars, 0.25)
    assert scalars[0].tolist() == [0.75, -1.5]
    assert scalars[1].item() == 0


SGD = {"optimizer": "sgd", "algorithm": "SGD", "hyperparameters": {}, "rate": 0.1}


def test_the_decay_floor_of_sgd_in_closed_form(make_spec):
    """L2 without momentum takes 1 - lr * lambda of gamma in a step, and a tenth of the rate in the second phase."""
    spec = make_spec(**SGD, strength=0.02, gamma_init=0.5, phase_steps=(300, 70))
    assert decay_floor(spec) == pytest.approx(0.5 * (1 - 2e-3) ** 300 * (1 - 2e-4) ** 70, rel=1e-5)
    slow = make_spec(**SGD, strength=0.02, gamma_rate_scale=0.1, phase_steps=(300,))
    assert decay_floor(slow) == pytest.approx((1 - 2e-4) ** 300, rel=1e-5)


@pytest.mark.parametrize("of", [{}, SGD])
def test_the_decay_floor_of_weight_decay_in_closed_form(make_spec, of):
    """Whatever the optimizer: it gets no gradient. Here 250 and 75 of 325 parts of 40,000 steps (Adam: 0.04)."""
    spec = make_spec(**of, regularizer="wd", strength=1e-4, phase_steps=(30769, 9231))
    assert decay_floor(spec) == pytest.approx((1 - 1e-4) ** 30769 * (1 - 1e-5) ** 9231, rel=2e-3)
    assert decay_floor(spec) == pytest.approx(0.042, abs=5e-4)


def test_adam_with_l2_needs_a_step_per_rate(make_spec):
    """Adam moves gamma by at most its rate of 1e-3 a step, however weak L2 is: over 1,000 steps from 1 to 0."""
    for strength in (1e-4, 1e-3):
        floors = [decay_floor(make_spec(strength=strength, phase_steps=(steps,))) for steps in (100, 1000, 4000)]
        assert floors[0] == pytest.approx(0.9, abs=0.01)
        assert floors[1] > 1e-3 > floors[2]


@pytest.mark.parametrize(("regularizer", "unregularized"), [("none", "nothing"), ("l2", "norms"), ("wd", "norms")])
def test_what_is_not_regularized_stays(make_spec, regularizer, unregularized):
    spec = make_spec(regularizer=regularizer, unregularized=unregularized, gamma_init=-0.5)
    assert decay_floor(spec) == 0.5


PROGRAM = """
import sys
import torch
{imports}
for algorithm in ("SGD", "Adam", "Adamax", "RMSprop", "Adagrad", "Adadelta"):
    theta = torch.nn.Parameter(torch.linspace(-1, 1, 7))
    optimizer = {made}
    for _ in range(5):
        optimizer.zero_grad()
        (theta ** 3).sum().backward()
        optimizer.step()
    print(*[value.hex() for value in theta.tolist()])
print("torch._dynamo" in sys.modules)
"""


@pytest.mark.slow
def test_sparing_the_import_of_torchs_compiler_changes_no_bit(python):
    """Against torch alone in another interpreter, which imports its compiler when an optimizer is made."""
    ours = PROGRAM.format(
        imports="from filter_sparsity.training.optim import make_optimizer",
        made="make_optimizer(algorithm, [theta], l2=0.1, lr=0.01)",
    )
    theirs = PROGRAM.format(
        imports="",
        made="getattr(torch.optim, algorithm)([theta], lr=0.01, weight_decay=0.1, "
        "**({'fused': True} if algorithm in ('SGD', 'Adam', 'Adagrad') else {}))",
    )
    *values, compiler = python(ours).splitlines()
    assert compiler == "False"
    assert values == python(theirs).splitlines()[:-1]


@pytest.mark.parametrize("algorithm", ["SGD", "Adam", "Adagrad"])
def test_one_kernel_updates_are_those_of_plain_torch(algorithm):
    ends = []
    for made in (
        lambda p: make_optimizer(algorithm, [p], l2=0.1, lr=0.01),
        lambda p: getattr(torch.optim, algorithm)([p], lr=0.01, weight_decay=0.1, foreach=False),
    ):
        theta = torch.nn.Parameter(torch.linspace(-1, 1, 7))
        optimizer = made(theta)
        for _ in range(20):
            optimizer.zero_grad()
            (theta**3).sum().backward()
            optimizer.step()
        ends.append(theta.detach())
    torch.testing.assert_close(*ends, rtol=1e-5, atol=1e-7)


OWN_DECAY = {"adamw": {}, "nadam": {"decoupled_weight_decay": True}, "radam": {"decoupled_weight_decay": True}}
OWN_DECAY["adafactor"] = {}


@pytest.mark.parametrize(
    ("name", "regularizer"),
    [("nadam", "l2"), ("radam", "l2"), *((name, kind) for name in OWN_DECAY for kind in ("decoupled", "none"))],
)
def test_an_optimizer_that_the_paper_lacks_is_torchs_own(start, optimizers, name, regularizer):
    """Step by step against torch's class as it comes, with a rate of each parameter's and of each phase."""
    strength = 0.02
    model, update = start(name, regularizer=regularizer, strength=strength, gamma_rate_scale=0.5, beta_init=0.3)
    facts = optimizers[name]
    arguments = {key: tuple(v) if isinstance(v, list) else v for key, v in facts["hyperparameters"].items()}
    decay = {"weight_decay": 0.0 if regularizer == "none" else strength}
    decay |= OWN_DECAY[name] if regularizer == "decoupled" else {}
    copies = {n: torch.nn.Parameter(p.detach().clone()) for n, p in model.named_parameters()}
    gammas = {f"norms.{i}.weight" for i in range(3)}
    groups = [{"params": [p], "lr": facts["rate"] * (0.5 if n in gammas else 1)} for n, p in copies.items()]
    reference = getattr(torch.optim, facts["algorithm"])(groups, **arguments, **decay)
    rates = [group["lr"] for group in reference.param_groups]
    gradients = draw_gradients(model)
    for t, phase in enumerate(PHASES):
        update.start_phase(phase)
        for group, rate in zip(reference.param_groups, rates, strict=True):
            group["lr"] = rate * DECAY**phase
        for n, p in model.named_parameters():
            gradient = torch.from_numpy(gradients[n][t])
            p.grad, copies[n].grad = torch.empty_like(p).copy_(gradient), torch.empty_like(p).copy_(gradient)
        update.step()
        reference.step()
        for n, p in model.named_parameters():
            torch.testing.assert_close(p.detach(), copies[n].detach(), rtol=1e-12, atol=1e-13, msg=f"{n}, step {t}")


def test_decoupled_decay_without_gradients_is_a_power(start):
    """Also of a gamma with a rate of its own: torch's decay follows the rate, `wd` follows the schedule alone."""
    model, update = start("adamw", regularizer="decoupled", strength=2.0, gamma_rate_scale=GAMMA_SCALE, beta_init=0.3)
    before = {n: p.detach().numpy().copy() for n, p in model.named_parameters()}
    after = drive(model, update, {n: np.zeros((len(PHASES), *v.shape)) for n, v in before.items()})
    for key in before:
        rate = 2e-3 * (GAMMA_SCALE if key.startswith("norms") and key.endswith("weight") else 1)
        factor = (1 - rate) ** 4 * (1 - rate / 10) ** 2 * (1 - rate / 100)
        np.testing.assert_allclose(after[key], factor * before[key], rtol=1e-12)


@pytest.mark.parametrize("name", OWN_DECAY)
@pytest.mark.parametrize("unregularized", ["head", "norms"])
def test_decoupled_decay_leaves_what_is_not_regularized(start, name, unregularized):
    def end(strength, unregularized):
        changes = {"regularizer": "decoupled", "strength": strength, "unregularized": unregularized}
        model, update = start(name, **changes)
        return drive(model, update, draw_gradients(model))

    free, held, found = end(0.0, "nothing"), end(0.5, "nothing"), end(0.5, unregularized)
    for key in found:
        expected = free if key.startswith(unregularized) else held
        if np.any(free[key] != held[key]):
            np.testing.assert_array_equal(found[key], expected[key])
    assert any(np.any(free[key] != held[key]) for key in found)


@pytest.mark.parametrize("name", ["sgd", "rmsprop", "adamax", "adadelta"])
def test_an_optimizer_without_decoupled_decay_is_one_line(start, name):
    with pytest.raises(UserError, match=r"\Atorch.optim.\w+ has no weight decay of its own apart [^\n]+\Z"):
        start(name, regularizer="decoupled", strength=0.1)


def test_the_decay_floor_of_decoupled_decay_in_closed_form(make_spec):
    adamw = {"optimizer": "adamw", "algorithm": "AdamW", "regularizer": "decoupled"}
    floors = []
    for strength in (0.1, 1.0):  # of the scale `modern`: 20,000 steps
        spec = make_spec(**adamw, strength=strength, phase_steps=(15385, 4615))
        expected = (1 - strength * 1e-3) ** 15385 * (1 - strength * 1e-4) ** 4615
        assert decay_floor(spec) == pytest.approx(expected, rel=5e-3)
        floors.append(expected)
    assert floors[0] == pytest.approx(0.2, abs=0.01)
    assert floors[1] < 1e-3


SIGNATURES = {
    name: signature(kind).parameters
    for name, kind in sorted(vars(torch.optim).items())
    if isinstance(kind, type) and "weight_decay" in signature(kind).parameters
}
DECOUPLED = {"decoupled_weight_decay": True}
NOT_L2 = [("AdamW", {}), ("Adafactor", {}), ("Muon", {})]
NOT_L2 += [(name, DECOUPLED) for name, parameters in SIGNATURES.items() if DECOUPLED.keys() <= parameters.keys()]


@pytest.mark.parametrize("algorithm", sorted(SIGNATURES.keys() - dict(NOT_L2[:3]).keys()))
def test_l2_is_part_of_the_gradient(algorithm):
    l2, theta = 0.1, torch.tensor([[1.0, -2.0], [0.5, 3.0]])
    given, added = torch.nn.Parameter(theta.clone()), torch.nn.Parameter(theta.clone())
    optimizer = make_optimizer(algorithm, [given], l2=l2, lr=0.01)
    reference = make_optimizer(algorithm, [added], l2=0.0, lr=0.01)
    for gradient in torch.randn(5, 2, 2, generator=torch.Generator().manual_seed(0)):
        given.grad, added.grad = gradient.clone(), gradient + l2 * added.detach()
        optimizer.step()
        reference.step()
    torch.testing.assert_close(given, added)


@pytest.mark.parametrize(("algorithm", "arguments"), NOT_L2)
def test_decoupled_decay_is_not_taken_for_l2(algorithm, arguments):
    theta = torch.nn.Parameter(torch.zeros(2, 2))
    with pytest.raises(UserError, match=rf"\Atorch.optim.{algorithm} [^\n]+ which is not L2: [^\n]+\Z"):
        make_optimizer(algorithm, [theta], l2=0.1, **arguments)
    make_optimizer(algorithm, [theta], l2=0.0, **arguments)
