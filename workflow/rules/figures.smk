# Figures, as PDF and PNG. `snakemake figure2` makes one.

FIGURE_NEEDS = {"affine": "affine.safetensors", "universality": "features.csv"}


def needed_by(wildcards):
    """What a figure draws: a simulation, or a file of every run that it shows."""
    kind = PLAN.figures[wildcards.figure]["kind"]
    if kind == "simulation":
        return paths.simulation(SCALE, wildcards.figure)
    return selected(wildcards.figure, FIGURE_NEEDS[kind])


rule simulate:
    input:
        plan=paths.plan(SCALE),
    output:
        paths.simulation(SCALE, "{figure}"),
    shell:
        "filter-sparsity simulate --plan {input.plan:q} --figure {wildcards.figure} --out {output:q}"


rule plot:
    input:
        needed_by,
        plan=paths.plan(SCALE),
    output:
        [paths.figure(SCALE, "{figure}", ending) for ending in ("pdf", "png")],
    params:
        runs=paths.runs(SCALE),
        simulation=paths.simulation(SCALE, "{figure}"),
    shell:
        "filter-sparsity plot --plan {input.plan:q} --figure {wildcards.figure} --runs {params.runs:q}"
        " --simulation {params.simulation:q} --out {output:q}"


for name in PLAN.figures:

    rule:
        name:
            name
        input:
            [paths.figure(SCALE, name, ending) for ending in ("pdf", "png")],


rule figures:
    input:
        [paths.figure(SCALE, name, ending) for name in PLAN.figures for ending in ("pdf", "png")],
