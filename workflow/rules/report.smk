# The whole supplement as one PDF.


rule typeset_report:
    input:
        [paths.run(SCALE, spec, seed) / "record.json" for spec in PLAN.specs for seed in PLAN.seeds],
        plan=paths.plan(SCALE),
        template="report/report.tex.j2",
    output:
        paths.report(SCALE, "tex"),
    params:
        runs=paths.runs(SCALE),
    shell:
        "filter-sparsity report --plan {input.plan:q} --runs {params.runs:q} --template {input.template:q}"
        " --out {output:q}"


rule compile_report:
    input:
        rules.tables.input,
        [paths.figure(SCALE, name, "pdf") for name in PLAN.figures],
        tex=paths.report(SCALE, "tex"),
        style="report/supplement.sty",
    output:
        paths.report(SCALE, "pdf"),
    shell:
        "filter-sparsity compile {input.tex:q} --style {input.style:q} --out {output:q}"


rule report:
    default_target: True
    input:
        rules.tables.input,
        rules.figures.input,
        paths.report(SCALE, "pdf"),
