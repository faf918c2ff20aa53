"""Figure 3's simulation against closed forms, and against the optimizers written out in numpy from their papers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from filter_sparsity.measuring import simulate
from filter_sparsity.planning.validation import read_yaml

OPTIMIZERS = read_yaml(Path(__file__).parents[3] / "config" / "recipe.yaml")["optimizers"]
LOW = [{"deviation": 1e-3, "iterations": 100}, {"deviation": 1e-5, "iterations": 1900}]
QUIET = [{"deviation": 0.0, "iterations": 40}]


def figure(*panels: str, phases: list[dict[str, Any]], strengths: list[float], repeats: int = 3) -> dict[str, Any]:
    """A figure as a plan has it; panels are written as "adam l2"."""
    resolved = []
    for panel in panels:
        optimizer, regularizer = panel.split()
        resolved.append({**OPTIMIZERS[optimizer], "label": optimizer, "regularizer": regularizer})
    return {"start": 1, "phases": phases, "repeats": repeats, "strengths": strengths, "panels": resolved}


def medians(frame: pd.DataFrame, panel: str, strength: float) -> np.ndarray:
    label, regularizer = panel.split()
    chosen = (frame["panel"] == label) & (frame["regularizer"] == regularizer) & (frame["strength"] == strength)
    return frame.loc[chosen, "median"].to_numpy()


# A step of each optimizer: the change of theta that gradient `g` makes at iteration t (from 1), with memory `m`.


def sgd(g: np.ndarray, t: int, m: dict[str, Any], lr: float, momentum: float) -> np.ndarray:
    m["v"] = momentum * m.get("v", 0) + g
    return -lr * m["v"]


def adam(
    g: np.ndarray, t: int, m: dict[str, Any], lr: float, betas: list[float], eps: float, amsgrad: bool = False
) -> np.ndarray:
    first, second = betas
    m["m"] = first * m.get("m", 0) + (1 - first) * g
    m["v"] = second * m.get("v", 0) + (1 - second) * g**2
    m["largest"] = np.maximum(m.get("largest", 0), m["v"])
    v = m["largest"] if amsgrad else m["v"]
    return -lr * (m["m"] / (1 - first**t)) / (np.sqrt(v / (1 - second**t)) + eps)


def adagrad(g: np.ndarray, t: int, m: dict[str, Any], lr: float) -> np.ndarray:
    m["sum"] = m.get("sum", 0) + g**2
    return -lr * g / (np.sqrt(m["sum"]) + 1e-10)


def adadelta(g: np.ndarray, t: int, m: dict[str, Any], lr: float, rho: float, eps: float) -> np.ndarray:
    m["g"] = rho * m.get("g", 0) + (1 - rho) * g**2
    change = np.sqrt(m.get("d", 0) + eps) / np.sqrt(m["g"] + eps) * g
    m["d"] = rho * m.get("d", 0) + (1 - rho) * change**2
    return -lr * change


def rmsprop(g: np.ndarray, t: int, m: dict[str, Any], lr: float, alpha: float, eps: float) -> np.ndarray:
    m["g"] = alpha * m.get("g", 0) + (1 - alpha) * g**2
    return -lr * g / (np.sqrt(m["g"]) + eps)


def adamax(g: np.ndarray, t: int, m: dict[str, Any], lr: float, betas: list[float], eps: float) -> np.ndarray:
    first, second = betas
    m["m"] = first * m.get("m", 0) + (1 - first) * g
    m["u"] = np.maximum(second * m.get("u", 0), np.abs(g) + eps)
    return -lr / (1 - first**t) * m["m"] / m["u"]


STEPS: dict[str, Callable[..., np.ndarray]] = {
    "sgd": sgd,
    "adam": adam,
    "amsgrad": adam,
    "adagrad": adagrad,
    "adadelta": adadelta,
    "rmsprop": rmsprop,
    "adamax": adamax,
}


@pytest.mark.parametrize("panel", [*(f"{name} l2" for name in STEPS), "sgd wd", "adam wd"])
def test_agrees_with_the_optimizer_written_out(panel: str) -> None:
    phases = [{"deviation": 1e-3, "iterations": 50}, {"deviation": 1e-5, "iterations": 150}]
    plan = figure(panel, phases=phases, strengths=[1e-5, 1e-2])
    name, regularizer = panel.split()
    noise = simulate.gradients(plan).numpy()
    frame = simulate.simulate(plan)
    for strength in plan["strengths"]:
        theta, expected = np.ones(3), [1.0]
        memory: dict[str, Any] = {}
        for t, g in enumerate(noise, start=1):
            regularized = g + strength * theta if regularizer == "l2" else g
            change = STEPS[name](
                regularized, t, memory, OPTIMIZERS[name]["rate"], **OPTIMIZERS[name]["hyperparameters"]
            )
            theta = theta + change
            if regularizer == "wd":
                theta = theta * (1 - strength)
            expected.append(float(np.median(theta)))
        np.testing.assert_allclose(medians(frame, panel, strength), expected, rtol=1e-9)


def test_sgd_with_l2_and_no_noise_is_the_heavy_ball() -> None:
    frame = simulate.simulate(figure("sgd l2", phases=QUIET, strengths=[0.5]))
    before, now, expected = 1.0, 1.0, [1.0]
    for _ in range(40):
        before, now = now, now + 0.9 * (now - before) - 0.1 * 0.5 * now
        expected.append(now)
    np.testing.assert_allclose(medians(frame, "sgd l2", 0.5), expected, rtol=1e-12)


@pytest.mark.parametrize("panel", ["sgd wd", "adam wd"])
def test_weight_decay_alone_is_a_power(panel: str) -> None:
    frame = simulate.simulate(figure(panel, phases=QUIET, strengths=[1e-6, 0.25]))
    for strength in (1e-6, 0.25):
        np.testing.assert_allclose(medians(frame, panel, strength), (1 - strength) ** np.arange(41.0), rtol=1e-12)


def test_the_first_step_of_adam_is_as_long_for_every_l2() -> None:
    """The supplement's point: what Adam does with L2 alone hardly depends on its strength."""
    strengths = [1e-6, 1e-2]
    frame = simulate.simulate(figure("adam l2", phases=QUIET, strengths=strengths))
    for strength in strengths:
        assert medians(frame, "adam l2", strength)[1] == pytest.approx(
            1 - 1e-3 * strength / (strength + 1e-8), rel=1e-9
        )


def test_low_gradients_make_a_weak_l2_strong() -> None:
    """The caption's claim at L2 1e-4, where the second moment forgets the early gradients.

    AMSGrad and Adagrad never forget them and Adadelta's epsilon outweighs them, so these go with SGD here.
    """
    adaptive, forgetful = ["amsgrad l2", "adagrad l2", "adadelta l2"], ["adam l2", "rmsprop l2"]
    mild = [*adaptive, "sgd wd", "adam wd"]
    panels = ["sgd l2", *mild, *forgetful, "adamax l2"]
    frame = simulate.simulate(figure(*panels, phases=LOW, strengths=[1e-4], repeats=10))
    last = {panel: medians(frame, panel, 1e-4)[-1] for panel in panels}
    assert last["sgd l2"] == pytest.approx((1 - 1e-4) ** 2000, abs=0.01)  # rate 0.1, momentum 0.9: 1 in effect
    assert all(abs(last[panel]) < 0.02 for panel in forgetful), last
    assert last["adamax l2"] < last["sgd l2"] - 0.1
    assert all(abs(last[panel] - last["sgd l2"]) < 0.1 for panel in mild), last


def test_noise_has_its_phases_deviation_and_is_alike_in_panels() -> None:
    plan = figure("sgd l2", "sgd wd", phases=LOW, strengths=[0.0, 1e-3], repeats=50)
    noise = simulate.gradients(plan).numpy()
    assert noise.shape == (2000, 50)
    assert noise[:100].std() == pytest.approx(1e-3, rel=0.05)
    assert noise[100:].std() == pytest.approx(1e-5, rel=0.05)
    assert abs(noise[100:].mean()) < 1e-7
    frame = simulate.simulate(plan)
    np.testing.assert_array_equal(medians(frame, "sgd l2", 0.0), medians(frame, "sgd wd", 0.0))


def test_frame_is_tidy_and_thinned() -> None:
    plan = figure("sgd l2", "adam wd", phases=LOW, strengths=[1e-4, 1e-2], repeats=20)
    frame = simulate.simulate(plan)
    assert list(frame) == ["panel", "regularizer", "strength", "iteration", "median", "low", "high"]
    curves = dict(list(frame.groupby(["panel", "regularizer", "strength"])))
    assert list(curves) == [("adam", "wd", 1e-4), ("adam", "wd", 1e-2), ("sgd", "l2", 1e-4), ("sgd", "l2", 1e-2)]
    for curve in curves.values():
        iterations = curve["iteration"].tolist()
        assert len(iterations) <= 500
        assert iterations == sorted(set(iterations))
        assert {0, 100, 2000} <= set(iterations)
        assert (curve.iloc[0][["median", "low", "high"]] == 1).all()
        assert (curve["low"] <= curve["median"]).all()
        assert (curve["median"] <= curve["high"]).all()
        assert curve.iloc[-1]["low"] < curve.iloc[-1]["high"]


def test_written_and_read_back(tmp_path: Path) -> None:
    frame = simulate.simulate(figure("adam l2", phases=QUIET, strengths=[1e-6, 5e-4]))
    path = tmp_path / "new" / "figure3.csv"
    simulate.write(frame, path)
    pd.testing.assert_frame_equal(pd.read_csv(path), frame, rtol=1e-6)
    assert [p.name for p in path.parent.iterdir()] == ["figure3.csv"]
    written = path.read_bytes()
    simulate.write(simulate.simulate(figure("adam l2", phases=QUIET, strengths=[1e-6, 5e-4])), path)
    assert path.read_bytes() == written
