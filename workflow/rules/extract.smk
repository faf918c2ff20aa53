# Measuring: from a trained run to its record. Where one job trains all seeds of a spec, `train` measures them, too.


if not config["pack_seeds"]:

    rule extract:
        input:
            jobs.job_files(PLAN, paths.TRAINED),
            data=training_data,
        output:
            measured(),
        log:
            jobs.job_files(PLAN, ["extract.log"])[0],
        priority: lambda w: PRIORITIES[w.spec, w.get("seed")]
        resources:
            gpu=int(config["device"] != "cpu"),
        params:
            spec=lambda w: SPECS[w.spec],
            seeds=SEEDS,
            runs=OUT.runs,
            device=config["device"],
            measuring=jobs.measuring_version(),
        message:
            "extract {wildcards.spec} seed {params.seeds}"
        shell:
            "filter-sparsity extract --spec {params.spec:q} --seed {params.seeds} --data {input.data:q}"
            " --runs {params.runs:q} --device {params.device} --threads {threads} > {log:q} 2>&1"
