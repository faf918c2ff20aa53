# The plan: every spec in full, and which runs each table and figure selects. Tables and figures read it, not the
# configuration. Trainings do not read it: they get their spec as a param, so only a change of the spec trains again.


rule plan:
    input:
        lambda w: PLANS[w.results].configuration_files,
        lambda w: jobs.archive_index(PLANS[w.results]),
    output:
        ANY.plan,
    log:
        ANY.log("plan"),
    localrule: True
    params:
        settings=lambda w: json.dumps(PLANS[w.results].settings, sort_keys=True),
        content=lambda w: PLANS[w.results].digest,  # edits are seen by content: clocks may be wrong
    message:
        "plan {wildcards.results}"
    shell:
        "filter-sparsity plan --settings {params.settings:q} --out {output:q} > {log:q} 2>&1"
