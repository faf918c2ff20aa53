# Stored records of an earlier campaign, in place of training and measuring: what comes after is the same.


if restored():

    rule restore:
        input:
            plan=paths.plan(STORED.home),
            reference=paths.reference(STORED.scale),
            beside=[paths.reference(STORED.scale, ending) for ending in ("json", "npz")],
        output:
            restored(),
        log:
            paths.log(STORED.home, "restore"),
        localrule: True
        params:
            runs=paths.runs(STORED.home),
            simulations=paths.simulation(STORED.home, "any").parent,
        message:
            "restore the stored runs of scale {STORED.scale}"
        shell:
            "filter-sparsity restore --plan {input.plan:q} --reference {input.reference:q} --runs {params.runs:q}"
            " --simulations {params.simulations:q} > {log:q} 2>&1"
