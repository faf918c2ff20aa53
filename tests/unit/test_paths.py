"""Where results lie: the paths on disk are part of what a campaign leaves, and must not change."""

from pathlib import Path

import pytest

from filter_sparsity import cli
from filter_sparsity.errors import UserError
from filter_sparsity.paths import ResultsFolder, expand


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SCRATCH", "/scratch/me")
    monkeypatch.delenv("NO_SUCH", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def test_a_path_is_expanded_as_in_a_shell(home):
    for path, full in {
        "~": str(home),
        "~/data": f"{home}/data",
        "$HOME/data": f"{home}/data",
        "${SCRATCH}/a b": "/scratch/me/a b",
        "results/a~b": "results/a~b",
        "a$1": "a$1",
    }.items():
        assert expand(path) == full


def test_a_folder_that_is_there_is_taken_as_it_is(home):
    (home.parent / "a$SCRATCH").mkdir()
    (home.parent / "b$NO_SUCH").mkdir()
    assert expand("a$SCRATCH") == "a$SCRATCH"
    assert expand("b$NO_SUCH") == "b$NO_SUCH"


@pytest.mark.parametrize(
    ("path", "said"),
    [("$NO_SUCH/a", r"\$NO_SUCH is not set"), ("~nobody_of_this_name/a", "no home ~nobody_of_this_name")],
)
def test_an_unknown_variable_or_home_is_refused(home, path, said):
    with pytest.raises(UserError, match=said) as error:
        expand(path)
    assert path in str(error.value)


def test_a_verb_s_path_may_begin_with_the_home(home, root, capsys):
    (home / "data").mkdir(parents=True)
    assert cli.main(["datasets", "--table", str(root / "config/datasets.yaml"), "--root=~/data"]) == 0
    assert capsys.readouterr().out.startswith(f"original data: {home}/data\n")
    assert not (home.parent / "~").exists()


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
