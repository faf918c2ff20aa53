# Training per spec and seed. At scales where starting up costs as much as training, one job has all seeds.
# Snapshots are no output: Snakemake would delete them when a job fails, and they are what it goes on from.

import time

LIMIT = config["time_limit_minutes"]
STOP_AT = int(time.time() + 60 * LIMIT) if LIMIT else 0  # seconds since 1970; 0: never


rule train:
    input:
        data=data_of,
    output:
        of_run(paths.TRAINED),
        measured() if config["pack_seeds"] else [],
    log:
        of_run(["train.log"]),
    priority: turn
    resources:
        gpu=int(config["device"] != "cpu"),
        stop_at=STOP_AT,  # not among the params, which would train again what another time limit trained
    params:
        spec=lambda w: SETTINGS[w.spec],
        seeds=SEEDS,
        runs=paths.runs(SCALE),
        device=config["device"],
        precision=config["precision"],
        history_points=config["history_points"],
    message:
        "train {wildcards.spec} seed {params.seeds}"
    shell:
        "filter-sparsity train --spec {params.spec:q} --seed {params.seeds} --data {input.data:q}"
        " --runs {params.runs:q} --device {params.device} --threads {threads}"
        " --precision {params.precision} --history-points {params.history_points} --stop-at {resources.stop_at}"
        + (" --measure" if config["pack_seeds"] else "")
