# Measuring: from a trained run to its record.


rule extract:
    input:
        of_run(paths.TRAINED),
        plan=ancient(paths.plan(SCALE)),
        data=data_of,
    output:
        of_run(paths.MEASURED),
    params:
        seeds=seeds_of,
        runs=paths.runs(SCALE),
        device=config["device"],
    resources:
        gpu=int(config["device"] != "cpu"),
    shell:
        "filter-sparsity extract --plan {input.plan:q} --spec {wildcards.spec} --seed {params.seeds} --data {input.data:q}"
        " --runs {params.runs:q} --device {params.device} --threads {threads}"
