# Regression check: fresh records against the archive of the same scale.
# `snakemake check` prints it, and fails if cells differ.


rule compare:
    input:
        jobs.run_files(PLAN, jobs.RECORD),
        plan=OUT.plan,
        reference=paths.reference(PLAN.scale),
        digests=paths.reference(PLAN.scale, "json"),
        tolerances=paths.TOLERANCES,
    output:
        csv=OUT.check("csv"),
        json=OUT.check("json"),
    log:
        OUT.log("compare"),
    localrule: True
    params:
        runs=OUT.runs,
    message:
        "compare records with the archive"
    shell:
        "filter-sparsity compare --plan {input.plan:q} --runs {params.runs:q} --reference {input.reference:q}"
        " --tolerances {input.tolerances:q} --out {output.csv:q} {output.json:q} > {log:q} 2>&1"


rule check:
    "Regression check: fresh records against the archive of the scale."
    input:
        jobs.final_files(PLAN),
        comparison=OUT.check("json"),
    log:
        OUT.log("check"),
    localrule: True
    message:
        "check"
    shell:
        "filter-sparsity check {input.comparison:q} 2> {log:q}"


# Only by name. Takes every run on disk, whatever its seed.
rule store_reference:
    "Add the runs on disk to the archive of the scale."
    input:
        jobs.simulation_files(PLAN),
        plan=OUT.plan,
    log:
        OUT.log("store-reference"),
    localrule: True
    params:
        runs=OUT.runs,
        simulations=OUT.simulations,
        note=[f"--note={config['note']}"] if config.get("note") else [],
        out=paths.reference(PLAN.scale),
    message:
        "store runs in {params.out}"
    shell:
        "filter-sparsity store --plan {input.plan:q} --runs {params.runs:q} --simulations {params.simulations:q}"
        " {params.note:q} --out {params.out:q} > {log:q} 2>&1"
