# Data: from originals to the form that training reads, the same at every scale.


rule datasets:
    "List the datasets: which are available, and how to get the others."
    log:
        OUT.log("datasets"),
    localrule: True
    params:
        table=lambda w: config["datasets"],
        root=lambda w: ORIGINALS,  # no string: braces in it would be wildcards
        prepared=paths.DATA,
    message:
        "list datasets"
    shell:
        "filter-sparsity datasets --table {params.table:q} --root {params.root:q} --prepared {params.prepared:q} 2> {log:q}"


# The slow part of a family, which its plain and its cluttered dataset share.
rule render:
    output:
        paths.rendered("{family}"),
    log:
        OUT.log("render-{family}"),
    threads: workflow.cores
    params:
        settings=lambda w: json.dumps(PLAN.renders[w.family], sort_keys=True),
        root=lambda w: ORIGINALS,  # no string: braces in it would be wildcards
    message:
        "render {wildcards.family}"
    shell:
        "filter-sparsity render {wildcards.family:q} --settings {params.settings:q} --root {params.root:q}"
        " --jobs {threads} --out {output:q} > {log:q}"


rule prepare:
    input:
        lambda w: jobs.prepare_inputs(w.dataset),
    output:
        paths.prepared("{dataset}"),
    log:
        OUT.log("prepare-{dataset}"),
    localrule: True
    params:
        root=lambda w: ORIGINALS,  # no string: braces in it would be wildcards
        options=lambda w, input: jobs.prepare_options(PLAN, w.dataset, input),
    message:
        "prepare {wildcards.dataset}"
    shell:
        "filter-sparsity prepare {wildcards.dataset} --root {params.root:q} {params.options:q}"
        " --out {output:q} > {log:q}"
