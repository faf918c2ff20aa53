# Datasets in the form that training reads. They are the same at every scale.


rule datasets:
    "Which data are there, and how to get the rest."
    log:
        paths.log(SCALE, "datasets"),
    localrule: True
    params:
        table=config["datasets"],
        root=ROOT,
        prepared=paths.prepared("any").parent,
    message:
        "datasets: what is there, what is missing, and how to get it"
    shell:
        "filter-sparsity datasets --table {params.table:q} --root {params.root:q} --prepared {params.prepared:q} 2> {log:q}"


# The slow part of a family, which its plain and its cluttered dataset share.
rule render:
    output:
        paths.rendered("{family}"),
    log:
        paths.log(SCALE, "render-{family}"),
    threads: workflow.cores
    params:
        settings=lambda w: json.dumps(PLAN.renders[w.family], sort_keys=True),
        root=ROOT,
    message:
        "render {wildcards.family}"
    shell:
        "filter-sparsity render {wildcards.family:q} --settings {params.settings:q} --root {params.root:q}"
        " --jobs {threads} --out {output:q} > {log:q}"


rule prepare:
    input:
        renders_for,
    output:
        paths.prepared("{dataset}"),
    log:
        paths.log(SCALE, "prepare-{dataset}"),
    localrule: True
    params:
        root=ROOT,
        options=prepare_options,
    message:
        "prepare {wildcards.dataset}"
    shell:
        "filter-sparsity prepare {wildcards.dataset} --root {params.root:q} {params.options:q}"
        " --out {output:q} > {log:q}"
