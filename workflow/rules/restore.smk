# Records from the archive, in place of training and measuring. Later steps are the same.


RESTORED = (
    [
        *(record_on_page(ARCHIVED.results_folder, *run) for run in jobs.runs(ARCHIVED)),
        *jobs.restored_files(ARCHIVED),
    ]
    if ARCHIVED
    else []
)

if RESTORED:

    rule restore:
        input:
            plan=ARCHIVED.results_folder.plan,
            reference=paths.reference(ARCHIVED.scale),
            beside=[paths.reference(ARCHIVED.scale, ending) for ending in ("json", "npz")],
        output:
            RESTORED,
        log:
            ARCHIVED.results_folder.log("restore"),
        localrule: True
        params:
            runs=ARCHIVED.results_folder.runs,
            simulations=ARCHIVED.results_folder.simulations,
        message:
            "restore the archived runs of scale {ARCHIVED.scale}"
        shell:
            "filter-sparsity restore --plan {input.plan:q} --reference {input.reference:q} --runs {params.runs:q}"
            " --simulations {params.simulations:q} > {log:q} 2>&1"
