# The whole supplement as one PDF.


rule typeset_report:
    input:
        every_run("record.json"),
        plan=paths.plan(SCALE),
        template="report/report.tex.j2",
    output:
        paths.report(SCALE, "tex"),
    log:
        paths.log(SCALE, "typeset-report"),
    params:
        runs=paths.runs(SCALE),
    message:
        "typeset the report"
    shell:
        "filter-sparsity report --plan {input.plan:q} --runs {params.runs:q} --template {input.template:q}"
        " --out {output:q} > {log:q} 2>&1"


rule compile_report:
    input:
        rules.tables.input,
        [paths.figure(SCALE, name, "pdf") for name in PLAN.drawn],
        tex=paths.report(SCALE, "tex"),
        style="report/supplement.sty",
    output:
        paths.report(SCALE, "pdf"),
    log:
        paths.log(SCALE, "compile-report"),
    message:
        "compile the report: {output}"
    shell:
        "filter-sparsity compile {input.tex:q} --style {input.style:q} --out {output:q} > {log:q} 2>&1"


rule report:
    default_target: True
    input:
        rules.tables.input,
        rules.figures.input,
        paths.report(SCALE, "pdf"),
