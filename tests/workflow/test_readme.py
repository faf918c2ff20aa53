"""What the README and the pages tell people to do."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from snakemake.cli import parse_args

from filter_sparsity import cli, paths
from filter_sparsity.planning import reference
from filter_sparsity.planning.build import anchor_paths, build_plan, build_plans, merge
from filter_sparsity.planning.validation import read_yaml
from filter_sparsity.records import archive
from filter_sparsity.typesetting.readme import render_verdict
from filter_sparsity.verdict.cells import judge_numbers
from filter_sparsity.verdict.claims import judge_claims
from filter_sparsity.verdict.summary import as_json, summarize
from helpers.projects import ROOT
from helpers.snakemake_output import jobs

README = (ROOT / "README.md").read_text()
PAGES = {path.relative_to(ROOT).as_posix(): path.read_text() for path in sorted((ROOT / "docs").glob("*.md"))}
PAGES |= {"README.md": README, "config/README.md": (ROOT / "config/README.md").read_text()}
PROGRAMS = r"(?:make|snakemake|filter-sparsity|(?:\.venv/bin/)?python) [^#\n`]*?"
EXAMPLE = re.compile(r'```yaml title="([^"]+)"\n(.*?)```', re.DOTALL)


def told(program: str) -> list[tuple[str, str]]:
    """(page, command) of every command of a program, in a line of its own or within the text; each of them once."""
    found: dict[str, str] = {}
    for page, text in PAGES.items():
        for match in re.finditer(rf"^    ({PROGRAMS}) *(?:#.*)?$|`({PROGRAMS})`", text, re.MULTILINE):
            found.setdefault(match[1] or match[2], page)
    return [(page, command) for command, page in found.items() if Path(shlex.split(command)[0]).name == program]


def follow(project, page: str) -> None:
    """Bring a page's examples into a project: additions to its experiments, and files of their own."""
    for file, text in EXAMPLE.findall(PAGES[page].replace("/data/vision", str(project.folder))):  # it must be there
        path: Path = project.folder / file
        if path.suffix == ".yaml":  # others name a place within a file
            before = read_yaml(path) if path.exists() else {}
            example = read_yaml_text(text, project.folder)
            example["claims"] = [*before.get("claims", []), *example.get("claims", [])]
            lists = {key: value for key, value in example.items() if value != []}
            path.write_text(json.dumps(merge(before, lists)))  # which is YAML, too


def read_yaml_text(text: str, folder: Path) -> dict:
    path = folder / "example.yaml"
    path.write_text(text)
    return read_yaml(path)


def planned() -> dict[tuple[str, ...], str]:
    """Targets and configuration files of the commands, each combination once, and the page it stands on."""
    found: dict[tuple[str, ...], str] = {}
    for page, command in told("snakemake"):
        options = parsed(command)
        files = ["--configfile", *map(str, options.configfile)] if options.configfile else []
        files += ["--config", *options.config] if options.config else []
        if not options.unlock:  # the page itself is made in another test
            found.setdefault((*sorted(options.targets), *files), page)
    return found


def parsed(command: str):
    """The options as Snakemake reads them, which ends with an error where it does not know one."""
    return parse_args(shlex.split(command)[1:])[1]


@pytest.mark.parametrize("command", [command for _, command in told("snakemake")])
def test_snakemake_knows_the_options_and_the_configuration(command):
    for setting in parsed(command).config or []:
        assert setting.partition("=")[0] in {**read_yaml(ROOT / "config/config.yaml"), "note": None}


@pytest.mark.parametrize(("words", "page"), [pytest.param(*each, id=" ".join(each[0])) for each in planned().items()])
def test_snakemake_commands_can_be_planned(project, words, page):
    follow(project, page)
    assert jobs(project.snakemake("-n", *words))["total"] >= 1


@pytest.mark.parametrize("command", [command for _, command in told("make")])
def test_make_targets_are_there(command):
    assert (ROOT / "Makefile").read_text().count(f"\n{command.split()[1]}: ") == 1


@pytest.mark.parametrize("command", re.findall(r"^    (make \w+)", README, re.MULTILINE))
def test_make_targets_of_the_readme_run_in_ci(command):
    assert f"{command}\n" in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize("command", [command for _, command in told("filter-sparsity")])
def test_verbs_have_the_options_that_are_told(command, capsys):
    words = shlex.split(command)[1:]
    with pytest.raises(SystemExit, match="0"):
        cli.main([words[0], "--help"])
    said = capsys.readouterr().out
    assert all(word in said for word in words if word.startswith("--"))


@pytest.mark.parametrize("command", [command for _, command in told("python")])
def test_python_commands_run(command, capsys):
    words = shlex.split(command)[1:]
    if words[:2] == ["-m", "filter_sparsity"]:  # needs a plan
        test_verbs_have_the_options_that_are_told(" ".join(words[1:]), capsys)
        return
    if words[0].startswith(("benchmarks/", "examples/", "tests/")):  # take too long; examples have tests of their own
        program = (ROOT / words[0]).read_text()
        assert all(word in program for word in words[1:] if word.startswith("--"))
        return
    collect = ["--collect-only", "-q"] if "pytest" in words else []
    done = subprocess.run([sys.executable, *words, *collect], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_the_table_of_targets_names_targets():
    page = PAGES["docs/targets.md"].partition("## Targets\n")[2].partition("\n## ")[0]
    targets = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", page, re.MULTILINE)))
    plan = build_plan(anchor_paths(read_yaml(ROOT / "config" / "config.yaml"), ROOT))
    assert {*targets} <= {*plan.tables, *plan.figures, "report", "page", "check"}
    assert len(targets) > 10


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    """To files; places within them are checked where the site is built."""
    for link in re.findall(r"\]\((?!http)([^)#]+)", PAGES[page]):
        assert ((ROOT / page).parent / link).exists(), link


@pytest.mark.parametrize("page", [page for page, text in PAGES.items() if "```yaml" in text])
def test_every_example_says_its_file_and_is_accepted(project, page):
    text = PAGES[page]
    assert text.count("```yaml") == len(EXAMPLE.findall(text))
    follow(project, page)
    recipe = read_yaml(project.folder / "config/recipe.yaml")
    for name in {file for file, _ in EXAMPLE.findall(text)} & {"config/scales/half.yaml", "config/mine.yaml"}:
        settings = merge(read_yaml(ROOT / "config/config.yaml"), read_yaml(project.folder / name))
        build_plan(anchor_paths(settings, project.folder))
    assert recipe["seeds"]["paper"] == [0, 1, 2]  # what was there is still there


def test_the_example_of_a_new_row_trains_one_spec(project):
    """docs/experiments.md: Adam with other moments in Table 1."""
    (file, optimizer), (place, group), *_ = EXAMPLE.findall(PAGES["docs/experiments.md"])
    assert (file, place) == ("config/recipe.yaml", "config/tables.yaml: tables.table1.panels[0].groups")
    assert yaml.safe_load(optimizer)["optimizers"]["adam_torch"]["algorithm"] == "Adam"
    before = jobs(project.snakemake("-n", "table1"))["train"]
    first = "          - label: Adam\n            settings: {optimizer: adam}\n"
    for name, old, new in (
        ("recipe", "\noptimizers:\n", "\n" + optimizer),
        ("tables", first, group + first),
    ):
        path: Path = project.folder / "config" / f"{name}.yaml"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))
    assert jobs(project.snakemake("-n", "table1"))["train"] == before + 1


def test_documented_examples_of_additions_do_what_they_say(project):
    follow(project, "docs/experiments.md")
    done = project.verb("plan", "--config", "config/config.yaml", "--out", "plan.json")
    assert done.returncode == 0, done.stderr
    plan = yaml.safe_load((project.folder / "plan.json").read_text())
    assert plan["seeds"] == [0, 1, 2, 3]
    (claim,) = [claim for claim in plan["claims"] if claim["id"] == "adamax_weak_l2"]
    assert claim["tests"][0]["spec"]["spec_id"] in plan["specs"]
    assert jobs(project.snakemake("-n", "figure5"))["train"] == 2
    paper, half = (
        jobs(project.snakemake("-n", "report", "--configfile", f"config/scales/{scale}.yaml"))["train"]
        for scale in ("paper", "half")
    )
    assert paper == half > 0


def test_the_reference_is_that_of_the_schemas():
    """To mend it: `filter-sparsity reference`."""
    assert PAGES["docs/reference.md"] == reference.page()
    for key in read_yaml(ROOT / "config/config.yaml"):
        assert f"`{key}`" in PAGES["docs/reference.md"]


def site(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", folder / "mkdocs.yml"],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def pages(tmp_path):
    """A copy of the pages, beside the files that they link to."""
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    for name in ("benchmarks", "config", "profiles", "report", "src"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def test_the_site_has_its_formulas_and_fetches_nothing(pages):
    done = site(pages)
    assert done.returncode == 0, done.stderr
    for name in ("measures", "verdicts"):
        formulas = PAGES[f"docs/{name}.md"].count("```math")
        assert (pages / "site" / f"{name}.html").read_text().count("<math") == formulas > 0
    for page in (pages / "site").glob("*.html"):
        assert not re.search(r"<(?:script|img|link rel=.stylesheet.)[^>]*(?:src|href)=.https?:", page.read_text())


@pytest.mark.parametrize("link", ["nowhere.md", "gpu.md#nowhere", "../src/nowhere.py"])
def test_a_link_that_leads_nowhere_fails_the_site(pages, link):
    with (pages / "docs" / "data.md").open("a") as page:
        page.write(f"\n[there]({link})\n")
    done = site(pages)
    assert done.returncode != 0
    assert "nowhere" in done.stderr


@pytest.mark.parametrize(("page", "template"), [("README.md", "readme"), ("docs/reproduction_summary.md", "summary")])
def test_the_verdict_is_that_of_the_stored_records(page, template, tmp_path, monkeypatch):
    """To mend it: `snakemake readme`."""
    monkeypatch.chdir(ROOT)
    _, plan, _ = build_plans(read_yaml(ROOT / "config" / "config.yaml"))
    runs, simulations = tmp_path / "runs", tmp_path / "simulations"
    archive.restore(plan, paths.reference(plan.scale), runs, simulations)
    cells = judge_numbers(plan, runs, paths.PUBLISHED, paths.TOLERANCES)
    claims = judge_claims(plan, runs, simulations, paths.TOLERANCES)
    for name, frame in (("cells", cells), ("claims", claims)):
        frame.to_csv(tmp_path / f"{name}.csv", index=False, float_format="%.10g")
    (tmp_path / "verdict.json").write_text(as_json(summarize(plan, cells, claims)))
    file = ROOT / "report" / f"{template}.md.j2"
    reference = paths.reference(plan.scale)
    made = render_verdict(plan, tmp_path, reference, Path("docs/layers.png"), file, Path(page))
    assert made in (ROOT / page).read_text()


def test_the_readme_is_short():
    """The first screen: answer, picture, headlines, two commands; the rest are links."""
    assert len(README.splitlines()) < 120
    places = [README.index(words) for words in ("](docs/layers.png)", "| claim of", "    make report", "    make test")]
    assert places == sorted(places)
