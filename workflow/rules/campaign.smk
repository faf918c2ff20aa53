# A campaign: the records of a scale that are not stored yet, in an order in which each stop leaves the most. It is started
# again and again, on one machine or another, until all are stored:
# `snakemake --cores 2 campaign --keep-going --configfile config/scales/reduced.yaml`.


rule campaign:
    "Every record of the scale that is not stored yet, the first ones first."
    input:
        [paths.run(SCALE, *run) / file for run in archive.absent(PLAN) for file in (paths.TRAINED[-1], "record.json")],
        paths.plan(SCALE),
        [paths.simulation(SCALE, name) for name in PLAN.simulations],
