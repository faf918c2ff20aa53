# Fresh records against the stored ones of this scale. `snakemake check` prints the verdict, and fails if it is not good.

ALL_RECORDS = [paths.run(SCALE, spec, seed) / "record.json" for spec in PLAN.specs for seed in PLAN.seeds]


rule compare:
    input:
        ALL_RECORDS,
        plan=paths.plan(SCALE),
        reference=paths.reference(SCALE),
        tolerances="report/references/tolerances.yaml",
    output:
        csv=paths.check(SCALE, "csv"),
        json=paths.check(SCALE, "json"),
    params:
        runs=paths.runs(SCALE),
    shell:
        "filter-sparsity compare --plan {input.plan:q} --runs {params.runs:q} --reference {input.reference:q}"
        " --tolerances {input.tolerances:q} --out {output.csv:q} {output.json:q}"


rule check:
    input:
        paths.check(SCALE, "json"),
    shell:
        "filter-sparsity check {input:q}"


# Only by name: makes this scale's records the stored reference.
rule store_reference:
    input:
        ALL_RECORDS,
        plan=paths.plan(SCALE),
    params:
        runs=paths.runs(SCALE),
        out=paths.reference(SCALE),
    shell:
        "filter-sparsity store --plan {input.plan:q} --runs {params.runs:q} --out {params.out:q}"
