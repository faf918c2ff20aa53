import json
import math

import numpy as np
import pandas as pd
import pytest

from filter_sparsity.errors import UserError
from filter_sparsity.records import record

RECORD = {
    "spec_id": "cifar10-basicnet-adam-l2_1e-3-dd7796",
    "seed": 1,
    "provenance": {"commit": "abc", "device": "a processor"},
    "measured": {
        "test_error": 0.131,
        "sparsity_by_gamma": {"C1": 0.59, "C2": 0.57, "total": 0.83},
        "params_pruned": 0.97,
    },
}
WHO = (RECORD["spec_id"], RECORD["seed"])


@pytest.fixture
def path(tmp_path):
    """A sealed record, stored."""
    file = tmp_path / "record.json"
    file.write_text(record.sealed(RECORD))
    return file


def refused(call):
    with pytest.raises(UserError) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_record_comes_back_as_it_was(path):
    assert record.read(path, *WHO) == RECORD


def test_a_record_comes_back_however_its_keys_are_ordered(path):
    data = json.loads(path.read_text())
    path.write_text(json.dumps(dict(reversed(data.items()))))
    assert record.read(path, *WHO) == RECORD


def test_the_digest_is_of_everything(path):
    """Every number and name of a record, changed alone, is found out."""
    text = path.read_text()
    for old, new in (("0.131", "0.132"), ("0.59", "0.58"), ("0.97", "0.98"), ('"C2"', '"C3"'), ("abc", "abd"),
                     ("a processor", "a processer")):  # fmt: skip
        assert text.count(old) == 1
        path.write_text(text.replace(old, new))
        assert "does not match its digest" in refused(lambda: record.read(path, *WHO))


@pytest.mark.parametrize("share", [0, 0.3, 0.9, 0.99])
def test_a_cut_record_is_refused(path, share):
    text = path.read_text()
    path.write_text(text[: int(share * len(text))])
    assert refused(lambda: record.read(path, *WHO)).startswith(f"{path} is cut short or damaged")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[1, 2]", "is not what it should be"),
        ("{}", "does not match its digest"),
        (json.dumps(RECORD), "does not match its digest"),
        ('{"spec_id": NaN}', "is cut short or damaged"),
        ("\x00\x01", "is cut short or damaged"),
    ],
)
def test_what_is_no_sealed_record_is_refused(path, content, said):
    path.write_text(content)
    assert said in refused(lambda: record.read(path, *WHO))


def test_bytes_that_are_no_text_are_refused(path):
    path.write_bytes(b"\xff\xfe\xff")
    assert "is cut short or damaged" in refused(lambda: record.read(path, *WHO))


@pytest.mark.parametrize("who", [("cifar10-basicnet-adam-wd_1e-4-296707", 1), (RECORD["spec_id"], 2)])
def test_the_record_of_another_run_is_refused(path, who):
    said = refused(lambda: record.read(path, *who))
    assert f"is the record of {WHO[0]} seed 1, not of {who[0]} seed {who[1]}" in said


def test_an_absent_record_is_told(tmp_path):
    said = refused(lambda: record.read(tmp_path / "record.json", *WHO))
    assert said == f"{tmp_path / 'record.json'} is not there: extract the run again"


def test_a_record_with_a_number_that_is_none_cannot_be_sealed():
    with pytest.raises(ValueError, match="JSON"):
        record.sealed(RECORD | {"measured": {"test_error": math.nan}})


def test_the_origin_of_another_run_is_refused(tmp_path):
    path = tmp_path / "provenance.json"
    path.write_text(json.dumps({"spec_id": WHO[0], "seed": 1, "commit": "abc"}))
    assert record.read_provenance(path, *WHO)["commit"] == "abc"
    assert "is not of" in refused(lambda: record.read_provenance(path, WHO[0], 2))
    path.write_text("{")
    assert "is cut short or damaged" in refused(lambda: record.read_provenance(path, *WHO))


def test_histories_are_read_as_numbers(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text("epoch,train_loss\n1,0.5\n2,2.5e-1\n")
    assert record.read_lines(path) == [{"epoch": 1, "train_loss": 0.5}, {"epoch": 2, "train_loss": 0.25}]


@pytest.mark.parametrize("content", ["", "epoch,train_loss\n", "epoch,train_loss\n1\n", "epoch\nmany\n", None])
def test_a_damaged_history_is_refused(tmp_path, content):
    path = tmp_path / "history.csv"
    if content is not None:
        path.write_text(content)
    assert refused(lambda: record.read_lines(path)).startswith(str(path))


@pytest.mark.parametrize("read", [record.read_affine, record.read_features])
@pytest.mark.parametrize("content", ["", None])
def test_other_damaged_files_are_refused(tmp_path, read, content):
    path = tmp_path / "file"
    if content is not None:
        path.write_text(content)
    assert refused(lambda: read(path)).startswith(f"{path} cannot be read")


def test_tidy_has_a_line_for_every_measurement():
    lines = [tuple(line) for line in record.tidy([RECORD]).itertuples(index=False)]
    assert lines == [
        (*WHO, "test_error", "", 0.131),
        (*WHO, "sparsity_by_gamma", "C1", 0.59),
        (*WHO, "sparsity_by_gamma", "C2", 0.57),
        (*WHO, "sparsity_by_gamma", "total", 0.83),
        (*WHO, "params_pruned", "", 0.97),
    ]


def test_means_and_deviations_over_seeds_by_hand():
    values = {("a", "test_error", ""): [1, 2, 6], ("a", "sparsity", "C1"): [0.5, 0.7], ("b", "test_error", ""): [4]}
    lines = pd.DataFrame(
        [
            (spec, seed, metric, layer, v)
            for (spec, metric, layer), each in values.items()
            for seed, v in enumerate(each)
        ],
        columns=["spec_id", "seed", "metric", "layer", "value"],
    )
    frame = record.over_seeds(lines.sample(frac=1, random_state=0)).set_index(["spec_id", "metric", "layer"])
    # (1 + 2 + 6) / 3 = 3; (4 + 1 + 9) / 2 = 7. (0.5 + 0.7) / 2 = 0.6; 0.01 + 0.01 = 0.02
    assert frame.loc[("a", "test_error", "")].tolist() == pytest.approx([3, 7**0.5, 3])
    assert frame.loc[("a", "sparsity", "C1")].tolist() == pytest.approx([0.6, 0.02**0.5, 2])
    mean, deviation, n = frame.loc[("b", "test_error", "")]
    assert (mean, n) == (4, 1)
    assert np.isnan(deviation)  # one seed has no spread
    assert len(frame) == 3
