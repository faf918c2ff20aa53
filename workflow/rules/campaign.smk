# A campaign: every record of a scale, in an order in which each stop leaves the most. It is started again and again, with
# limits on time, until it is done: `snakemake --cores 2 campaign --keep-going --configfile config/reduced.yaml`.


def first_ones():
    """The specs in the order of the configuration's `campaign`, then all others."""
    listed = [spec for name in config.get("campaign", []) for spec in PLAN.shown_by(name)]
    return [*dict.fromkeys([*listed, *PLAN.specs])]


ORDER = {spec: i for i, spec in enumerate(first_ones())}


def turn(wildcards):
    """The priority of a job: seed by seed, and in each of them in the order of the specs."""
    seed = 0 if config["pack_seeds"] else PLAN.seeds_of(wildcards.spec).index(int(wildcards.seed))
    return 1 + len(ORDER) * (len(PLAN.seeds) - seed) - ORDER[wildcards.spec]


rules.train.rule.priority = turn
rules.extract.rule.priority = turn  # a run that is trained is measured before another is trained


rule campaign:
    input:
        every_run("record.json"),
        [paths.simulation(SCALE, name) for name in PLAN.drawn if PLAN.figures[name]["kind"] == "simulation"],
