"""Texts are UTF-8 in every locale."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import filter_sparsity

SOURCES = sorted(Path(filter_sparsity.__file__).parent.rglob("*.py"))
ASCII = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}  # as a locale that is not UTF-8


def texts_without_encoding(source: Path) -> list[str]:
    """The calls of a module that read or write text as the locale says."""
    found = []
    tree = ast.parse(source.read_text(encoding="utf-8"))
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        owner, _, name = ast.unparse(call.func).rpartition(".")
        constants = [c.value for argument in call.args for c in ast.walk(argument) if isinstance(c, ast.Constant)]
        binary = any(isinstance(value, str) and "b" in value for value in constants)
        opens = name == "open" and not binary and owner not in ("tarfile", "os", "Image")
        words = {keyword.arg for keyword in call.keywords}
        of_text = (
            opens or (owner and name in ("read_text", "write_text")) or (owner == "subprocess" and "text" in words)
        )
        if of_text and "encoding" not in words:
            found.append(f"{source.name}:{call.lineno}: {ast.unparse(call)}")
    return found


def test_every_text_of_the_package_has_an_encoding():
    assert len(SOURCES) > 50
    assert [line for source in SOURCES for line in texts_without_encoding(source)] == []


@pytest.mark.parametrize("command", ["plan --config config/config.yaml --out {out}", "reference --out {out}"])
def test_files_are_the_same_in_another_locale(root, tmp_path, command):
    made = []
    for name, locale in (("one", {}), ("two", ASCII)):
        words = command.replace("{out}", str(tmp_path / name)).split()
        environment = {**os.environ, **locale}
        done = subprocess.run(
            [sys.executable, "-m", "filter_sparsity", *words], cwd=root, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        made.append((tmp_path / name).read_bytes())
    assert made[0] == made[1]
    assert "γ".encode() in made[0]


def test_letters_that_the_locale_lacks_are_printed_somehow(root, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "filter_sparsity", "datasets", "--root", str(tmp_path / "γ")],
        cwd=root,
        env={**os.environ, **ASCII},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"original data: ")
