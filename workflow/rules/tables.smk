# Tables: the records of the runs that a table selects, averaged over seeds, then typeset. `snakemake table3` makes one.


rule aggregate:
    input:
        lambda w: selected(w.table, "record.json"),
        paths.PUBLISHED.glob("*.csv"),
        plan=paths.plan(SCALE),
        tolerances=paths.TOLERANCES,
    output:
        on_page(paths.table(SCALE, "{table}", "csv"), "Tables", table="{table}", form="all digits (CSV)"),
    log:
        paths.log(SCALE, "aggregate-{table}"),
    localrule: True
    params:
        runs=paths.runs(SCALE),
        published=paths.PUBLISHED,
    message:
        "aggregate {wildcards.table}"
    shell:
        "filter-sparsity aggregate --plan {input.plan:q} --table {wildcards.table} --runs {params.runs:q}"
        " --published {params.published:q} --tolerances {input.tolerances:q} --out {output:q} > {log:q} 2>&1"


rule typeset_table:
    input:
        plan=paths.plan(SCALE),
        values=paths.table(SCALE, "{table}", "csv"),
        template="report/table.tex.j2",
    output:
        paths.table(SCALE, "{table}", "tex"),
    log:
        paths.log(SCALE, "typeset-{table}"),
    localrule: True
    message:
        "typeset {wildcards.table}"
    shell:
        "filter-sparsity typeset --plan {input.plan:q} --table {wildcards.table} --values {input.values:q}"
        " --template {input.template:q} --out {output:q} > {log:q} 2>&1"


rule compile_table:
    input:
        tex=paths.table(SCALE, "{table}", "tex"),
        inside="report/single.tex",
        style="report/supplement.sty",
    output:
        on_page(paths.table(SCALE, "{table}", "pdf"), "Tables", table="{table}", form="PDF"),
    log:
        paths.log(SCALE, "compile-{table}"),
    localrule: True
    message:
        "compile {wildcards.table}"
    shell:
        "filter-sparsity compile {input.tex:q} --inside {input.inside:q} --style {input.style:q} --out {output:q} > {log:q} 2>&1"


for name in PLAN.tables:

    rule:
        name:
            name
        input:
            [paths.table(SCALE, name, ending) for ending in ("csv", "tex", "pdf")],
            behind([name]),


rule tables:
    "Every table; each can be named alone."
    input:
        behind(PLAN.tables),
        shown=[paths.table(SCALE, name, ending) for name in PLAN.tables for ending in ("csv", "tex")],
