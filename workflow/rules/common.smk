# Shared by the rules: wildcards, and the outputs shown on the HTML page (`snakemake page --report`).


# Untried, and used only by `--software-deployment-method apptainer`; `snakemake --lint` demands an environment or a container.
container: "docker://python:3.11-bookworm"


wildcard_constraints:
    results="|".join(PLANS),
    spec="|".join(PLAN.specs),
    seed=r"\d+",
    dataset="|".join(PLAN.datasets),
    family="|".join(PLAN.renders) or "none",
    table="|".join(PLAN.tables) or "none",
    figure="|".join(PLAN.figures) or "none",


SPECS = jobs.spec_arguments(PLAN)
SEEDS = jobs.job_seeds(PLAN)
ORIGINALS = config["data_root"] or paths.ORIGINAL
ANY = paths.ResultsFolder(paths.RESULTS / "{results}")  # of any plan: see wildcard_constraints


def on_page(path, category, **labels):
    return report(str(path), f"../../{captions.template(category)}", category=category, labels=labels)


def record_on_page(out, spec, seed):
    return on_page(out.run(spec, seed) / jobs.RECORD, "Records", spec=spec, seed=str(seed), scale=out.name)


def measured():
    """What `extract` makes of the runs of one job."""
    return [*(record_on_page(OUT, "{spec}", seed) for seed in SEEDS), *jobs.job_files(PLAN, ["features.csv"])]


def training_data(wildcards):
    """Prepared data have the digest that the plan demands, so data that are merely newer train nothing again."""
    return ancient(paths.prepared(PLAN.specs[wildcards.spec].dataset))
