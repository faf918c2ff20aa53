# The verdict: every number that the paper prints against ours, and every claim; and all of it in one picture.


rule judge:
    input:
        lambda w: every_run("record.json", PLANS[w.home]),
        lambda w: judged(PLANS[w.home]),
        paths.PUBLISHED.glob("*.csv"),
        plan=paths.plan("{home}"),
        tolerances=paths.TOLERANCES,
    output:
        on_page(paths.verdict("{home}", "cells.csv"), "Verdict", what="every printed number (CSV)", scale="{home}"),
        on_page(paths.verdict("{home}", "claims.csv"), "Verdict", what="every claim (CSV)", scale="{home}"),
        paths.verdict("{home}", "verdict.json"),
    log:
        paths.log("{home}", "judge"),
    localrule: True
    params:
        runs=lambda w: paths.runs(w.home),
        simulations=lambda w: paths.simulation(w.home, "any").parent,
        published=paths.PUBLISHED,
    message:
        "judge cells and claims of {wildcards.home}"
    shell:
        "filter-sparsity judge --plan {input.plan:q} --runs {params.runs:q} --simulations {params.simulations:q}"
        " --published {params.published:q} --tolerances {input.tolerances:q} --out {output:q} > {log:q} 2>&1"


rule overview:
    input:
        plan=paths.plan("{home}"),
        cells=paths.verdict("{home}", "cells.csv"),
    output:
        paths.figure("{home}", "overview", "pdf"),
        on_page(paths.figure("{home}", "overview", "png"), "Verdict", what="all in one picture", scale="{home}"),
    log:
        paths.log("{home}", "overview"),
    localrule: True
    message:
        "overview of {wildcards.home}: all printed numbers in one picture"
    shell:
        "filter-sparsity overview --plan {input.plan:q} --cells {input.cells:q} --out {output:q} > {log:q} 2>&1"


rule layers:
    input:
        paths.verdict("{home}", "cells.csv"),
    output:
        paths.figure("{home}", "layers", "pdf"),
        on_page(paths.figure("{home}", "layers", "png"), "Verdict", what="Table 1, layer by layer", scale="{home}"),
    log:
        paths.log("{home}", "layers"),
    localrule: True
    message:
        "layers of {wildcards.home}: what each loses in Table 1"
    shell:
        "filter-sparsity layers --cells {input:q} --out {output:q} > {log:q} 2>&1"


rule verdict:
    "All printed numbers and claims judged, and the numbers in one picture."
    input:
        rules.judge.output[0].format(home=SCALE),
        [paths.figure(SCALE, name, ending) for name in ("layers", "overview") for ending in ("pdf", "png")],
        behind(),
