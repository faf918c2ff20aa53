"""The example runs, and the page in docs/ is of its making."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_example_writes_the_page(root: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    command = [sys.executable, root / "examples/own_networks.py", "--epochs", "1", "--out", page]
    subprocess.run(command, check=True, cwd=root, capture_output=True)

    def prose(text: str) -> list[str]:
        """Without tables, reports and numbers."""
        lines = re.sub(r"```text.*?```", "", text, flags=re.DOTALL).splitlines()
        return [
            re.sub(r"[\d.,]+\S*", "", line) for line in lines if not line.startswith("|") and "trained with" not in line
        ]

    stored = (root / "docs/own_networks.md").read_text()
    assert prose(page.read_text()) == prose(stored)
    assert len(re.findall(r"^\| (?:Adam|AdamW|SGD),? ", stored, flags=re.MULTILINE)) == 3
