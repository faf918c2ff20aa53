# Measuring: from a trained run to its record. Where one job has all seeds of a spec, `train` does that, too.


rule extract:
    input:
        of_run(paths.TRAINED),
        data=data_of,
    output:
        measured(),
    log:
        of_run(["extract.log"])[0],
    priority: turn  # a run that is trained is measured before another is trained
    resources:
        gpu=int(config["device"] != "cpu"),
    params:
        spec=lambda w: SETTINGS[w.spec],
        seeds=SEEDS,
        runs=paths.runs(SCALE),
        device=config["device"],
    message:
        "extract {wildcards.spec} seed {params.seeds}"
    shell:
        "filter-sparsity extract --spec {params.spec:q} --seed {params.seeds} --data {input.data:q}"
        " --runs {params.runs:q} --device {params.device} --threads {threads} > {log:q} 2>&1"
