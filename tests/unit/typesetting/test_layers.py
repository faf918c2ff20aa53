"""The picture of Table 1's layers: every printed share, and every measured one beside it."""

import itertools

import pandas as pd
import pytest

from filter_sparsity.typesetting.layers import draw_layers

LAYERS = ["C1", "C2", "total"]


def cells(rows):
    """Cells as `judge` writes them, of (group, row, n): ours is a hundredth of the layer's place, the paper's two."""
    lines = [
        {
            "table": "table1",
            "panel": "",
            "group": group,
            "row": row,
            "column_group": "",
            "metric": "sparsity_by_gamma",
            "layer": layer,
            "n": n,
            "mean": 0.01 * place if n else float("nan"),
            "paper": 0.02 * place,
        }
        for group, row, n in rows
        for place, layer in enumerate(LAYERS)
    ]
    other = {**lines[0], "metric": "test_error", "mean": 0.9, "paper": 0.9}
    return pd.DataFrame([*lines, other, {**lines[0], "table": "table2", "mean": 0.9, "paper": 0.9}])


def test_each_row_has_a_line_of_ours_and_one_of_the_papers():
    rows = [("Adam", "L2: 1e-3", 2), ("Adam", "L2: 1e-4", 0), ("Adam", "WD: 1e-4", 2), ("SGD", "L2: 1e-3", 1)]
    adam, sgd = draw_layers(cells(rows)).axes
    told = {line.get_label(): [*line.get_ydata()] for line in adam.lines if not line.get_label().startswith("_")}
    assert {*told} == {"L2: 1e-3, the paper", "L2: 1e-3, ours (n = 2)", "L2: 1e-4, the paper"}
    assert told["L2: 1e-3, the paper"] == pytest.approx([0, 2])  # the total is a point of its own
    assert told["L2: 1e-3, ours (n = 2)"] == pytest.approx([0, 1])
    totals = [line for line in adam.lines if line.get_label().startswith("_")]
    assert [line.get_ydata()[0] for line in totals] == pytest.approx([4, 2, 4])
    assert len({line.get_xdata()[0] for line in totals}) == 3  # none hides another
    assert [ax.get_title() for ax in (adam, sgd)] == ["Adam", "SGD"]
    assert [tick.get_text() for tick in sgd.get_xticklabels()] == ["C1", "C2", "Total"]
    texts = [(text.get_text(), text.get_position()[1]) for text in adam.texts]
    assert [text for text, _ in texts] == ["2", "(4)", "(4)"]  # the totals, the paper's in brackets
    heights = [height for _, height in texts]
    assert all(high - low >= 7 for low, high in itertools.pairwise(heights))
    assert [text.get_text() for text in adam.get_legend().get_texts()] == ["L2 1e-3", "L2 1e-4"]


def test_the_picture_says_how_many_seeds_are_ours():
    few = draw_layers(cells([("Adam", "L2: 1e-3", 2), ("SGD", "L2: 1e-3", 1)]))
    none = draw_layers(cells([("Adam", "L2: 1e-3", 0)]))
    assert [drawn.legends[0].get_texts()[0].get_text() for drawn in (few, none)] == [
        "ours (n = 1 to 2)",
        "ours: no runs",
    ]
