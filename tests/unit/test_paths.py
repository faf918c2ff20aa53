"""Where results lie: the paths on disk are part of what a campaign leaves, and must not change."""

from pathlib import Path

from filter_sparsity.paths import ResultsFolder


def test_trained_and_archived_records_have_folders_of_their_own():
    assert ResultsFolder.of("quick").path == Path("results/quick")
    assert ResultsFolder.of("reduced", "stored").path == Path("results/reduced-stored")
    assert ResultsFolder.of("reduced", "stored").name == "reduced-stored"


def test_every_artefact_has_its_place():
    out = ResultsFolder.of("quick")
    places = {
        "plan.json": out.plan,
        "runs": out.runs,
        "runs/a/seed0": out.run("a", 0),
        "tables/table1.csv": out.table("table1", "csv"),
        "figures/layers.png": out.figure("layers", "png"),
        "simulations": out.simulations,
        "simulations/figure3.csv": out.simulation("figure3"),
        "logs/plan.log": out.log("plan"),
        "check/check.json": out.check("json"),
        "verdict/cells.csv": out.verdict("cells.csv"),
        "sensitivity.csv": out.sensitivity,
        "report.pdf": out.report("pdf"),
    }
    assert {Path("results/quick") / place: path for place, path in places.items()} == {p: p for p in places.values()}


def test_wildcards_pass_through():
    assert (
        str(ResultsFolder(Path("results/{results}")).run("{spec}", "{seed}"))
        == "results/{results}/runs/{spec}/seed{seed}"
    )
