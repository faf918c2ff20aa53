# A campaign: every record of a scale, in an order in which each stop leaves the most. It is started again and again, with
# limits on time, until it is done: `snakemake --cores 2 campaign --keep-going --configfile config/reduced.yaml`.


rule campaign:
    "Every record of the scale, the first ones first."
    input:
        every_run("record.json"),
        behind(),
        [paths.simulation(SCALE, name) for name in PLAN.simulations],
