# Tables: the records of the runs that a table selects, averaged over seeds, then typeset. `snakemake table3` makes one.


def selected(name, file):
    """A file of every run that a table or figure shows."""
    return [paths.run(SCALE, spec, seed) / file for spec in PLAN.selected(name) for seed in PLAN.seeds]


rule aggregate:
    input:
        lambda w: selected(w.table, "record.json"),
        paths.PUBLISHED.glob("*.csv"),
        plan=paths.plan(SCALE),
    output:
        paths.table(SCALE, "{table}", "csv"),
    params:
        runs=paths.runs(SCALE),
        published=paths.PUBLISHED,
    shell:
        "filter-sparsity aggregate --plan {input.plan:q} --table {wildcards.table} --runs {params.runs:q}"
        " --published {params.published:q} --out {output:q}"


rule typeset_table:
    input:
        plan=paths.plan(SCALE),
        values=paths.table(SCALE, "{table}", "csv"),
        template="report/table.tex.j2",
    output:
        paths.table(SCALE, "{table}", "tex"),
    shell:
        "filter-sparsity typeset --plan {input.plan:q} --table {wildcards.table} --values {input.values:q}"
        " --template {input.template:q} --out {output:q}"


rule compile_table:
    input:
        tex=paths.table(SCALE, "{table}", "tex"),
        inside="report/single.tex",
        style="report/supplement.sty",
    output:
        paths.table(SCALE, "{table}", "pdf"),
    shell:
        "filter-sparsity compile {input.tex:q} --inside {input.inside:q} --style {input.style:q} --out {output:q}"


for name in PLAN.tables:

    rule:
        name:
            name
        input:
            [paths.table(SCALE, name, ending) for ending in ("csv", "tex", "pdf")],


rule tables:
    input:
        [paths.table(SCALE, name, ending) for name in PLAN.tables for ending in ("csv", "tex")],
