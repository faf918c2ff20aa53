# A page to look at and to mail: every figure, table and record with its caption, run times, rule graph and code in one
# HTML file. Snakemake's own reporter writes it: `snakemake page --report results/quick/page.html --report-after-run`.

import re

RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def told(plan, datasets):
    """Which data at which scale, for a caption."""
    used = [plan.datasets[name] for name in dict.fromkeys(datasets)]
    names = [d["name"] + (f" for {d['stands_for']}" if d["stands_for"] else "") for d in used]
    own = plan.settings
    changed = own["stand_ins"] or own["steps"] or own["width"] != 1
    return f"Scale {plan.home}{': ' if names else ''}{', '.join(names)}." + (
        f" Width {own['width']}, {own['steps'] or 'the published number of'} iterations:"
        " not comparable with the paper's numbers."
        if changed
        else ""
    )


def caption(name):
    """A table's or figure's own caption, and its data."""
    shown = (PLAN.tables | PLAN.figures)[name]
    data = [PLAN.specs[spec].dataset for spec in PLAN.selected(name)]
    data += [shown[part] for part in paths.COMPOSED if part in shown]
    plain = shown["caption"].replace("|", r"\|")  # which means something else in reStructuredText
    plain = re.sub(r"\^\{(.*?)\}", lambda power: power[1].translate(RAISED), plain)
    return f"{plain} {told(PLAN, data)}" if data else plain


# Captions see the configuration, and nothing else of the workflow.
config["told"] = {
    "scale": told(PLAN, PLAN.datasets),
    **{home: told(plan, plan.datasets) for home, plan in PLANS.items()},
    **{name: caption(name) for name in (*PLAN.tables, *PLAN.drawn)},
}


report: "../../report/captions/page.rst"


rule page:
    input:
        rules.report.input,
        [paths.table(SCALE, name, "pdf") for name in PLAN.tables],
