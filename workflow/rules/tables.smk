# Tables: the records of the runs that a table selects, averaged over seeds, then typeset. `snakemake table3` makes one.


rule aggregate:
    input:
        lambda w: jobs.shown_run_files(PLAN, jobs.RECORD, w.table),
        paths.PUBLISHED.glob("*.csv"),
        plan=OUT.plan,
        tolerances=paths.TOLERANCES,
    output:
        on_page(OUT.table("{table}", "csv"), "Tables", table="{table}", **captions.LABELS["table csv"]),
    log:
        OUT.log("aggregate-{table}"),
    localrule: True
    params:
        runs=OUT.runs,
        published=paths.PUBLISHED,
    message:
        "aggregate {wildcards.table}"
    shell:
        "filter-sparsity aggregate --plan {input.plan:q} --table {wildcards.table} --runs {params.runs:q}"
        " --published {params.published:q} --tolerances {input.tolerances:q} --out {output:q} > {log:q} 2>&1"


rule typeset_table:
    input:
        plan=OUT.plan,
        values=OUT.table("{table}", "csv"),
        template="report/table.tex.j2",
    output:
        OUT.table("{table}", "tex"),
    log:
        OUT.log("typeset-{table}"),
    localrule: True
    message:
        "typeset {wildcards.table}"
    shell:
        "filter-sparsity typeset-table --plan {input.plan:q} --table {wildcards.table} --values {input.values:q}"
        " --template {input.template:q} --out {output:q} > {log:q} 2>&1"


rule compile_table:
    input:
        tex=OUT.table("{table}", "tex"),
        inside="report/single.tex",
        style="report/supplement.sty",
    output:
        on_page(OUT.table("{table}", "pdf"), "Tables", table="{table}", **captions.LABELS["table pdf"]),
    log:
        OUT.log("compile-{table}"),
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
            jobs.table_files(PLAN, ["csv", "tex", "pdf"], [name]),
            jobs.final_files(PLAN, [name]),
        message:
            "finish {rule}"


rule tables:
    "Every table."
    input:
        jobs.final_files(PLAN, PLAN.tables),
        shown=jobs.table_files(PLAN, ["csv", "tex"]),
    message:
        "finish all tables"
