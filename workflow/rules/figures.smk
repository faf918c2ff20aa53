# Figures, as PDF and PNG. `snakemake figure2` makes one.


if PLAN is not STORED:  # else it comes with the stored records

    rule simulate:
        input:
            plan=paths.plan(SCALE),
        output:
            paths.simulation(SCALE, "{figure}"),
        log:
            paths.log(SCALE, "simulate-{figure}"),
        message:
            "simulate {wildcards.figure}"
        shell:
            "filter-sparsity simulate --plan {input.plan:q} --figure {wildcards.figure} --out {output:q} > {log:q} 2>&1"


rule plot:
    input:
        needed_by,
        plan=paths.plan(SCALE),
    output:
        paths.figure(SCALE, "{figure}", "pdf"),
        on_page(paths.figure(SCALE, "{figure}", "png"), "Figures", figure="{figure}", scale=SCALE),
    log:
        paths.log(SCALE, "plot-{figure}"),
    localrule: True
    params:
        runs=paths.runs(SCALE),
        data=paths.DATA,
        simulation=lambda w: f"--simulation {paths.simulation(SCALE, w.figure)}",
    message:
        "plot {wildcards.figure}"
    shell:
        "filter-sparsity plot --plan {input.plan:q} --figure {wildcards.figure} --runs {params.runs:q}"
        " --data {params.data:q} {params.simulation} --out {output:q} > {log:q} 2>&1"


for name in PLAN.drawn:

    rule:
        name:
            name
        input:
            [paths.figure(SCALE, name, ending) for ending in ("pdf", "png")],
            behind([name]),


rule figures:
    "Every figure; each can be named alone."
    input:
        [paths.figure(SCALE, name, ending) for name in PLAN.drawn for ending in ("pdf", "png")],
        behind(PLAN.drawn),
