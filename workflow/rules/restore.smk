# Stored records of an earlier campaign, in place of training and measuring: what comes after is the same.


if restored():

    rule restore:
        input:
            [paths.reference(STORED.scale, ending) for ending in ("csv", "json", "npz")],
            plan=paths.plan(STORED.home),
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
            "filter-sparsity restore --plan {input.plan:q} --reference {input[0]:q} --runs {params.runs:q}"
            " --simulations {params.simulations:q} > {log:q} 2>&1"
