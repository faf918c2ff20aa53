"""A tiny run end to end through the real rules to a PDF, and what happens to it afterwards."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import sync_playwright
from pypdf import PdfReader

from filter_sparsity.paths import ResultsFolder
from filter_sparsity.records.record import sealed
from helpers.fault_injection import same
from helpers.projects import copy
from helpers.snakemake_output import jobs, refused
from helpers.surroundings import hostile_home, hostile_name, read_only_litter

pytestmark = pytest.mark.latex


def one_record(project):
    return sorted(project.folder.glob("results/test/runs/*adam*/seed0/record.json"))[0]


def change_record(project, change) -> None:
    """Change a record and seal it again, as another measurement would have been."""
    path = one_record(project)
    record = json.loads(path.read_text())
    del record["digest"]
    change(record["measured"])
    path.write_text(sealed(record))


def test_the_pdf_holds_the_numbers_of_the_tables(finished):
    results = finished.folder / "results" / "test"
    text = "".join(page.extract_text() for page in PdfReader(results / "report.pdf").pages)
    assert "not comparable with the paper" in text
    values = pd.read_csv(results / "tables" / "table1.csv")
    for loss in values.loc[values["metric"] == "test_loss", "mean"]:
        assert f"{loss:.2f}" in text
    for printed in ("13.5", "21.8"):  # the paper's, beside ours
        assert printed in text
    assert "Sensitivity analysis: settings that nobody printed" in text
    assert "Adam & co_%" in text
    assert "1e-03 #1" in text


def test_every_figure_and_table_is_there(finished):
    results = finished.folder / "results" / "test"
    for name in ("figure1", "figure2", "figure3", "figure4"):
        assert len(PdfReader(results / "figures" / f"{name}.pdf").pages) == 1
        assert (results / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    for name in ("table1", "table4"):
        assert (results / "tables" / f"{name}.tex").exists()


def test_provenance_and_logs_stand_beside_each_run(finished):
    runs = list((finished.folder / "results" / "test" / "runs").glob("*/seed*"))
    assert len(runs) == 6
    for run in runs:
        origin = json.loads((run / "provenance.json").read_text())
        assert origin["wall_seconds"] > 0
        assert origin["versions"]["torch"]
        assert origin["spec_id"] == run.parent.name
        assert "test error" in (run / "train.log").read_text()


def test_a_hostile_home_gives_the_same_bytes(finished, tmp_path):
    """Spaces, quotes and braces in the paths, rc files, another locale, and litter in read-only data."""
    folder = tmp_path / hostile_name()
    folder.mkdir()
    project = copy(folder)
    project.environment = hostile_home(tmp_path / "of a person")
    data = read_only_litter(folder / "shared data")
    (folder / ".venv").symlink_to(Path(sys.prefix))
    command = [str(folder / ".venv/bin/python"), "-m", "snakemake", "--cores", "2", "report"]
    project.configure(data_root=str(data))  # in a file: Snakemake reads `--config` as YAML, where # begins a comment
    done = project.call(*command, "--configfile", "config/tiny_scale.yaml")
    assert done.returncode == 0, done.stderr[-3000:]
    made, expected = same(project), same(finished)
    assert {*made} == {*expected}
    assert [name for name, content in expected.items() if made[name] != content] == []
    assert sum(name.endswith((".pdf", ".png")) for name in expected) > 8


def test_nothing_is_left_to_do(finished):
    done = finished.tiny("-n", "report")
    assert done.returncode == 0
    assert "Nothing to be done" in done.stdout + done.stderr


def test_a_caption_changes_no_training(again):
    tables = again.read("tables")
    tables["tables"]["table1"]["caption"] = "Another caption."
    again.write("tables", tables)
    planned = jobs(again.tiny("-n", "report"))
    assert "train" not in planned
    assert "extract" not in planned
    assert planned["typeset_table"] >= 1


def test_runs_without_a_plan_are_not_trained_again(again):
    """As when they were copied from another machine."""
    (again.folder / "results" / "test" / "plan.json").unlink()
    shutil.rmtree(again.folder / ".snakemake")
    shutil.rmtree(again.folder / "results" / "test" / "tables")
    planned = jobs(again.tiny("-n", "report"))
    assert planned["plan"] == 1
    assert "train" not in planned
    assert "extract" not in planned


def test_a_new_row_trains_one_spec(again):
    tables = again.read("tables")
    rows = tables["tables"]["table1"]["panels"][0]["groups"][0]["rows"]
    rows.append({"label": "L2: 5e-3", "l2": 5e-3})
    again.write("tables", tables)
    done = again.tiny("table1")
    assert done.returncode == 0, done.stderr[-2000:]
    assert jobs(done)["train"] == 1
    values = pd.read_csv(again.folder / "results" / "test" / "tables" / "table1.csv")
    assert values.loc[values["row"] == "L2: 5e-3", "paper"].isna().all()  # no number of the paper's for our own row
    assert values.loc[values["row"] == "L2: 1e-3", "paper"].notna().all()


def test_a_table_alone_is_a_pdf(again):
    done = again.tiny("table4")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "train" not in jobs(done)
    text = PdfReader(again.folder / "results" / "test" / "tables" / "table4.pdf").pages[0].extract_text()
    assert "Table 4" in text


@pytest.fixture
def chromium():
    """A page of Debian's Chromium, or of Chrome, without a window."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not found:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    with sync_playwright() as play:
        # Root may not have a sandbox, and a machine of CI has no GPU.
        browser = play.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield browser.new_page()
        browser.close()


@pytest.mark.browser
def test_the_page_shows_its_pictures_and_fetches_nothing(again, chromium):
    path = again.folder / "results" / "test" / "page.html"
    done = again.tiny("page", "--report", str(path), "--report-after-run")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "ERROR" not in done.stderr  # of reStructuredText
    assert path.stat().st_size < 10e6  # small enough to mail

    asked, failed = [], []
    chromium.on("request", lambda request: asked.append(request.url))
    chromium.on("pageerror", lambda error: failed.append(error))

    def opened(*texts):
        chromium.goto(path.as_uri())
        for text in texts:
            chromium.get_by_text(text, exact=True).last.click()
        return chromium.locator("tbody tr")

    opened()
    assert "Scale test: digits for CIFAR-10" in chromium.inner_text("body")
    assert chromium.locator("svg.marks, canvas").count() > 0  # the rules and how they hang together
    opened("Statistics")
    chromium.locator("svg.marks, canvas").first.wait_for()

    pictures = {"Figures": ["figure1", "figure2", "figure3", "figure4"], "Verdict": ["all in one picture"]}
    for category, names in pictures.items():
        for name in names:
            row = opened(category).filter(has_text=name)
            row.locator("a").nth(0).click()  # the eye
            picture = chromium.locator("div.p-3 > img")  # not the logo
            # decode() fails where there is no picture, and waits for as long as a busy machine takes.
            assert picture.evaluate("i => i.decode().then(() => i.naturalWidth)") > 500, name

    captions = {"Figures": "digits for CIFAR-10", "Tables": "not comparable", "Records": "digest", "Report": "settings"}
    for category, words in captions.items():
        opened(category).first.locator("a").nth(1).click()
        chromium.get_by_text("Description").wait_for()
        assert words in chromium.inner_text("body")
    rows = opened("Records")
    for run in (again.folder / "results" / "test" / "runs").iterdir():
        # A row for each seed, or one with a switch between them: Snakemake's choice, by whether every run has both.
        assert rows.filter(has_text=run.name).count() in (1, 2), run.name
    assert all(url.startswith(("file:", "data:", "blob:")) for url in asked)
    assert not failed


def test_check_agrees_with_itself_and_finds_a_difference(again):
    reference = again.folder / "report" / "references" / "measured" / "test.csv"
    missing = again.tiny("check")
    assert missing.returncode != 0
    assert "test.csv" in missing.stderr

    assert again.tiny("store_reference").returncode == 0
    assert len(pd.read_csv(reference)) > 50
    good = again.tiny("check")
    assert good.returncode == 0, good.stderr[-2000:]
    compared = pd.read_csv(again.folder / "results" / "test" / "check" / "check.csv")
    assert (compared["verdict"] == "agrees").sum() > 300
    assert (compared.loc[compared["verdict"] == "no reference", "n"] == 1).all()  # one of two seeds has the number

    change_record(again, lambda m: m["sparsity_by_gamma"].update(C7=0.9))
    bad = again.tiny("check")
    assert bad.returncode != 0
    assert "differs" in bad.stdout
    found = pd.read_csv(again.folder / "results" / "test" / "check" / "check.csv")
    differing = found[found["verdict"] == "differs"]
    assert [*differing["layer"]] == ["C7", "C7"]
    assert [*differing["spec_id"]] == [one_record(again).parents[1].name, "all specs"]
    assert json.loads((again.folder / "results" / "test" / "check" / "check.json").read_text())["differs"] == 2


def test_the_supplement_is_typeset_from_stored_records_alone(again):
    """Without a training, and with other runs missing: the trained results and the stored ones lie apart."""
    assert again.tiny("store_reference").returncode == 0
    trained = pd.read_csv(again.folder / "results" / "test" / "tables" / "table1.csv")
    shutil.rmtree(again.folder / "results" / "test")
    tiny = (again.folder / "config" / "tiny_scale.yaml").read_text()
    (again.folder / "config" / "tiny_stored.yaml").write_text(f"{tiny}records: stored\n")
    done = again.snakemake("report", "--configfile", "config/tiny_stored.yaml")
    assert done.returncode == 0, done.stderr[-3000:]
    assert not {"train", "extract", "simulate"} & {*jobs(done)}
    assert not (again.folder / "results" / "test").exists()
    out = ResultsFolder(again.folder / "results" / "test-stored")
    assert pd.read_csv(out.table("table1", "csv")).equals(trained)
    text = "".join(page.extract_text() for page in PdfReader(out.report("pdf")).pages)
    assert "Scale test, stored records" in text
    for name in ("figure1", "figure2", "figure3"):
        assert out.figure(name, "png").exists()


def test_stored_records_without_some_runs_leave_dashes(again):
    shutil.rmtree(one_record(again).parents[1])
    assert again.verb(
        *("store", "--plan", "results/test/plan.json", "--runs", "results/test/runs", "--simulations", "none"),
        *("--out", "report/references/measured/test.csv"),
    ).returncode == 0  # fmt: skip
    tiny = (again.folder / "config" / "tiny_scale.yaml").read_text()
    (again.folder / "config" / "tiny_stored.yaml").write_text(f"{tiny}records: stored\n")
    done = again.snakemake("report", "--configfile", "config/tiny_stored.yaml")
    assert done.returncode == 0, done.stderr[-3000:]
    out = ResultsFolder(again.folder / "results" / "test-stored")
    cells = pd.read_csv(out.verdict("cells.csv"))
    assert {*cells["verdict"]} == {"not comparable", "not measured"}
    assert (cells.loc[cells["verdict"] == "not measured", "n"] == 0).all()
    text = "".join(page.extract_text() for page in PdfReader(out.report("pdf")).pages)
    assert "needs stored runs of Adam" in text
    assert "not stored" in text  # the simulation


def test_a_new_measuring_recipe_measures_every_record_again(again, tmp_path):
    """As after a change of a formula: the same call does it, and no table is made of the older records."""
    (tmp_path / "later").mkdir()
    (tmp_path / "later/sitecustomize.py").write_text("from filter_sparsity import metrics\nmetrics.MEASURING = 2\n")
    assert "train" not in jobs(again.tiny("-n", "report"))
    paths = [str(tmp_path / "later"), *filter(None, [os.environ.get("PYTHONPATH")])]
    again.environment["PYTHONPATH"] = os.pathsep.join(paths)
    planned = jobs(again.tiny("-n", "report"))
    assert planned["train"] == 3  # jobs that train and measure both seeds of a spec
    assert planned["simulate"] == 1
    command = "aggregate --plan results/test/plan.json --table table1 --runs results/test/runs --out table1.csv"
    references = "--published report/references/paper --tolerances report/references/tolerances.yaml"
    said = "record.json was measured by version 1 of the measuring recipe, and this code has 2"
    refused(again.verb(*command.split(), *references.split()), said)


def test_check_with_only_foreign_references_is_not_good(again):
    reference = again.folder / "report" / "references" / "measured" / "test.csv"
    assert again.tiny("store_reference").returncode == 0
    reference.write_text(re.sub(r"-(\w{6}),", r"-\g<1>0,", reference.read_text()))
    assert again.tiny("check").returncode != 0


def test_a_hand_edited_record_is_refused(again):
    path = one_record(again)
    path.write_text(path.read_text().replace('"test_error": 0.', '"test_error": 0.0', 1))
    refused(again.tiny("table1"), "record.json", "does not match its digest")


def test_a_truncated_record_is_refused(again):
    path = one_record(again)
    path.write_text(path.read_text()[:200])
    refused(again.tiny("table1"), "record.json", "cut short")


def test_results_of_other_settings_are_refused(again):
    runs = again.folder / "results" / "test" / "runs"
    adam, sgd = sorted(runs.glob("*adam*"))[0], sorted(runs.glob("*sgd-l2_0.01*"))[0]
    shutil.copy(sgd / "seed0" / "record.json", adam / "seed0" / "record.json")
    refused(again.tiny("table1"), "is the record of", adam.name)


def test_without_latex_everything_but_the_pdf_is_made(again, tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "sh", "env", "git", "cat", "uname", "dirname", "which"):
        if found := shutil.which(name):
            (tools / name).symlink_to(found)
    again.environment["PATH"] = str(tools)
    for path in again.folder.glob("results/test/*.pdf"):
        path.unlink()
    for path in again.folder.glob("results/test/tables/*.tex"):
        path.unlink()
    assert again.tiny("tables", "figures").returncode == 0
    refused(again.tiny("report"), "LaTeX is not installed", "apt-get install")
    assert not (again.folder / "results" / "test" / "report.pdf").exists()


def test_a_killed_run_is_made_again_by_the_same_command(project):
    """kill -9 of Snakemake and its jobs while they train: the ordinary command goes on, and nothing is half-written."""
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "table4", "--configfile", "config/tiny_scale.yaml"]
    running = subprocess.Popen(
        command,
        cwd=project.folder,
        env=project.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    for _ in range(600):
        if list(project.folder.glob("results/test/runs/*/seed0/train.log")):
            break
        time.sleep(0.1)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert not (project.folder / "results" / "test" / "tables" / "table4.tex").exists()
    done = project.tiny("table4")
    assert done.returncode == 0, done.stderr[-2000:]
    assert not list(project.folder.glob("results/**/*.part"))
