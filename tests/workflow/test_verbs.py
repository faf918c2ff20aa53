"""The command line without Snakemake, and mistakes made at it."""

from __future__ import annotations

import resource

import pytest

from helpers.snakemake_output import refused


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """A project with a plan and prepared data, and the id of one of its specs."""
    from helpers.projects import copy

    project = copy(tmp_path_factory.mktemp("verbs"))
    made = project.verb(
        "plan", "--config", "config/config.yaml", "--config", "config/tiny_scale.yaml", "--out", "plan.json"
    )
    assert made.returncode == 0, made.stderr
    made = project.verb("prepare", "digits", "--root", "original", "--out", "digits.safetensors")
    assert made.returncode == 0, made.stderr
    from filter_sparsity.plan import Plan

    spec = next(iter(Plan.from_json(project.folder / "plan.json").specs))
    return project, spec


def training(spec: str, *more: str) -> list[str]:
    usual = f"train --plan plan.json --spec {spec} --seed 0 --data digits.safetensors --runs runs"
    return [*usual.split(), *more]


def test_train_and_extract_by_hand(planned):
    project, spec = planned
    trained = project.verb(*training(spec))
    assert trained.returncode == 0, trained.stderr
    assert "test error" in trained.stderr
    measured = project.verb("extract", *training(spec)[1:])
    assert measured.returncode == 0, measured.stderr
    assert "sparsity by gamma" in measured.stderr


def test_the_same_seed_gives_the_same_bytes(planned):
    project, spec = planned
    for runs in ("first", "second"):
        assert project.verb(*training(spec, "--runs", runs)).returncode == 0
    for name in ("weights.safetensors", "affine.safetensors", "history.csv"):
        one, two = (project.folder / runs / spec / "seed0" / name for runs in ("first", "second"))
        assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("prepare mnist --root o --out x", ["no source for the dataset 'mnist'", "digits"]),
        ("train --spec nothing --seed 0 --data digits.safetensors --runs runs", ["not a spec in JSON", "--plan"]),
        ("train --spec {} --seed 0 --data digits.safetensors --runs runs", ["not a spec", "network"]),
        ("train --plan plan.json --spec nothing --seed 0 --data digits.safetensors --runs runs", ["no spec 'nothing'"]),
        (
            "typeset-table --plan plan.json --table table9 --values v --template report/table.tex.j2 --out x",
            ["cannot read v"],
        ),
        ("plot --plan nowhere.json --figure figure1 --runs runs --out x.pdf", ["cannot read nowhere.json"]),
        ("plot --plan plan.json --figure figure9 --runs runs --out x.pdf", ["figure9", "figure1"]),
        ("simulate --plan plan.json --figure figure1 --out x --half-lives y", ["figure1", "simulation"]),
        ("prepare shapes_plain --root o --out x", ["shapes_plain", "--rendered"]),
        (
            "prepare shapes_plain --root o --rendered nowhere --out x",
            ["nowhere is not there", "filter-sparsity render"],
        ),
        ("prepare shapes_plain --root o --rendered digits.safetensors --out x", ["does not hold whole renders"]),
        ("render shapes --settings {} --root o --out x", ["not the settings of a family"]),
        ("render shapes --settings {nonsense --root o --out x", ["--settings"]),
        ("render spheres --settings {} --root o --out x", ["not the settings"]),
        ("plot --plan plan.json --figure figure4 --runs runs --out x.pdf", ["figure4", "--data"]),
        ("check nowhere.json", ["cannot read nowhere.json"]),
        ("plan --settings {} --out x", ["configuration", "required"]),
        ("plan --settings {nonsense --out x", ["--settings"]),
    ],
)
def test_mistakes_are_one_line(planned, command, words):
    project, _ = planned
    refused(project.verb(*command.split()), *words)
    assert not (project.folder / "x").exists()


def test_a_full_disk_leaves_nothing_half_written(planned):
    """A limit on the size of files stands in for the disk: writing fails half-way with the system's own error."""
    project, spec = planned

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    refused(project.verb(*training(spec, "--runs", "full"), preexec_fn=limit), "weights.safetensors")
    assert [path.name for path in (project.folder / "full" / spec / "seed0").iterdir()] == ["train.log"]


def test_a_results_folder_that_cannot_be_made(planned):
    project, spec = planned
    (project.folder / "occupied").write_text("a file where a folder should be")
    refused(project.verb(*training(spec, "--runs", "occupied")), "occupied")


def test_cuda_where_there_is_none(planned):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    project, spec = planned
    refused(project.verb(*training(spec, "--device", "cuda")), "no CUDA device")


def test_datasets_says_what_is_there_and_how_to_get_the_rest(planned):
    project, _ = planned
    (project.folder / "mine").mkdir()
    (project.folder / "mine" / "tiny-imagenet-200.zip").touch()
    done = project.verb("datasets", "--root", "mine", "--prepared", ".")
    assert done.returncode == 0, done.stderr
    states = dict(line.split(": ", 1) for line in done.stdout.splitlines() if not line.startswith(" "))
    assert states["original data"] == "mine"
    assert states["digits"] == "prepared"
    assert states["digit_pairs"] == "ships in a package"
    assert states["tiny_imagenet"] == "there: mine/tiny-imagenet-200.zip"
    assert states["imagenet"].startswith("missing: after registration")
    done = project.verb("datasets", "--root", "elsewhere", "--prepared", ".")
    assert done.stdout.startswith("original data: elsewhere, which is not there\n")
