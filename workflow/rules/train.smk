# GPU training per spec and seed. At scales where starting up costs as much as training, one job has all seeds.


rule train:
    input:
        data=data_of,
    output:
        of_run(paths.TRAINED),
    log:
        of_run(["train.log"]),
    resources:
        gpu=int(config["device"] != "cpu"),
    params:
        spec=lambda w: json.dumps(PLAN.specs[w.spec].to_dict()),
        seeds=seeds_of,
        runs=paths.runs(SCALE),
        device=config["device"],
        history_points=config["history_points"],
    message:
        "train {wildcards.spec} seed {params.seeds}"
    shell:
        "filter-sparsity train --spec {params.spec:q} --seed {params.seeds} --data {input.data:q}"
        " --runs {params.runs:q} --device {params.device} --threads {threads}"
        " --history-points {params.history_points}"
