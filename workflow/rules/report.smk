# The supplement as one PDF: first the verdict of the archive, then that of runs trained here.

JUDGED = {plan.results_folder.name: plan.results_folder for plan in (ARCHIVED, PLAN) if plan}.values()


rule typeset_report:
    input:
        jobs.run_files(PLAN, jobs.RECORD),
        plan=OUT.plan,
        template="report/report.tex.j2",
        sentences="report/sentences.j2",
        verdicts=[out.verdict("verdict.json") for out in JUDGED],
        page="report/sensitivity.tex.j2",
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
        "Write the verdict of the archive into the README."
        input:
            verdict=ARCHIVED.results_folder.verdict("verdict.json"),
            layers=ARCHIVED.results_folder.figure("layers", "png"),
            overview=ARCHIVED.results_folder.figure("overview", "png"),
            template="report/readme.md.j2",
            sentences="report/sentences.j2",
        log:
            ARCHIVED.results_folder.log("readme"),
        localrule: True
        message:
            "write the verdict into README.md"
        shell:
            "filter-sparsity readme --verdict {input.verdict:q} --layers {input.layers:q} --overview {input.overview:q}"
            " --template {input.template:q} > {log:q} 2>&1"
