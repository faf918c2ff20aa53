# Assumed facts, one varied at a time: how near each comes to the paper, from stored runs of a scale of their own.


if VARIED:

    rule compare_sensitivity:
        input:
            paths.PUBLISHED.glob("*.csv"),
            [paths.reference(VARIED.scale)] if stored_index(VARIED) else [],
            plan=paths.plan(VARIED.home),
        output:
            paths.sensitivity(VARIED.home),
        log:
            paths.log(VARIED.home, "sensitivity"),
        params:
            table=next(iter(VARIED.tables)),
            reference=paths.reference(VARIED.scale),
            published=paths.PUBLISHED,
        message:
            "compare assumed facts that were varied"
        shell:
            "filter-sparsity sensitivity --plan {input.plan:q} --table {params.table} --reference {params.reference:q}"
            " --published {params.published:q} --out {output:q} > {log:q} 2>&1"
