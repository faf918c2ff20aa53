"""The table of metrics: against stored records, the paper's tables and the tolerances; and a metric of one's own."""

import csv

import pytest

from filter_sparsity import metrics, paths
from filter_sparsity.errors import UserError
from filter_sparsity.metrics import METRICS, Kind, Layers, Metric
from filter_sparsity.paths import run_folder
from filter_sparsity.planning.build import build_plan
from filter_sparsity.planning.validation import read_yaml
from filter_sparsity.records import archive, record
from filter_sparsity.typesetting.tables import read_values, typeset_table
from filter_sparsity.verdict.aggregate import aggregate
from helpers.experiments import changed

SETTINGS = {"panel", "dataset", "network", "activation", "negative_slope", "optimizer", "regularizer", "strength"}
SETTINGS |= {
    "gamma_init",
    "beta_init",
    "gamma_lr_scale",
    "beta_lr_scale",
}  # columns of the paper's tables that are none
LAYERS = [f"C{i}" for i in range(1, 8)]


@pytest.fixture(scope="module")
def stored(root):
    return archive.tidy(root / paths.reference("quick"))


def test_records_have_the_metrics_of_the_table_and_their_layers(stored):
    assert {*stored["metric"]} == {name for name, metric in METRICS.items() if metric.recorded}
    beside_layers = {Layers.NONE: {""}, Layers.EACH: set(), Layers.TOTAL: {"total"}, Layers.HIDDEN: {"hidden"}}
    for name, own in stored.groupby("metric"):
        metric, found = METRICS[str(name)], {*own["layer"]}
        assert found - {*LAYERS} == beside_layers[metric.layers]
        assert ({*LAYERS} <= found) == metric.by_layer


def test_shares_lie_between_0_and_1(stored):
    shares = stored[~stored["metric"].isin(metrics.unbounded_metrics())]
    assert shares["value"].between(0, 1).all()
    assert stored.loc[stored["metric"] == "test_loss", "value"].max() > 1


def test_every_metric_of_a_record_has_a_least_tolerance(root):
    least = read_yaml(root / paths.TOLERANCES)["stored"]["at_least"]
    assert {*least} == {name for name, metric in METRICS.items() if metric.recorded}


def test_every_number_of_the_papers_tables_is_a_metrics(root):
    columns: set[str] = set()
    for path in (root / paths.PUBLISHED).glob("*.csv"):
        with path.open(newline="") as file:
            columns |= {*(csv.DictReader(file).fieldnames or ())}
    named = [column for metric in METRICS.values() for column in metric.published]
    places = [(dataset, layer) for dataset in ("cifar10", "cifar100") for layer in [*LAYERS, "total"]]
    assert columns - SETTINGS == {c.format(dataset=d, layer=layer) for c in named for d, layer in places}


def test_what_the_paper_prints_has_every_heading():
    printed = {name for name, metric in METRICS.items() if metric.published}
    assert {*metrics.table_metrics()} == printed
    assert all(METRICS[name].overview_heading for name in printed)


def test_a_table_has_totals_of_every_metric_that_it_may_show():
    assert {METRICS[name].layers for name in metrics.table_metrics()} == {Layers.NONE, Layers.TOTAL}


@pytest.fixture
def gamma_norm(monkeypatch):
    """A metric that nobody has measured so far."""
    own = Metric("gamma_norm", Kind.NUMBER, decimals=3, heading="Norm\nof γ", label="norm of γ")
    monkeypatch.setitem(METRICS, own.name, own)


def test_a_new_metric_is_an_entry_and_a_name_in_a_table(gamma_norm, paper_settings, tmp_path, root):
    settings = changed(
        paper_settings, tmp_path, {"    metrics: [train_loss,": "    metrics: [gamma_norm, train_loss,"}, 1
    )
    plan = build_plan(settings)
    runs, values = tmp_path / "runs", tmp_path / "table1.csv"
    for spec_id in plan.selected("table1"):
        for seed in plan.seeds:
            folder = run_folder(runs, spec_id, seed)
            folder.mkdir(parents=True)
            line = {"spec_id": spec_id, "seed": seed, "measured": {"gamma_norm": 1.25 + seed / 4}}
            (folder / "record.json").write_text(record.sealed(line))
    aggregate(plan, "table1", runs, root / paths.PUBLISHED, root / paths.TOLERANCES).to_csv(values, index=False)
    typeset = typeset_table(plan, "table1", read_values(values), root / "report/table.tex.j2")
    assert r"\shortstack{Norm\\of $\gamma$}" in typeset
    assert typeset.count(r"1.500\beside{\spread{0.250}}{\spread{0.250}}") == len(plan.selected("table1"))


def test_a_metric_that_no_table_may_show_is_refused(paper_settings, tmp_path):
    wrong = {"    metrics: [train_loss,": "    metrics: [decay_floor, train_loss,"}
    with pytest.raises(UserError, match="'decay_floor' is not one of train_loss, test_loss"):
        build_plan(changed(paper_settings, tmp_path, wrong, 1))
