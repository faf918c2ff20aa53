# Figures, as PDF and PNG. `snakemake figure2` makes one.


if PLAN.trains:  # else `restore` writes the simulations

    rule simulate:
        input:
            plan=OUT.plan,
        output:
            curves=OUT.simulation("{figure}"),
            half_lives=OUT.half_lives("{figure}"),
        log:
            OUT.log("simulate-{figure}"),
        params:
            measuring=jobs.measuring_version(),
        message:
            "simulate {wildcards.figure}"
        shell:
            "filter-sparsity simulate --plan {input.plan:q} --figure {wildcards.figure} --out {output.curves:q}"
            " --half-lives {output.half_lives:q} > {log:q} 2>&1"


rule plot:
    input:
        lambda w: jobs.figure_inputs(PLAN, w.figure),
        plan=OUT.plan,
    output:
        OUT.figure("{figure}", "pdf"),
        on_page(OUT.figure("{figure}", "png"), "Figures", figure="{figure}", scale=OUT.name),
    log:
        OUT.log("plot-{figure}"),
    localrule: True
    params:
        runs=OUT.runs,
        data=paths.DATA,
        simulation=lambda w: f"--simulation {OUT.simulation(w.figure)}",
    message:
        "plot {wildcards.figure}"
    shell:
        "filter-sparsity plot --plan {input.plan:q} --figure {wildcards.figure} --runs {params.runs:q}"
        " --data {params.data:q} {params.simulation} --out {output:q} > {log:q} 2>&1"


for name in PLAN.available_figures:

    rule:
        name:
            name
        input:
            jobs.figure_files(PLAN, ["pdf", "png"], [name]),
            jobs.final_files(PLAN, [name]),
        message:
            "finish {rule}"


rule figures:
    "Every figure."
    input:
        jobs.figure_files(PLAN, ["pdf", "png"]),
        jobs.final_files(PLAN, PLAN.available_figures),
    message:
        "finish all figures"
