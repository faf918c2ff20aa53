# Which files of which runs, and what the page says of them: what the rules of the stages have in common.

import json
import re


wildcard_constraints:
    home="|".join(PLANS),
    spec="|".join(PLAN.specs),
    seed=r"\d+",
    dataset="|".join(PLAN.datasets),
    family="|".join(PLAN.renders) or "none",
    table="|".join(PLAN.tables) or "none",
    figure="|".join(PLAN.figures) or "none",


SETTINGS = {name: json.dumps(spec.to_dict()) for name, spec in PLAN.specs.items()}  # once, however many seeds
SEEDS = PLAN.seeds if config["pack_seeds"] else ["{seed}"]  # of one job
ROOT = config["data_root"] or paths.ORIGINAL
FIGURE_NEEDS = {"affine": "affine.safetensors", "universality": "features.csv"}
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def of_run(names):
    """The files of a run, or of all seeds' runs where one job has them all."""
    return [paths.run(SCALE, "{spec}", seed) / name for seed in SEEDS for name in names]


def on_page(path, category, **labels):
    """A file that the page shows (`snakemake page --report`), with its category's caption."""
    return report(str(path), f"../../report/captions/{category.lower()}.rst", category=category, labels=labels)


def record_on_page(home, spec, seed):
    return on_page(paths.run(home, spec, seed) / "record.json", "Records", spec=spec, seed=str(seed), scale=home)


def measured():
    """What measuring makes of a run, or of all seeds' runs."""
    return [*(record_on_page(SCALE, "{spec}", seed) for seed in SEEDS), *of_run(["features.csv"])]


def told(plan, datasets):
    """Which data at which scale, for a caption."""
    used = [plan.datasets[name] for name in dict.fromkeys(datasets)]
    names = [d["name"] + (f" for {d['stands_for']}" if d["stands_for"] else "") for d in used]
    own = plan.settings
    return f"Scale {plan.home}{': ' if names else ''}{', '.join(names)}." + (
        f" Width {own['width']}, {own['steps'] or 'the published number of'} iterations:"
        " not comparable with the paper's numbers."
        if not plan.at_papers
        else ""
    )


def caption(name):
    """A table's or figure's own caption, and its data."""
    shown = (PLAN.tables | PLAN.figures)[name]
    data = [PLAN.specs[spec].dataset for spec in PLAN.selected(name)]
    data += [shown[part] for part in paths.COMPOSED if part in shown]
    plain = shown["caption"].replace("|", r"\|")  # which means something else in reStructuredText
    plain = re.sub(r"\^\{(.*?)\}", lambda power: power[1].translate(RAISED), plain)
    return f"{plain} {told(PLAN, data)}" if data else plain


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


def behind(names=None):
    """What targets need to be there, besides what they show: the plan, and what `train` writes last of each run.

    Snakemake asks only what a target names. A training that is repeated, for another precision say, and fails, takes the
    run's files away and leaves its record of before: nobody would miss what only the record was made of.
    """
    last = paths.TRAINED[-1]
    trained = every_run(last) if names is None else [file for name in names for file in selected(name, last)]
    return [paths.plan(SCALE), *(trained if PLAN is not STORED else [])]


def selected(name, file, plan=PLAN):
    """A file of every run that a table or figure shows."""
    return [paths.run(plan.home, spec, seed) / file for spec in plan.selected(name) for seed in plan.seeds_of(spec)]


def needed_by(wildcards):
    """What a figure draws: a simulation, or a file of every run that it shows."""
    kind = PLAN.figures[wildcards.figure]["kind"]
    if kind == "simulation":
        return paths.simulation(SCALE, wildcards.figure)
    if kind == "gallery":
        return [paths.prepared(PLAN.figures[wildcards.figure][part]) for part in paths.COMPOSED]
    return selected(wildcards.figure, FIGURE_NEEDS[kind])


def restored():
    """What the stored records give back: every run's record, and what figures draw beside it."""
    if not STORED:
        return []
    kinds = {name: STORED.figures[name]["kind"] for name in STORED.drawn}
    more = [selected(name, FIGURE_NEEDS[kind], STORED) for name, kind in kinds.items() if kind in FIGURE_NEEDS]
    simulations = [paths.simulation(STORED.home, name) for name in STORED.simulations]
    seeds = ((spec, seed) for spec in STORED.specs for seed in STORED.seeds_of(spec))
    return [*(record_on_page(STORED.home, *run) for run in seeds), *more, *simulations]


def judged(plan):
    """The simulations that claims are about, where there are any."""
    names = {test["simulated"] for claim in plan.claims for test in claim["tests"] if "simulated" in test}
    return [paths.simulation(plan.home, name) for name in sorted(names & set(plan.drawn))]


def first_ones():
    """The specs in the order of the configuration's `train_first`, then all others."""
    listed = [spec for name in config.get("train_first", []) for spec in PLAN.shown_by(name)]
    return [*dict.fromkeys([*listed, *PLAN.specs])]


ORDER = {spec: i for i, spec in enumerate(first_ones())}


def turn(wildcards):
    """The priority of a job: seed by seed, and in each of them in the order of the specs."""
    seed = 0 if config["pack_seeds"] else PLAN.seeds_of(wildcards.spec).index(int(wildcards.seed))
    return 1 + len(ORDER) * (len(PLAN.seeds) - seed) - ORDER[wildcards.spec]
