"""Figures from small runs and a simulation whose numbers are known, and the files read back by other programs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import StepPatch
from PIL import Image
from pypdf import PdfReader
from safetensors.numpy import load_file, save_file

from filter_sparsity.errors import UserError
from filter_sparsity.plan import Plan
from filter_sparsity.planning.build import anchor_paths, build_plan
from filter_sparsity.planning.validation import read_yaml
from filter_sparsity.typesetting import figures, style

pytestmark = pytest.mark.filterwarnings("error")  # a missing glyph is a warning

ROOT = Path(__file__).parents[3]
NOTE = "scale quick: not the paper's setting"


@pytest.fixture(scope="module")
def plan() -> Plan:
    settings = anchor_paths(read_yaml(ROOT / "config" / "config.yaml"), ROOT)
    return build_plan(settings | {"width": 1 / 32})


@pytest.fixture(scope="module")
def runs(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What training and extraction leave of the runs of Figures 1 and 2; C1 has two features."""
    runs, rng = tmp_path_factory.mktemp("runs"), np.random.default_rng(0)
    for spec_id in [*plan.selected("figure1"), *plan.selected("figure2")]:
        spec = plan.specs[spec_id]
        for seed in plan.seeds:
            folder = runs / spec_id / f"seed{seed}"
            folder.mkdir(parents=True)
            step = np.linspace(0, spec.steps, 11).round().astype(np.int64)
            affine, lines = {"step": step}, []
            for layer, filters in zip(spec.network.layers, spec.network.filters, strict=True):
                for name, start in (("gamma", 1), ("beta", 0)):
                    walk = start + rng.normal(0, 0.1, (len(step), filters)).cumsum(0)
                    affine[f"{name}_{layer}"] = walk.astype(np.float32)
                largest = np.ones(filters)
                largest[0] = 1.0 if seed else 1e-13  # of the first seed, one feature is dead; its universality is 1
                lines += [(layer, j, 1.0, 0.0, response, 1.0) for j, response in enumerate(largest)]
            save_file(affine, folder / "affine.safetensors")
            columns = ["layer", "filter", "gamma", "beta", "largest_activation", "universality"]
            pd.DataFrame(lines, columns=columns).to_csv(folder / "features.csv", index=False)
    return runs


@pytest.fixture(scope="module")
def simulation(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Exponentials, another for each panel and strength."""
    figure, frames = plan.figures["figure3"], []
    iteration = np.arange(0, sum(phase["iterations"] for phase in figure["phases"]) + 1, 100)
    for number, panel in enumerate(figure["panels"], start=1):
        for strength in figure["strengths"]:
            median = np.exp(-strength * number * iteration)
            where = {"panel": panel["label"], "regularizer": panel["regularizer"], "strength": strength}
            curve = {"iteration": iteration, "median": median, "low": median - 0.05, "high": median + 0.05}
            frames.append(pd.DataFrame({**where, **curve}))
    path = tmp_path_factory.mktemp("simulations") / "figure3.csv"
    pd.concat(frames).to_csv(path, index=False)
    return path


def xy(line: Line2D) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(line.get_data())
    return x, y


def panels(figure: Figure) -> dict[str, int]:
    """Titles of the panels that are shown, with their place."""
    return {ax.get_title(): i for i, ax in enumerate(figure.axes) if ax.axison}


def test_figure1_draws_the_distribution_over_all_seeds_features(plan: Plan, runs: Path) -> None:
    drawn = figures.draw(plan, "figure1", runs, None)
    assert len(drawn.axes) == 16
    assert [ax.get_ylabel() for ax in drawn.axes[::4]] == [
        r"C6: scale $\gamma$",
        r"C6: bias $\beta$",
        r"C5: scale $\gamma$",
        r"C5: bias $\beta$",
    ]
    spec = plan.specs[plan.figures["figure1"]["curves"][2]["spec_id"]]
    seeds = [load_file(runs / spec.id / f"seed{seed}" / "affine.safetensors") for seed in plan.seeds]
    pooled = np.concatenate([arrays["beta_C5"] for arrays in seeds], axis=1)
    zero, least, most, median, drop = (xy(line) for line in drawn.axes[14].lines)
    np.testing.assert_array_equal(zero[1], [0, 0])
    np.testing.assert_allclose(least[1], pooled.min(1))
    np.testing.assert_allclose(most[1], pooled.max(1))
    np.testing.assert_allclose(median[1], np.median(pooled, axis=1), rtol=1e-6)
    np.testing.assert_array_equal(median[0], seeds[0]["step"])
    np.testing.assert_array_equal(drop[0], [spec.phase_steps[0]] * 2)


def test_figure2_counts_features_over_the_seeds(plan: Plan, runs: Path) -> None:
    drawn = figures.draw(plan, "figure2", runs, None)
    assert list(panels(drawn)) == ["C1", "C2", "C3", "C4", "C5", "C6", "C7"]
    steps = [patch for patch in drawn.axes[0].patches if isinstance(patch, StepPatch)]
    living, dead = ([patch.get_data() for patch in steps[first::2]] for first in (0, 1))
    for (values, edges, _), (share, place, _) in zip(living, dead, strict=True):
        assert len(values) == 20
        assert (edges[0], edges[-1]) == (0, 1)
        assert values[0] == 0  # no living feature is selective
        assert share == pytest.approx([2.5])  # two features and two seeds: one of four features never answers
        assert place[1] < 0
        assert values[-1] == pytest.approx(7.5)
        assert values.sum() + share.sum() == pytest.approx(10)  # y is ten times the fraction
    drawn.draw_without_rendering()
    assert [tick.get_text() for tick in drawn.axes[0].get_xticklabels()] == ["dead", "0", "0.5", "1"]
    assert not any(tick.get_text().endswith(".0") for ax in drawn.axes[:7] for tick in ax.get_yticklabels())
    filled, line = steps[::2]
    assert filled.get_fill()
    assert not line.get_fill()
    legend = drawn.axes[7].get_legend()
    assert legend is not None
    assert [text.get_text().split(":")[0] for text in legend.get_texts()] == ["Adam", "SGD"]


def test_lines_stand_out_from_white() -> None:
    """A contrast of 3 to 1, as WCAG 2 asks of graphics, even of the palest of five."""
    for color in figures._graded([1, 2, 3, 4, 5]).values():
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color]
        assert 1.05 / (np.dot([0.2126, 0.7152, 0.0722], linear) + 0.05) > 3


def test_figure3_draws_every_curve(plan: Plan, simulation: Path) -> None:
    drawn = figures.draw(plan, "figure3", Path("nowhere"), simulation)
    assert len(panels(drawn)) == 9
    assert panels(drawn)["Adam, weight decay"] == 8
    assert panels(drawn)["Adamax, L2"] == 6  # spelt as in the tables
    figure3 = plan.figures["figure3"]
    for number, ax in enumerate(drawn.axes, start=1):
        lines = [xy(line) for line in ax.lines]
        curves = [(x, y) for x, y in lines if len(x) > 2]
        for strength, (x, y) in zip(figure3["strengths"], curves, strict=True):
            np.testing.assert_allclose(y, np.exp(-strength * number * x), rtol=1e-9)
        assert any(list(x) == [100, 100] for x, _ in lines)
        named = {f"${figures.power(s)}$": curve for s, curve in zip(figure3["strengths"], curves, strict=True)}
        assert {text.get_text() for text in ax.texts} == named.keys()
        for text in ax.texts:  # each upon its own curve, or beside its end
            x, y = text.get_position()
            assert y == pytest.approx(np.interp(x, *named[text.get_text()]), abs=0.05)


WORDS = {
    "figure1": ["Adam, low L2", "SGD, high L2", "C6: scale", "C5: bias", "training step", "median feature", NOTE],
    "figure2": ["C1", "C7", "dead", "universality", "fraction of features", "Adam: L2", "SGD: L2", NOTE],
    "figure3": ["SGD, L2", "AMSGrad, L2", "RMSProp, L2", "SGD, weight decay", "iteration", "5 to 95 %"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", WORDS)
def test_files_are_whole_and_the_same_every_time(
    name: str, plan: Plan, runs: Path, simulation: Path, tmp_path: Path
) -> None:
    out = [tmp_path / f"{name}.pdf", tmp_path / f"{name}.png"]
    figures.plot(plan, name, runs, simulation, out)
    written = [path.read_bytes() for path in out]
    figures.plot(plan, name, runs, simulation, out)
    assert [path.read_bytes() for path in out] == written
    assert sorted(tmp_path.iterdir()) == out

    reader = PdfReader(out[0])
    (page,) = reader.pages
    text = page.extract_text()
    for words in WORDS[name]:
        assert words in text
    assert (NOTE in text) == (NOTE in WORDS[name])  # the simulation is the paper's at every scale
    assert float(page.mediabox.width) == pytest.approx(6.7 * 72, abs=0.1)
    assert "/CreationDate" not in (reader.metadata or {})
    assert out[0].read_bytes().count(b"/CIDFontType2") == 3  # TrueType: text, letters and signs of mathematics
    assert b"/Type3" not in out[0].read_bytes()

    with Image.open(out[1]) as image:
        assert image.width == 1340
        shades = np.asarray(image.convert("L"))
    assert shades[0, 0] == 255
    assert 0.01 < (shades < 200).mean() < 0.5


def test_published_settings_need_no_note(plan: Plan, runs: Path, tmp_path: Path) -> None:
    published = {"substitutes": None, "steps": None, "width": 1, "strength_multiplier": 1, "lr_multiplier": 1}
    paper = Plan(**{**plan.__dict__, "settings": {**plan.settings, **published}})
    figures.plot(paper, "figure2", runs, None, [tmp_path / "figure2.pdf"])
    assert "not the paper" not in PdfReader(tmp_path / "figure2.pdf").pages[0].extract_text()


@pytest.mark.parametrize(
    ("value", "said"), [(1e-3, "10^{-3}"), (5e-4, r"5 \times 10^{-4}"), (0, "0"), (2.5e-2, r"2.5 \times 10^{-2}")]
)
def test_powers_of_ten(value: float, said: str) -> None:
    assert figures.power(value) == said


def test_what_is_missing_is_said_and_nothing_is_written(
    plan: Plan, runs: Path, simulation: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.csv"
    frame = pd.read_csv(simulation)
    frame[frame["panel"] != "AdaMax"].to_csv(cut, index=False)
    junk = tmp_path / "junk.csv"
    junk.write_text("a,b\n1,2\n")
    out = [tmp_path / "figures" / "figure.pdf"]
    for name, given, words in (
        ("figure9", simulation, "figure1, figure2, figure3"),
        ("figure3", None, "--simulation"),
        ("figure3", tmp_path / "no.csv", "no.csv"),
        ("figure3", cut, "AdaMax"),
        ("figure3", junk, "junk.csv"),
    ):
        with pytest.raises(UserError, match=words):
            figures.plot(plan, name, runs, given, out)
    for name in ("figure1", "figure2"):
        with pytest.raises(UserError, match="seed0"):
            figures.plot(plan, name, tmp_path / "empty", None, out)
    assert not out[0].parent.exists()


def test_seeds_kept_at_other_steps_are_refused(plan: Plan, runs: Path, tmp_path: Path) -> None:
    spec = plan.specs[plan.selected("figure1")[0]]
    for seed in plan.seeds:
        folder = tmp_path / spec.id / f"seed{seed}"
        folder.mkdir(parents=True)
        step = np.arange(3 + seed)
        layers = spec.network.layers
        values = {f"{kind}_{layer}": np.ones((len(step), 2)) for layer in layers for kind in ("gamma", "beta")}
        save_file({"step": step, **values}, folder / "affine.safetensors")
    with pytest.raises(UserError, match="other steps"):
        figures.draw(plan, "figure1", tmp_path, None)


@pytest.fixture(scope="module")
def galleries(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shapes, few and small, plain and cluttered."""
    from filter_sparsity.data.prepared import write
    from filter_sparsity.data.renders import compose, render, shapes

    folder = tmp_path_factory.mktemp("galleries")
    settings = render.Settings.from_dict({**plan.renders["shapes"], "images": [2, 1], "side": 16, "samples": 4})
    foregrounds = render.render("shapes", shapes.models(folder, settings.classes), settings)
    for name, pictures in (("plain", None), ("cluttered", shapes.pictures(folder, 16))):
        write(f"shapes_{name}", compose.compose(foregrounds, pictures), folder / f"shapes_{name}.safetensors")
    return folder


def test_the_gallery_shows_each_render_plain_above_cluttered(plan, runs, galleries):
    from filter_sparsity.data.prepared import read

    figure = figures.draw(plan, "figure4", runs, None, galleries)
    plain, cluttered = (read(galleries / f"shapes_{kind}.safetensors") for kind in ("plain", "cluttered"))
    texts = [text.get_text() for text in figure.texts]
    assert texts[:-1] == list(plain.classes)
    assert "shapes in place of ObjectNet3D" in texts[-1]
    assert len(figure.axes) == 60
    for label, (above, below) in enumerate(zip(figure.axes[::2], figure.axes[1::2], strict=True)):
        assert above.get_position().y0 > below.get_position().y1
        assert above.get_position().x0 == below.get_position().x0
        one, other = (ax.images[0].get_array() for ax in (above, below))
        for image, source in ((one, plain), (other, cluttered)):
            own = source.images["train"][source.labels["train"] == label].transpose(0, 2, 3, 1)
            assert any(np.array_equal(image, o) for o in own)
        inside = (one < 255).any(axis=2)
        assert (one == other).all(axis=2)[inside].mean() > 0.2
        assert (one == other).all(axis=2)[~inside].mean() < 0.2


@pytest.mark.slow
def test_the_gallery_is_the_same_file_every_time(plan, runs, galleries, tmp_path):
    files = [tmp_path / name for name in ("a.pdf", "b.pdf", "a.png")]
    for path in files:
        figures.plot(plan, "figure4", runs, None, [path], galleries)
    assert files[0].read_bytes() == files[1].read_bytes()
    page = PdfReader(files[0]).pages[0]
    assert float(page.mediabox.width) == pytest.approx(72 * style.WIDTH, abs=0.5)
    with Image.open(files[2]) as image:
        assert image.width == pytest.approx(200 * style.WIDTH, abs=1)


def test_a_gallery_of_other_renders_is_refused(plan, runs, galleries, tmp_path):
    from filter_sparsity.data.prepared import read, write
    from filter_sparsity.data.sources.base import ArraySource

    prepared = read(galleries / "shapes_plain.safetensors")
    for kind, turn in (("plain", 0), ("cluttered", 1)):
        splits = {s: (prepared.images[s] // 2 + 100 * turn, prepared.labels[s]) for s in ("train", "test")}
        write(kind, ArraySource(classes=prepared.classes, **splits), tmp_path / f"shapes_{kind}.safetensors")
    with pytest.raises(UserError, match=r"show other renders of 'arch': prepare both again\Z"):
        figures.draw(plan, "figure4", runs, None, tmp_path)
    with pytest.raises(UserError, match="give their folder with --data"):
        figures.draw(plan, "figure4", runs, None)
    with pytest.raises(UserError, match=r"shapes_plain\.safetensors is not there"):
        figures.draw(plan, "figure4", runs, None, tmp_path / "nowhere")
