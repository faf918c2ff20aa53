# The HTML page: every figure, table and record with its caption, run times, rule graph and code in one file.
# Snakemake's own reporter writes it: `snakemake page --report results/quick/page.html --report-after-run`.

config["captions"] = captions.page_captions(PLAN, PLANS.values())  # caption templates see only the configuration


report: "../../report/captions/page.rst"


rule page:
    "The report as one HTML file; see docs/campaign.md."
    input:
        rules.report.input,
        jobs.table_files(PLAN, ["pdf"]),
    message:
        "finish the files of the page"
