# Training: from a spec and a seed to a run. With `pack_seeds` one job trains all seeds of a spec.
# Checkpoints are no output: Snakemake would delete them when a job fails, and the next job resumes from them.

PRIORITIES = jobs.training_priorities(PLAN)
STOP_AT = jobs.stop_time(config["time_limit_minutes"], time.time())


rule train:
    input:
        data=training_data,
    output:
        jobs.job_files(PLAN, paths.TRAINED),
        measured() if config["pack_seeds"] else [],
    log:
        jobs.job_files(PLAN, ["train.log"]),
    priority: lambda w: PRIORITIES[w.spec, w.get("seed")]
    resources:
        gpu=int(config["device"] != "cpu"),
        stop_at=STOP_AT,  # a resource, not a param: a changed time limit must not train everything again
    params:
        spec=lambda w: SPECS[w.spec],
        seeds=SEEDS,
        runs=OUT.runs,
        device=config["device"],
        precision=config["precision"],
        history_points=config["history_points"],
        measuring=jobs.measuring_version() if config["pack_seeds"] else [],
    message:
        "train {wildcards.spec} seed {params.seeds}"
    shell:
        "filter-sparsity train --spec {params.spec:q} --seed {params.seeds} --data {input.data:q}"
        " --runs {params.runs:q} --device {params.device} --threads {threads}"
        " --precision {params.precision} --history-points {params.history_points} --stop-at {resources.stop_at}"
        + (" --measure" if config["pack_seeds"] else "")
