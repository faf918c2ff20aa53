"""Rules, verbs of the command line and functions have one name for each step."""

import os
import re
import subprocess
import sys

from filter_sparsity import cli

NO_RULE = {
    "audit",
    "campaign",
    "inspect",
    "reference",
    "shrink",
}  # the target `campaign` has a job for each run, the verb does all in one process


def test_rules_and_verbs_have_the_same_names(root):
    rules = {}
    for file in (root / "workflow/rules").glob("*.smk"):
        for rule in re.split(r"^\s*rule ", file.read_text(), flags=re.MULTILINE)[1:]:
            if verb := re.search(r"filter-sparsity ([a-z-]+) ", rule):
                rules[re.match(r"\w+", rule)[0]] = verb[1]
    apart = {rule: verb for rule, verb in rules.items() if rule.replace("_", "-") != verb}
    assert apart == {"compile_table": "compile", "compile_report": "compile", "store_reference": "store"}
    verbs = next(action for action in cli.parser()._actions if action.choices).choices
    assert {*verbs} == {*rules.values()} | NO_RULE


def test_a_reader_that_goes_away_is_no_error(root):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "filter_sparsity.cli", "datasets"]
    done = subprocess.run(command, cwd=root, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


def test_ctrl_c_is_one_line(monkeypatch, capsys):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("filter_sparsity.data.manifest.listing", interrupted)
    assert cli.main(["datasets"]) == 130
    assert capsys.readouterr().err == "interrupted\n"
