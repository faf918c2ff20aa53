# Datasets in the form that training reads. They are the same at every scale.


rule datasets:
    log:
        paths.log(SCALE, "datasets"),
    params:
        table=config["datasets"],
        root=config["data_root"] or paths.ORIGINAL,
        prepared=paths.prepared("any").parent,
    message:
        "datasets: what is there, what is missing, and how to get it"
    shell:
        "filter-sparsity datasets --table {params.table:q} --root {params.root:q} --prepared {params.prepared:q} 2> {log:q}"


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
