# The supplement as one PDF. Page 1 is this scale's verdict; the archive's claims stand behind its own.

JUDGED = {plan.results_folder.name: plan.results_folder for plan in (PLAN, ARCHIVED) if plan}.values()


rule typeset_report:
    input:
        jobs.run_files(PLAN, jobs.RECORD),
        plan=OUT.plan,
        template="report/report.tex.j2",
        parts=["report/sentences.j2", "report/claims.tex.j2", "report/related.tex.j2", "report/sensitivity.tex.j2"],
        verdicts=[out.verdict(name) for out in JUDGED for name in ("cells.csv", "claims.csv", "verdict.json")],
        varied=[SENSITIVITY.results_folder.sensitivity] if SENSITIVITY else [],
    output:
        OUT.report("tex"),
    log:
        OUT.log("typeset-report"),
    localrule: True
    params:
        runs=OUT.runs,
        verdicts=" ".join(f"--verdict {out.path}" for out in JUDGED),
        varied=f"--sensitivity {SENSITIVITY.results_folder.path}" if SENSITIVITY else "",
    message:
        "typeset the report"
    shell:
        "filter-sparsity typeset-report --plan {input.plan:q} --runs {params.runs:q} --template {input.template:q}"
        " {params.verdicts} {params.varied} --out {output:q} > {log:q} 2>&1"


rule compile_report:
    input:
        rules.tables.input.shown,
        jobs.figure_files(PLAN, ["pdf"]),
        [out.figure(name, "pdf") for out in JUDGED for name in ("layers", "overview")],
        tex=OUT.report("tex"),
        style="report/supplement.sty",
    output:
        on_page(OUT.report("pdf"), "Report", **captions.LABELS["report"], scale=OUT.name),
    log:
        OUT.log("compile-report"),
    localrule: True
    message:
        "compile the report: {output}"
    shell:
        "filter-sparsity compile {input.tex:q} --style {input.style:q} --out {output:q} > {log:q} 2>&1"


rule report:
    "Tables, figures and verdict as one PDF."
    input:
        rules.tables.input,
        rules.figures.input,
        OUT.report("pdf"),
        jobs.final_files(PLAN),
    message:
        "finish the report"


# Only by name.
if ARCHIVED:

    rule readme:
        "Write the verdict of the archive into the README and the reproduction summary."
        input:
            [ARCHIVED.results_folder.verdict(name) for name in ("cells.csv", "claims.csv")],
            verdict=ARCHIVED.results_folder.verdict("verdict.json"),
            plan=ARCHIVED.results_folder.plan,
            reference=paths.reference(ARCHIVED.scale),
            layers=ARCHIVED.results_folder.figure("layers", "png"),
            readme="report/readme.md.j2",
            summary="report/summary.md.j2",
            sentences="report/sentences.j2",
        log:
            ARCHIVED.results_folder.log("readme"),
        localrule: True
        params:
            verdict=ARCHIVED.results_folder.verdict("verdict.json").parent,
        message:
            "write the verdict into README.md and docs/reproduction_summary.md"
        shell:
            "(for page in README.md:{input.readme} docs/reproduction_summary.md:{input.summary}; do"
            " filter-sparsity readme --plan {input.plan:q} --verdict {params.verdict:q} --reference {input.reference:q}"
            " --layers {input.layers:q} --page ${{page%%:*}} --template ${{page#*:}}; done) > {log:q} 2>&1"
