# The whole supplement as one PDF. The stored records' verdict comes first; what was trained here follows.

SHOWN = [*dict.fromkeys([STORED.home, PLAN.home] if STORED else [PLAN.home])]  # whose verdict


rule typeset_report:
    input:
        every_run("record.json"),
        plan=paths.plan(SCALE),
        template="report/report.tex.j2",
        verdicts=[paths.verdict(home, "verdict.json") for home in SHOWN],
        page="report/sensitivity.tex.j2",
        varied=[paths.sensitivity(VARIED.home)] if VARIED else [],
    output:
        paths.report(SCALE, "tex"),
    log:
        paths.log(SCALE, "typeset-report"),
    localrule: True
    params:
        runs=paths.runs(SCALE),
        verdicts=" ".join(f"--verdict {paths.RESULTS / home}" for home in SHOWN),
        varied=f"--sensitivity {paths.RESULTS / VARIED.home}" if VARIED else "",
    message:
        "typeset the report"
    shell:
        "filter-sparsity report --plan {input.plan:q} --runs {params.runs:q} --template {input.template:q}"
        " {params.verdicts} {params.varied} --out {output:q} > {log:q} 2>&1"


rule compile_report:
    input:
        rules.tables.input.shown,
        [paths.figure(SCALE, name, "pdf") for name in PLAN.drawn],
        [paths.figure(home, name, "pdf") for home in SHOWN for name in ("layers", "overview")],
        tex=paths.report(SCALE, "tex"),
        style="report/supplement.sty",
    output:
        on_page(paths.report(SCALE, "pdf"), "Report", what="the whole report", scale=SCALE),
    log:
        paths.log(SCALE, "compile-report"),
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
        paths.report(SCALE, "pdf"),
        behind(),


# Only by name.
if STORED:

    rule readme:
        "Write the verdict of the stored records into the README."
        input:
            verdict=paths.verdict(STORED.home, "verdict.json"),
            layers=paths.figure(STORED.home, "layers", "png"),
            overview=paths.figure(STORED.home, "overview", "png"),
        log:
            paths.log(STORED.home, "readme"),
        localrule: True
        message:
            "write the verdict into README.md"
        shell:
            "filter-sparsity readme --verdict {input.verdict:q} --layers {input.layers:q} --overview {input.overview:q}"
            " > {log:q} 2>&1"
