"""What the Snakefile does first, and last."""

import itertools
import shlex
import subprocess
import sys

import pytest

from filter_sparsity.planning import startup
from filter_sparsity.planning.build import build_plans, merge
from filter_sparsity.planning.validation import read_yaml

SCALES = {name: (f"config/scales/{name}.yaml",) for name in ("paper", "reduced", "sensitivity")} | {"quick": ()}


def test_a_plan_of_stored_records_is_the_same_for_every_scale(root, monkeypatch):
    """Else calls for two scales make each other's plans, and all that follows, again and again."""
    monkeypatch.chdir(root)
    digests: dict[str, set[str]] = {}
    for files, records in itertools.product(SCALES.values(), ("trained", "stored")):
        config = read_yaml(root / "config/config.yaml")
        for file in files:
            config = merge(config, read_yaml(root / file))
        for plan in build_plans(config | {"records": records}):
            if plan is not None and not plan.trains:
                digests.setdefault(plan.results_folder.name, set()).add(plan.digest)
    assert {*digests} == {"paper-stored", "quick-stored", "reduced-stored", "sensitivity-stored"}
    assert {name: len(found) for name, found in digests.items()} == dict.fromkeys(digests, 1)


@pytest.mark.parametrize("text", ["run #3, two A100 cards", "cards: two", "3", "[a, b", 'it\'s "fast"', ""])
@pytest.mark.parametrize("form", ["note={}", 'note="{}"', "--config=note={}"])
def test_a_note_is_taken_as_it_is_written(text, form):
    assert startup.written_note(["snakemake", "store_reference", "--config", "a=note", form.format(text)]) == text


def test_without_a_note_there_is_none():
    assert startup.written_note(["snakemake", "--config", "a=b"]) is None


@pytest.mark.parametrize("name", ["plain", 'my $HOME\'s (new) {c} "x" & ; bin'])
def test_the_jobs_shell_finds_verbs_in_any_folder(tmp_path, monkeypatch, name):
    folder = tmp_path / name
    folder.mkdir()
    (folder / "filter-sparsity").write_text("#!/bin/sh\necho found\n")
    (folder / "filter-sparsity").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    prefix = startup.shell_prefix().format()  # as Snakemake does
    done = subprocess.run(["bash", "-euc", f"{prefix}filter-sparsity"], capture_output=True, text=True)
    assert done.stdout == "found\n", done.stderr


def test_a_folder_that_path_cannot_have_is_one_line(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/home/a:b/bin/python")
    with pytest.raises(SystemExit, match=r"\Aerror: PATH cannot have /home/a:b/bin[^\n]+\Z"):
        startup.shell_prefix()


def test_another_folder_than_the_projects_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "the project").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as error:
        startup.check_folder(str(tmp_path / "the project"))
    assert str(error.value).startswith("error: ")
    assert str(error.value).endswith(f"cd {shlex.quote(str(tmp_path / 'the project'))}")
    startup.check_folder(str(tmp_path))


def test_errors_of_jobs_come_last_and_once(tmp_path):
    (tmp_path / "log").write_text("a\nerror: one thing\n    error: another\nerror: one thing\nb\n")
    program = (
        "import sys; from filter_sparsity.planning import startup; "
        f"startup.repeat_errors([{str(tmp_path / 'log')!r}]); print('Complete log(s)', file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    said = done.stderr.splitlines()
    assert said[0] == "Complete log(s)"
    assert sorted(said[1:]) == ["error: another", "error: one thing"]
