# A campaign: the records of a scale that are not in the archive yet. Repeat the call, on any machine, until all are:
# `snakemake --cores 2 campaign --keep-going --configfile config/scales/reduced.yaml`.


rule campaign:
    "Every record of the scale that is not in the archive yet."
    input:
        jobs.campaign_files(PLAN),
    message:
        "finish the campaign"
