"""A verdict for the tests of what is typeset."""

from __future__ import annotations

from pathlib import Path

import pytest

from filter_sparsity import paths
from filter_sparsity.verdict.cells import judge_numbers
from filter_sparsity.verdict.claims import judge_claims
from filter_sparsity.verdict.summary import as_json, summarize

ROOT = Path(__file__).parents[3]
PUBLISHED, TOLERANCES = ROOT / paths.PUBLISHED, ROOT / paths.TOLERANCES


@pytest.fixture(scope="session")
def judged(campaign, tmp_path_factory):
    """The plan, and the folder of the verdict on runs that measured what the paper prints."""
    plan, runs = campaign
    folder = tmp_path_factory.mktemp("verdict")
    cells = judge_numbers(plan, runs, PUBLISHED, TOLERANCES)
    claims = judge_claims(plan, runs, folder / "none", TOLERANCES)
    cells.to_csv(folder / "cells.csv", index=False)
    claims.to_csv(folder / "claims.csv", index=False)
    (folder / "verdict.json").write_text(as_json(summarize(plan, cells, claims)))
    return plan, folder
