# The plan: every spec of this scale in full, and which runs each table and figure selects. What makes tables and figures
# reads it, not the configuration. Runs do not depend on it: a training is given its spec, and nothing else can change it.


rule plan:
    input:
        lambda w: PLANS[w.home].configuration_files,
        lambda w: stored_index(PLANS[w.home]),
    output:
        paths.plan("{home}"),
    log:
        paths.log("{home}", "plan"),
    localrule: True
    params:
        settings=lambda w: json.dumps(PLANS[w.home].settings, sort_keys=True),
        content=lambda w: PLANS[w.home].digest,  # an edit is seen by what it says, whatever a clock said of when
    message:
        "plan: every spec and what selects it"
    shell:
        "filter-sparsity plan --settings {params.settings:q} --out {output:q} > {log:q} 2>&1"
