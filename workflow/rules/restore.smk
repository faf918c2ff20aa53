# Stored records of an earlier campaign, in place of training and measuring: what comes after is the same.


def restored():
    """What the stored records give back: every run's record, and what figures draw beside it."""
    drawn = [(STORED.figures[name]["kind"], name) for name in STORED.drawn]
    more = [
        paths.run(STORED.home, spec, seed) / FIGURE_NEEDS[kind]
        for kind, name in drawn
        if kind in FIGURE_NEEDS
        for spec in STORED.selected(name)
        for seed in STORED.seeds_of(spec)
    ]
    simulations = [paths.simulation(STORED.home, name) for kind, name in drawn if kind == "simulation"]
    return [*every_run("record.json", STORED), *more, *simulations]


if restored():

    rule restore:
        input:
            [paths.reference(STORED.scale, ending) for ending in ("csv", "json", "npz")],
            plan=paths.plan(STORED.home),
        output:
            restored(),
        log:
            paths.log(STORED.home, "restore"),
        params:
            runs=paths.runs(STORED.home),
            simulations=paths.simulation(STORED.home, "any").parent,
        message:
            "restore the stored runs of scale {STORED.scale}"
        shell:
            "filter-sparsity restore --plan {input.plan:q} --reference {input[0]:q} --runs {params.runs:q}"
            " --simulations {params.simulations:q} > {log:q} 2>&1"
