# The verdict on every printed number and every claim, and two pictures of the numbers.


rule judge:
    input:
        lambda w: jobs.run_files(PLANS[w.results], jobs.RECORD),
        lambda w: jobs.claim_inputs(PLANS[w.results]),
        paths.PUBLISHED.glob("*.csv"),
        plan=ANY.plan,
        tolerances=paths.TOLERANCES,
    output:
        on_page(ANY.verdict("cells.csv"), "Verdict", **captions.LABELS["cells"], scale="{results}"),
        on_page(ANY.verdict("claims.csv"), "Verdict", **captions.LABELS["claims"], scale="{results}"),
        ANY.verdict("verdict.json"),
    log:
        ANY.log("judge"),
    localrule: True
    params:
        runs=lambda w: PLANS[w.results].results_folder.runs,
        simulations=lambda w: PLANS[w.results].results_folder.simulations,
        published=paths.PUBLISHED,
    message:
        "judge {wildcards.results}"
    shell:
        "filter-sparsity judge --plan {input.plan:q} --runs {params.runs:q} --simulations {params.simulations:q}"
        " --published {params.published:q} --tolerances {input.tolerances:q} --out {output:q} > {log:q} 2>&1"


rule plot_overview:
    input:
        plan=ANY.plan,
        cells=ANY.verdict("cells.csv"),
    output:
        ANY.figure("overview", "pdf"),
        on_page(ANY.figure("overview", "png"), "Verdict", **captions.LABELS["overview"], scale="{results}"),
    log:
        ANY.log("overview"),
    localrule: True
    message:
        "plot the overview of {wildcards.results}"
    shell:
        "filter-sparsity plot-overview --plan {input.plan:q} --cells {input.cells:q} --out {output:q} > {log:q} 2>&1"


rule plot_layers:
    input:
        ANY.verdict("cells.csv"),
    output:
        ANY.figure("layers", "pdf"),
        on_page(ANY.figure("layers", "png"), "Verdict", **captions.LABELS["layers"], scale="{results}"),
    log:
        ANY.log("layers"),
    localrule: True
    message:
        "plot the layers of {wildcards.results}"
    shell:
        "filter-sparsity plot-layers --cells {input:q} --out {output:q} > {log:q} 2>&1"


rule verdict:
    "The verdict on all printed numbers and claims, with pictures."
    input:
        rules.judge.output[0].format(results=OUT.name),
        [OUT.figure(name, ending) for name in ("layers", "overview") for ending in ("pdf", "png")],
        jobs.final_files(PLAN),
    message:
        "finish the verdict"
