# The plan: every spec of this scale in full, and which runs each table and figure selects. Jobs read it, not the
# configuration. A run takes it as `ancient`: its settings are named by the spec id in its path, so a new plan alone
# never trains anything again.


rule plan:
    input:
        config["experiments"],
        config["datasets"],
    output:
        paths.plan(SCALE),
    log:
        paths.log(SCALE, "plan"),
    params:
        settings=json.dumps(PLAN.settings, sort_keys=True),
    message:
        "plan: every spec and what selects it"
    shell:
        "filter-sparsity plan --settings {params.settings:q} --out {output:q} > {log:q} 2>&1"
