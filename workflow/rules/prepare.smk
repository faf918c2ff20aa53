# Datasets in the form that training reads. They are the same at every scale.


rule prepare:
    output:
        paths.prepared("{dataset}"),
    log:
        paths.log(SCALE, "prepare-{dataset}"),
    params:
        root=config["data_root"] or paths.RESULTS / "data" / "original",
    message:
        "prepare {wildcards.dataset}"
    shell:
        "filter-sparsity prepare {wildcards.dataset} --root {params.root:q} --out {output:q} > {log:q} 2>&1"
