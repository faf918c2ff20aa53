# Sensitivity analysis: unstated settings, varied one at a time, from archived runs of a scale of their own.


if SENSITIVITY:

    rule compare_sensitivity:
        input:
            paths.PUBLISHED.glob("*.csv"),
            [paths.reference(SENSITIVITY.scale)] if jobs.archive_index(SENSITIVITY) else [],
            plan=SENSITIVITY.results_folder.plan,
        output:
            SENSITIVITY.results_folder.sensitivity,
        log:
            SENSITIVITY.results_folder.log("sensitivity"),
        params:
            table=next(iter(SENSITIVITY.tables)),
            reference=paths.reference(SENSITIVITY.scale),
            published=paths.PUBLISHED,
        message:
            "compare varied settings with the paper"
        shell:
            "filter-sparsity compare-sensitivity --plan {input.plan:q} --table {params.table} --reference {params.reference:q}"
            " --published {params.published:q} --out {output:q} > {log:q} 2>&1"
