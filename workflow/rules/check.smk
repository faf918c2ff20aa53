# Fresh records against the stored ones of this scale. `snakemake check` prints the verdict, and fails if it is not good.


rule compare:
    input:
        every_run("record.json"),
        plan=paths.plan(SCALE),
        reference=paths.reference(PLAN.scale),
        tolerances=paths.TOLERANCES,
    output:
        csv=paths.check(SCALE, "csv"),
        json=paths.check(SCALE, "json"),
    log:
        paths.log(SCALE, "compare"),
    localrule: True
    params:
        runs=paths.runs(SCALE),
    message:
        "compare with the stored records"
    shell:
        "filter-sparsity compare --plan {input.plan:q} --runs {params.runs:q} --reference {input.reference:q}"
        " --tolerances {input.tolerances:q} --out {output.csv:q} {output.json:q} > {log:q} 2>&1"


rule check:
    "Fresh records against the stored ones of the scale."
    input:
        behind(),
        comparison=paths.check(SCALE, "json"),
    log:
        paths.log(SCALE, "check"),
    localrule: True
    message:
        "check"
    shell:
        "filter-sparsity check {input.comparison:q} 2> {log:q}"


# Only by name; of whatever seeds.
rule store_reference:
    "Add the runs that are there to the stored ones of the scale."
    input:
        [paths.simulation(SCALE, name) for name in PLAN.simulations],
        plan=paths.plan(SCALE),
    log:
        paths.log(SCALE, "store-reference"),
    localrule: True
    params:
        runs=paths.runs(SCALE),
        simulations=paths.simulation(SCALE, "any").parent,
        note=[f"--note={config['note']}"] if config.get("note") else [],
        out=paths.reference(PLAN.scale),
    message:
        "store the runs that are there: {params.out}"
    shell:
        "filter-sparsity store --plan {input.plan:q} --runs {params.runs:q} --simulations {params.simulations:q}"
        " {params.note:q} --out {params.out:q} > {log:q} 2>&1"
