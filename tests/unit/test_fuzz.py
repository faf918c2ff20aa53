"""A little of the campaign of changed files (`make stress`)."""

import pytest

from helpers.fuzz import Mutants

COUNTS = {"configuration": 4, "experiments": 2, "datasets": 4, "CIFAR archive": 3}


@pytest.fixture(scope="module")
def mutants(tmp_path_factory):
    return Mutants(tmp_path_factory.mktemp("mutants") / "a", 3)


@pytest.mark.slow
def test_changed_files_are_refused_or_read_as_they_were(mutants):
    for kind in mutants.kinds:
        count = COUNTS.get(kind, 20)
        told = mutants.run(kind, count)
        assert told["refused in one line"] + told["read as it was, or valid"] == count, mutants.trouble
    assert mutants.trouble == []


def test_a_reader_that_believes_everything_is_found_out(mutants, monkeypatch):
    good = mutants.good_plan

    def believes():
        mutants.bytes(good.to_json().encode())
        return False

    monkeypatch.setitem(mutants.kinds, "plan", believes)
    assert mutants.run("plan", 3)["wrong"] == 3
    assert len(mutants.trouble) == 3
    mutants.trouble.clear()


def test_the_seed_alone_decides_what_is_changed(mutants, monkeypatch):
    seen = []

    def looks():
        seen.append((repr(mutants.tree({"a": [1, {"b": 2}]})), mutants.bytes(b"content")))
        return True

    monkeypatch.setitem(mutants.kinds, "plan", looks)
    for seed in (1, 1, 2):
        monkeypatch.setattr(mutants, "seed", seed)
        assert mutants.run("plan", 30) == {"read as it was, or valid": 30}
    assert seen[:30] == seen[30:60] != seen[60:]
    assert len({tree for tree, _ in seen[:30]}) > 15
