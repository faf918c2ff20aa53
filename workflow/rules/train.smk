# GPU training per spec and seed. At scales where starting up costs as much as training, one job has all seeds.


def of_run(names):
    """The files of a run, or of all seeds' runs where one job has them all."""
    return [paths.run(SCALE, "{spec}", seed) / name for seed in SEEDS for name in names]


def seeds_of(wildcards):
    return [wildcards.seed] if "seed" in wildcards.keys() else SEEDS


def data_of(wildcards):
    return paths.prepared(PLAN.specs[wildcards.spec].dataset)


rule train:
    input:
        plan=ancient(paths.plan(SCALE)),
        data=data_of,
    output:
        of_run(paths.TRAINED),
    log:
        of_run(["train.log"]),
    params:
        seeds=seeds_of,
        runs=paths.runs(SCALE),
        device=config["device"],
        history_points=config["history_points"],
    resources:
        gpu=int(config["device"] != "cpu"),
    shell:
        "filter-sparsity train --plan {input.plan:q} --spec {wildcards.spec} --seed {params.seeds} --data {input.data:q}"
        " --runs {params.runs:q} --device {params.device} --threads {threads}"
        " --history-points {params.history_points}"
