# Which files of which runs: what the rules of the stages have in common.

SEEDS = PLAN.seeds if config["pack_seeds"] else ["{seed}"]  # of one job
ROOT = config["data_root"] or paths.ORIGINAL
FIGURE_NEEDS = {"affine": "affine.safetensors", "universality": "features.csv"}


def of_run(names):
    """The files of a run, or of all seeds' runs where one job has them all."""
    return [paths.run(SCALE, "{spec}", seed) / name for seed in SEEDS for name in names]


def seeds_of(wildcards):
    return [wildcards.seed] if "seed" in wildcards.keys() else SEEDS


def data_of(wildcards):
    """Data made anew, from whatever form, are the same data or are refused by their digest: that trains nothing again."""
    return ancient(paths.prepared(PLAN.specs[wildcards.spec].dataset))


def renders_for(wildcards):
    """The renders that a dataset is composed of, where it is."""
    family = paths.renders_of(wildcards.dataset)
    return [paths.rendered(family)] if family else []


def prepare_options(wildcards, input):
    """What a dataset is composed of, what its content must be, and from where else to download it, if anything."""
    given = {
        "rendered": str(input),
        "digest": PLAN.datasets[wildcards.dataset]["digest"],
        "mirror": config.get("mirrors", {}).get(wildcards.dataset),
    }
    return [f"--{option}={value}" for option, value in given.items() if value]


def every_run(file, plan=PLAN):
    """A file of every run of a plan."""
    return [paths.run(plan.home, spec, seed) / file for spec in plan.specs for seed in plan.seeds_of(spec)]


def stored_index(plan):
    """The list of stored runs that a plan was made from, if it was and there are any."""
    return [paths.reference(plan.scale, "json")] if any((plan.runs or {}).values()) else []


def selected(name, file):
    """A file of every run that a table or figure shows."""
    return [paths.run(SCALE, spec, seed) / file for spec in PLAN.selected(name) for seed in PLAN.seeds_of(spec)]


def needed_by(wildcards):
    """What a figure draws: a simulation, or a file of every run that it shows."""
    kind = PLAN.figures[wildcards.figure]["kind"]
    if kind == "simulation":
        return paths.simulation(SCALE, wildcards.figure)
    if kind == "gallery":
        return [paths.prepared(PLAN.figures[wildcards.figure][part]) for part in paths.COMPOSED]
    return selected(wildcards.figure, FIGURE_NEEDS[kind])
