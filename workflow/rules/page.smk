# A page to look at and to mail: every figure, table and record with its caption, run times, rule graph and code in one
# HTML file. Snakemake's own reporter writes it: `snakemake page --report results/quick/page.html --report-after-run`.

# Captions see the configuration, and nothing else of the workflow.
config["told"] = {
    "scale": told(PLAN, PLAN.datasets),
    **{home: told(plan, plan.datasets) for home, plan in PLANS.items()},
    **{name: caption(name) for name in (*PLAN.tables, *PLAN.drawn)},
}


report: "../../report/captions/page.rst"


rule page:
    "The report as one HTML file; see docs/campaign.md."
    input:
        rules.report.input,
        [paths.table(SCALE, name, "pdf") for name in PLAN.tables],
