# Datasets in the form that training reads. They are the same at every scale.


rule prepare:
    output:
        paths.prepared("{dataset}"),
    log:
        paths.log(SCALE, "prepare-{dataset}"),
    params:
        root=config["data_root"] or paths.ORIGINAL,
        digest=lambda w: PLAN.datasets[w.dataset]["digest"],
        mirror=lambda w: config.get("mirrors", {}).get(w.dataset, ""),
    message:
        "prepare {wildcards.dataset}"
    shell:
        "filter-sparsity prepare {wildcards.dataset} --root {params.root:q} --digest {params.digest:q}"
        " --mirror {params.mirror:q} --out {output:q} > {log:q}"
