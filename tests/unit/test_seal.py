"""Seals: what is written stays readable, and what is changed is found out."""

import hashlib
import json
import math

import pytest

from filter_sparsity import seal

DATA = {"b": [1, 2.5], "a": {"é": None}}
CONTENT = b"content of a file"


def test_the_digest_of_json_is_the_sha256_of_its_canonical_form():
    compact = '{"a":{"\\u00e9":null},"b":[1,2.5]}'
    spaced = '{"a": {"\\u00e9": null}, "b": [1, 2.5]}'
    assert seal.digest_json(DATA) == hashlib.sha256(compact.encode()).hexdigest()
    assert seal.digest_json(DATA, seal.SPACED) == hashlib.sha256(spaced.encode()).hexdigest()
    with pytest.raises(ValueError, match="not JSON compliant"):
        seal.digest_json({"x": math.inf})


@pytest.mark.parametrize("separators", [seal.COMPACT, seal.SPACED])
def test_sealed_json_opens_again_unless_it_was_changed(separators):
    sealed = json.loads(json.dumps(seal.seal_json(DATA, separators)))
    assert seal.open_json(sealed, separators) == DATA
    for changed in ({**sealed, "b": [1, 2.6]}, {**sealed, "c": 1}, DATA, {**sealed, "digest": None}):
        with pytest.raises(seal.Broken):
            seal.open_json(changed, separators)


def test_sealed_bytes_begin_with_their_sha256_and_open_again():
    sealed = seal.seal_bytes(CONTENT)
    assert sealed == hashlib.sha256(CONTENT).digest() + CONTENT
    assert seal.open_bytes(sealed) == CONTENT
    for changed in (sealed[:-1], sealed + b" ", b"\0" + sealed[1:], CONTENT, b""):
        with pytest.raises(seal.Broken):
            seal.open_bytes(changed)


def test_parts_have_the_digest_of_the_whole():
    assert seal.digest([CONTENT[:5], b"", CONTENT[5:]]) == hashlib.sha256(CONTENT).hexdigest()
