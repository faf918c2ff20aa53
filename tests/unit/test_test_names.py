"""Names of tests are short enough to be read in a list of failures."""

import ast

LONGEST = 59


def test_no_name_of_a_test_has_60_characters(root):
    names = [
        node.name
        for path in sorted((root / "tests").rglob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    assert len(names) > 700
    assert [name for name in names if len(name) > LONGEST] == []
