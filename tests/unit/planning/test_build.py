import itertools
import json
import re
from collections import Counter
from dataclasses import replace
from inspect import signature, unwrap
from pathlib import Path

import pytest
import yaml

from filter_sparsity.errors import UserError
from filter_sparsity.plan import Plan, spec_ids
from filter_sparsity.planning.build import anchor_paths, build_plan, build_plans, merge
from filter_sparsity.planning.experiments import read_datasets, read_experiments
from filter_sparsity.planning.names import TARGETS
from filter_sparsity.planning.resolver import HYPERPARAMETERS
from filter_sparsity.planning.validation import convert_numbers, read_schema, read_yaml, validate
from helpers.experiments import changed, printed_rows, rows_of

TABLES = ("table1", "table2", "table3", "table4")
USUAL = {"negative_slope": 0, "gamma_init": 1, "beta_init": 0, "gamma_lr_scale": 1, "beta_lr_scale": 1}


def printed_specs(plan, published):
    """Ids of the specs of the paper's own rows, in its order."""
    rows = [row for name in TABLES for row in printed_rows(plan, published(name), name)]
    return [*dict.fromkeys(spec_id for row in rows for spec_id in row["specs"].values())]


def as_printed(line):
    """The settings among a printed line's columns; numbers as numbers, an empty one as usual."""
    words = ("dataset", "network", "optimizer", "regularizer")
    settings = {k: line[k] for k in words if k in line}
    for key in ("strength", *USUAL):
        if key in line:
            settings[key] = float(line[key]) if line[key] else USUAL[key]
    return settings


def test_the_paper_has_37_specs(paper_plan, published):
    """35 in the tables, and SGD on CIFAR-100 at two strengths for Figure 1."""
    in_tables = {*printed_specs(paper_plan, published)}
    in_figures = {i for name in ("figure1", "figure2") for i in paper_plan.selected(name)}
    assert len(in_tables | in_figures) == 37
    assert len(in_tables) == 35
    only = [paper_plan.specs[i] for i in sorted(in_figures - in_tables)]
    assert {(s.dataset, s.optimizer, s.regularizer, s.strength) for s in only} == {
        ("cifar100", "sgd", "l2", 5e-4),
        ("cifar100", "sgd", "l2", 1e-3),
    }
    assert in_tables | in_figures | {*paper_plan.selected("task_difficulty")} <= paper_plan.specs.keys()


def test_four_specs_stand_in_two_tables(paper_plan, published):
    own = [{i for row in printed_rows(paper_plan, published(n), n) for i in row["specs"].values()} for n in TABLES]
    count = Counter(itertools.chain(*own))
    twice = [paper_plan.specs[i] for i, n in count.items() if n > 1]
    assert {(s.dataset, s.optimizer, s.strength) for s in twice} == {
        ("cifar100", "adam", 1e-4),
        ("cifar100", "amsgrad", 1e-2),
        ("cifar100", "amsgrad", 1e-4),
        ("cifar100", "amsgrad", 1e-6),
    }
    assert set(count.values()) == {1, 2}


@pytest.mark.parametrize("name", TABLES)
def test_rows_stand_as_the_paper_prints_them(paper_plan, published, name):
    """Row by row, in the order of the page, with what the line says and everything else as usual."""
    lines, rows = published(name), printed_rows(paper_plan, published(name), name)
    assert len(lines) == len(rows)
    for line, row in zip(lines, rows, strict=True):
        for settings in row["published"].values():
            printed = as_printed(line)
            assert {k: settings[k] for k in printed} == printed
            assert {k: settings[k] for k in USUAL if k not in printed} == {
                k: v for k, v in USUAL.items() if k not in printed
            }


@pytest.mark.parametrize("name", TABLES)
def test_each_row_is_exactly_one_printed_line(paper_plan, published, name):
    lines = [as_printed(line) for line in published(name)]
    for row in printed_rows(paper_plan, published(name), name):
        for settings in row["published"].values():
            assert sum(all(settings[k] == v for k, v in line.items()) for line in lines) == 1


@pytest.mark.parametrize("name", ["table1", "table2"])
def test_labels_say_the_row_s_regularizer_and_strength(paper_plan, published, name):
    for row in printed_rows(paper_plan, published(name), name):
        kind, strength = row["label"].split(": ")
        settings = row["published"][""]
        assert (settings["regularizer"], settings["strength"]) == (kind.lower(), float(strength))


def test_table_4_has_both_datasets_in_each_row(paper_plan, published):
    for row in printed_rows(paper_plan, published("table4"), "table4"):
        specs = {label: paper_plan.specs[i] for label, i in row["specs"].items()}
        assert {label: spec.dataset for label, spec in specs.items()} == {
            "CIFAR10": "cifar10",
            "CIFAR100": "cifar100",
        }
        assert {spec.strength for spec in specs.values()} == {float(row["label"])}


@pytest.mark.parametrize(
    "fact",
    [
        "pool: average",
        "pool_after: [2, 4]",
        "hidden: [9]",
        "hidden_norm: false",
        "head_pool: none",
        "head_init: torch",
        "hyperparameters: {eps: 0.1}",
        "width: 0.5",
        "steps: 100",
        "unregularized: head",
        "phase_epochs: [325]",
        "beta_init: 0.5",
    ],
)
def test_a_row_with_a_fact_of_its_own_is_not_the_papers(paper_settings, tmp_path, published, fact):
    first = f"label: Adam\n            settings: {{optimizer: adam}}\n            rows:\n              - {ROW}"
    plan = build_plan(changed(paper_settings, tmp_path, {first: f"{first[:-1]}, {fact}}}"}, 1))
    printed = printed_rows(plan, published("table1"), "table1")
    assert len(printed) == 7
    assert ("adam", "l2", 1e-3) not in [
        tuple(row["published"][""][key] for key in ("optimizer", "regularizer", "strength")) for row in printed
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"width": 0.5},
        {"steps": 1000},
        {"strength_multiplier": 11},
        {"lr_multiplier": {"adam": 2}},
        {"substitutes": {"cifar10": "digits"}},
        {"image_side": 16},
    ],
)
def test_only_published_settings_have_the_papers_numbers(paper_settings, changes):
    assert build_plan(paper_settings).is_paper_scale
    assert build_plan(paper_settings | {"lr_multiplier": {"adam": 1.0}}).is_paper_scale
    assert not build_plan(paper_settings | changes).is_paper_scale


def test_specs_at_paper_scale_are_as_published(paper_plan, published):
    ids = printed_specs(paper_plan, published) + paper_plan.selected("task_difficulty")
    printed = [paper_plan.specs[i] for i in ids]
    for spec in printed:
        batches = (30_000 if spec.dataset.startswith("objectnet3d") else 50_000) // 40
        assert spec.phase_steps == (250 * batches, 75 * batches)
        assert (spec.batch_size, spec.rate_decay, spec.flip) == (40, 0.1, True)
        assert spec.network.filters == (64, 128, 128, 256, 256, 512, 512)
    rates = {spec.optimizer: spec.rate for spec in printed}
    assert rates == {"sgd": 0.1, "adam": 1e-3, "amsgrad": 1e-3, "rmsprop": 1e-3, "adamax": 2e-3}
    adam = next(s for s in printed if s.optimizer == "adam")
    assert adam.hyperparameters == {"betas": [0.9, 0.99], "eps": 1e-8}
    assert paper_plan.seeds == [0, 1, 2]


def test_figure_3_has_the_seven_optimizers_at_their_base_rates(paper_plan):
    figure = paper_plan.figures["figure3"]
    rates = {panel["optimizer"]: panel["rate"] for panel in figure["panels"]}
    assert rates == {"sgd": 0.1, "adam": 1e-3, "amsgrad": 1e-3, "adagrad": 1e-2, "adadelta": 1.0, "rmsprop": 1e-3,
                     "adamax": 2e-3}  # fmt: skip
    assert (figure["start"], figure["phases"][0]["iterations"]) == (1, 100)
    assert [phase["deviation"] for phase in figure["phases"]] == [1e-3, 1e-5]


@pytest.mark.parametrize("steps", [3, 10, 999, 1000, 1001, 406_250])
def test_fewer_steps_keep_each_phase_s_share(paper_settings, steps):
    for spec in build_plan(paper_settings | {"steps": steps}).specs.values():
        assert spec.steps == steps
        assert abs(spec.phase_steps[0] - steps * 250 / 325) <= 0.5


def test_multipliers_and_width_scale_every_spec(paper_settings, paper_plan):
    scaled = build_plan(paper_settings | {"width": 0.125, "strength_multiplier": 10, "lr_multiplier": 3, "steps": 100})
    assert len(scaled.specs) == len(paper_plan.specs)
    for big, small in zip(paper_plan.specs.values(), scaled.specs.values(), strict=True):
        assert small.network.filters == (8, 16, 16, 32, 32, 64, 64)
        assert small.network.hidden == (256,)  # the width is of the convolutions
        assert small.strength == pytest.approx(10 * big.strength, rel=1e-12)
        assert small.rate == pytest.approx(3 * big.rate, rel=1e-12)
    row = rows_of(scaled.tables["table1"])[0]
    assert row["published"][""]["strength"] == 1e-3  # the paper's words stay


def test_a_multiplied_strength_is_the_spec_with_the_product(paper_settings, tmp_path):
    stronger = changed(paper_settings, tmp_path, {"l2: 1e-3": "l2: 1e-2", "l2: 5e-4": "l2: 0.005"})
    written = build_plan(stronger).tables["table1"]
    multiplied = build_plan(paper_settings | {"strength_multiplier": 10}).tables["table1"]
    one, other = (
        {(g["label"], row["label"]): row["specs"] for g in table["panels"][0]["groups"] for row in g["rows"]}
        for table in (written, multiplied)
    )
    same = {key: one[key] == other[key] for key in one}
    assert all(same[key] for key in (("Adam", "L2: 1e-3"), ("SGD", "L2: 1e-3"), ("SGD", "L2: 5e-4")))
    assert not any(same[key] for key in same if key[1].startswith("WD"))
    assert not same["Adam", "L2: 1e-4"]


@pytest.mark.parametrize(
    ("around", "own"),
    [
        ("l2: 1e-4", "decoupled: 2e-4"),
        ("decoupled: 1e-4", "wd: 2e-4"),
        ("l2: 1e-4", "wd: 2e-4"),
        ("wd: 1e-4", "l2: 2e-4"),
        ("wd: 1e-4", "wd: 2e-4"),
    ],
)
def test_a_row_s_regularizer_replaces_that_of_its_table(paper_settings, tmp_path, around, own):
    changes = {"optimizer: adam, l2: 1e-4}\n    metrics": f"optimizer: adam, {around}}}\n    metrics",
               '"LR scale for γ: 0.1", gamma': f'"LR scale for γ: 0.1", {own}, gamma'}  # fmt: skip
    plan = build_plan(changed(paper_settings, tmp_path, changes))
    *others, one, _ = (plan.specs[i] for i in plan.selected("table3"))
    assert (one.regularizer, one.strength) == (own.split(":")[0], 2e-4)
    assert {(s.regularizer, s.strength) for s in others} == {(around.split(":")[0], 1e-4)}


def test_substitutes_replace_the_data_and_nothing_else(paper_settings, paper_plan):
    substitutes = {"cifar10": "digits", "cifar100": "digit_pairs"}
    plan = build_plan(paper_settings | {"substitutes": substitutes})
    replaced = [substitutes.get(s.dataset, s.dataset) for s in paper_plan.specs.values()]
    assert [s.dataset for s in plan.specs.values()] == replaced
    assert {s.flip for s in plan.specs.values() if s.dataset.startswith("digit")} == {False}
    assert set(plan.datasets) == {"digits", "digit_pairs"}
    # 1,442 and 3,000 training images are 36 and 75 whole batches of 40 an epoch
    phases = {(s.dataset, s.phase_steps) for s in plan.specs.values() if s.dataset.startswith("digit")}
    assert phases == {("digits", (250 * 36, 75 * 36)), ("digit_pairs", (250 * 75, 75 * 75))}
    row = rows_of(plan.tables["table1"])[0]
    assert row["published"][""]["dataset"] == "cifar10"


def test_a_plan_comes_back_from_its_file(paper_plan, tmp_path):
    path = tmp_path / "plan.json"
    path.write_text(paper_plan.to_json())
    assert Plan.from_json(path) == paper_plan


def test_selected_gives_each_spec_once_in_order(paper_plan):
    for name in TABLES:
        chosen = paper_plan.selected(name)
        assert len(chosen) == len(set(chosen))
        assert list(dict.fromkeys(spec_ids(paper_plan.tables[name]))) == chosen
    assert paper_plan.selected("figure3") == paper_plan.selected("figure4") == []


def test_merging_is_key_by_key():
    merged = merge({"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"c": 3}, "d": [2], "e": None})
    assert merged == {"a": {"b": 1, "c": 3}, "d": [2], "e": None}


@pytest.mark.parametrize(
    ("text", "value"), [("1e-3", 0.001), ("1E+2", 100.0), ("-2.5e-4", -2.5e-4), ("e3", "e3"), ("1e", "1e"), ("12", 12)]
)
def test_yaml_numbers_with_exponents_are_numbers(tmp_path, text, value):
    path = tmp_path / "a.yaml"
    path.write_text(f"key: {text}\n")
    assert read_yaml(path) == {"key": value}
    assert type(read_yaml(path)["key"]) is type(value)


def test_a_key_given_twice_is_refused(tmp_path):
    (tmp_path / "a.yaml").write_text("l2: 1e-3\nl2: 1e-4\n")
    with pytest.raises(UserError, match="'l2' is given twice"):
        read_yaml(tmp_path / "a.yaml")


def test_the_configuration_files_are_valid(root):
    base = read_yaml(root / "config/config.yaml")
    for overlay in (root / "config" / "scales").glob("*.yaml"):
        validate(merge(base, read_yaml(overlay)), "config", overlay.name)
    validate(base, "config", "config.yaml")
    for path in (root / "config").rglob("*.yaml"):
        first, _, schema = path.read_text().partition("\n")[0].partition("$schema=")
        assert first == "# yaml-language-server: "
        assert (path.parent / schema).exists()  # where an editor looks


def test_a_labelled_row_has_every_setting():
    """The schema says so twice, since editors merge no mappings in YAML."""
    shared = read_schema("tables")["$defs"]
    assert {*shared["labelled"]["properties"]} == {"label", *shared["settings"]["properties"]}


# A mistake, and what its line must say: where, what, and what is allowed. The row is the first of Table 1.
ROW = '{label: "L2: 1e-3", l2: 1e-3}'
PLACE = "tables.table1.panels[0].groups[0].rows[0]"
NO_EXPERIMENTS = [
    ("\nseeds:", "\nsedes:", ["unknown key 'sedes'", "seeds", "networks"]),
    (ROW, '{label: "L2: 1e-3", l3: 1e-3}', [PLACE, "unknown key 'l3'", "l2", "wd", "beta_init"]),
    (ROW, "{label: a, l2: 1e-3, optimizer: adm}", [f"{PLACE}.optimizer", "'adm'", "sgd, adam, amsgrad"]),
    (ROW, "{label: a, l2: 1e-3, dataset: cifar11}", [f"{PLACE}.dataset", "'cifar11'", "cifar10, cifar100"]),
    (ROW, "{label: a, l2: 1e-3, network: vgg19}", [f"{PLACE}.network", "'vgg19'", "basicnet, vgg16, vgg11"]),
    (ROW, f"{ROW}\n              - {ROW}", [PLACE.removesuffix(".rows[0]"), "'L2: 1e-3' is given twice"]),
    ("label: SGD\n", "label: Adam\n", ["tables.table1.panels[0]", "the label 'Adam' is given twice"]),
    (ROW, "{label: a, l2: -1e-3}", [f"{PLACE}.l2", "-0.001", "minimum of 0"]),
    (ROW, "{label: a, l2: .nan}", [f"{PLACE}.l2", "nan", "a finite number"]),
    (ROW, "{label: a, wd: .inf}", [f"{PLACE}.wd", "inf", "a finite number"]),
    (ROW, "{label: a, wd: 1}", [f"{PLACE}.wd", "1", "maximum of 1"]),
    (ROW, "{label: a, l2: much}", [f"{PLACE}.l2", "'much'", "a finite number"]),
    (ROW, "{label: a, l2: true}", [f"{PLACE}.l2", "True", "a finite number"]),
    (ROW, "{label: a, l2: 1e-3, wd: 1e-4}", [PLACE, "l2 0.001 and wd 0.0001", "at most one"]),
    (ROW, "{label: a, l2: 1e-3, decoupled: 1}", [PLACE, "l2 0.001 and decoupled 1", "at most one"]),
    (ROW, "{label: a, wd: 1e-3, decoupled: 1}", [PLACE, "wd 0.001 and decoupled 1", "at most one"]),
    (ROW, "{label: a, l2: 1e-3, batch_size: 50001}", [f"{PLACE}.batch_size", "50001", "50000 training images"]),
    (ROW, "{label: a, l2: 1e-3, batch_size: 1}", [f"{PLACE}.batch_size", "1", "minimum of 2"]),
    (ROW, "{label: a, l2: 1e-3, beta_init: .nan}", [f"{PLACE}.beta_init", "nan", "a finite number"]),
    (ROW, "{l2: 1e-3}", [PLACE, "'label' is a required property"]),
    ("settings: {dataset: cifar10}", "settings: {}", [PLACE, "no dataset is given"]),
    ("paper: [0, 1, 2]", "paper: [0, 1.5]", ["seeds.paper[1]", "1.5", "a whole number"]),
    ("paper: [0, 1, 2]", "paper: [one]", ["seeds.paper[0]", "'one'", "a whole number"]),
    ("paper: [0, 1, 2]", "paper: [-1]", ["seeds.paper[0]", "-1", "minimum of 0"]),
    ("paper: [0, 1, 2]", "paper: [1, 1]", ["seeds.paper", "[1, 1]", "non-unique"]),
    ("paper: [0, 1, 2]", "paper: []", ["seeds.paper", "[]", "non-empty"]),
    ("paper: [0, 1, 2]", "paper: 3", ["seeds.paper", "3", "a list"]),
    ("batch_size: {value: 40", "batch_size: {value: many", ["defaults.batch_size", "'many'", "a whole number"]),
    ("phase_epochs: {value: [250, 75]", "phase_epochs: {value: 325", ["defaults.phase_epochs", "325", "a list"]),
    ("negative_slope: {value: 0", "negative_slope: {value: 2", ["defaults.negative_slope", "2", "maximum of 1"]),
    ("conv_bias: {value: false", "conv_bias: {value: 3", ["networks.basicnet.conv_bias", "3", "true or false"]),
    ("pool_after: {value: [1, 3, 5]", "pool_after: {value: [9]", ["networks.basicnet", "[9]", "1 to 7"]),
    ("kernels: {value: [5,", "kernels: {value: [4,", ["networks.basicnet", "[4, 3,", "odd"]),
    ("algorithm: SGD", "algorithm: Lion", ["optimizers.sgd.algorithm", "'Lion'", "SGD, Adam"]),
    ("rate: 0.1", "rate: 0", ["optimizers.sgd.rate", "0", "minimum of 0"]),
    ("rate: 0.1", "rate: .nan", ["optimizers.sgd.rate", "nan", "a finite number"]),
    ("metrics: [train_loss", "metrics: [loss", ["tables.table1.metrics[0]", "'loss'", "train_loss, test_loss"]),
    ("kind: affine", "kind: afine", ["figures.figure", "'afine'", "affine, universality, gallery, simulation"]),
    ("\nfigures:\n", "\nfigures:\n  figure0:\n", ["figures.figure0", "None", "affine, universality"]),
    ("pool: {value: average,", "pool: {value: least,", ["pool", "maximum, average"]),
    ("plain: objectnet3d_plain", "plain: nowhere", ["figures.figure4.plain", "'nowhere'", "cifar10, cifar100"]),
    ("azimuth: &azimuth {value: [-180, 180]", "azimuth: &azimuth {value: [-180]", ["azimuth", "[-180] is too short"]),
    ("side: {value: 64,", "side: {value: 63,", ["renders.objectnet3d", "of side 63", "objectnet3d_plain"]),
    (ROW, "{label: a, dataset: shapes_plain, pool_after: [1, 2, 3, 4, 5]}", [PLACE, "5 poolings", "side 24"]),
    ("layers: [C6, C5]", "layers: [C8]", ["figures.figure1.layers", "'C8'", "C1, C2"]),
    ("    layers: [C6, C5]\n", "", ["figures.figure1: 'layers' is a required property"]),
    ("kind: universality\n", "kind: universality\n    layers: [C1]\n", ["figures.figure2: unknown key 'layers'"]),
    ("hyperparameters: {momentum: 0.9}", "hyperparameters: {eps: 1}", ["optimizers.sgd", "SGD has no 'eps'"]),
    (ROW, "{label: a, l2: 1, hyperparameters: {momentum: 0}}", [f"{PLACE}.hyperparameters", "Adam has no 'momentum'"]),
    ("  tiny_imagenet:\n    seeds", "  tinyimagenet:\n    seeds", ["datasets: 'tinyimagenet'", "tiny_imagenet"]),
    ("  tiny_imagenet:\n    seeds", "  cifar10_16:\n    seeds", ["datasets.cifar10_16: no row names it"]),
    ("seeds: {paper: [0, 1]}", "seeds: {papr: [0, 1]}", ["datasets.tiny_imagenet.seeds: 'papr'", "quick, paper"]),
    ("  quick: [0, 1]\n", "  quick: [0, 1]\n  cifar10: [0]\n", ["seeds.cifar10", "is a dataset, not a scale"]),
    ("      vgg16: {value: [512], source: assumed}\n", "      vgg19: {value: [512], source: assumed}\n",
     ["datasets.tiny_imagenet.hidden: 'vgg19'", "basicnet, vgg16, vgg11"]),
    ("  shapes:\n    classes:", "  shapse:\n    classes:", ["renders.shapse: no dataset", "is composed of it"]),
    ("  - &cifar10_adam_1e-3 {dataset: cifar10, optimizer: adam, l2: 1e-3}\n",
     "  - {dataset: cifar10, optimizer: adm}\n  - &cifar10_adam_1e-3 {dataset: cifar10, optimizer: adam, l2: 1e-3}\n",
     ["specs[0].optimizer: 'adm'", "sgd, adam"]),
    ("  table1:\n", "  report:\n", ["tables.report", "`snakemake report` makes something else"]),
    ("  table1:\n", "  figure1:\n", ["tables.figure1: a figure has this name, too"]),
    ("  figure1:", "  tables:", ["figures.tables", "`snakemake tables` makes something else"]),
    ("  adagrad:", "  adam+:", ["optimizers: 'adam+' is no name", "small letters, digits, _ and -"]),
    ("  adagrad:", "  a|b:", ["optimizers: 'a|b' is no name"]),
    ("  adagrad:", "  sgd/nesterov:", ["optimizers: 'sgd/nesterov' is no name"]),
    ("  adagrad:", f"  {'a' * 41}:", ["optimizers: 'aaaa", "is no name", "at most 40"]),
    ("  vgg11:\n", "  VGG 11:\n", ["networks: 'VGG 11' is no name"]),
    ("  table1:\n", "  Table-1:\n", ["tables: 'Table-1' is no name"]),
    ("  quick: [0, 1]\n", "  quick: [0, 1]\n  Quick: [0]\n", ["seeds: 'Quick' is no name"]),
    ("- {label: CIFAR100,", "- {label: CIFAR10,", ["column_groups", "the label 'CIFAR10' is given twice"]),
    ("{label: AdaMax, optimizer: adamax", "{label: Adam, optimizer: adamax",
     ["figures.figure3.panels", "the panel 'Adam, l2' is given twice"]),
    (ROW, '{label: "Adam → SGD", l2: 1e-3}', [f"{PLACE}.label", "cannot typeset '→' (U+2192)", "Latin letters"]),
    (ROW, "{label: שלום, l2: 1e-3}", [f"{PLACE}.label", "cannot typeset 'ש'"]),
    (ROW, "{label: 学习率, l2: 1e-3}", [f"{PLACE}.label", "cannot typeset '学'"]),
    (ROW, '{label: "[a]", l2: 1e-3}', [f"{PLACE}.label", "begins with ["]),
    ('label: "Adam, low L2"', 'label: "_low"', ["figures.figure1.curves[0].label", "begins with _"]),
    ("note: as in torchvision}", 'note: "a\\n\\nb"}', ["networks.vgg16", "the empty line in"]),
    ("source: derived", "source: guessed", ["networks.basicnet.kernels", "'guessed'", "supplement, derived"]),
    ("seeds:", "seeds: [", ["is not YAML"]),
]  # fmt: skip
BY_HAND = ["objectnet3d_plain", "objectnet3d_cluttered"]
NO_SETTINGS = [
    ({"scale": "huge"}, ["seeds", "'huge'", "quick, paper"]),
    ({"scale": "Paper!"}, ["configuration: scale: 'Paper!' is no name", "small letters, digits and _"]),
    ({"colour": "red"}, ["configuration: unknown key 'colour'", "data_root", "width"]),
    ({"width": 0}, ["configuration: width", "0", "minimum of 0"]),
    ({"width": "wide"}, ["configuration: width", "'wide'", "a finite number"]),
    ({"steps": 1}, ["configuration: steps", "1", "minimum of 2"]),
    ({"steps": 2}, [PLACE, "[2, 0]", "1 step or more"]),
    ({"steps": 2.5}, ["configuration: steps", "2.5", "a whole number or null"]),
    ({"strength_multiplier": float("nan")}, ["configuration: strength_multiplier", "nan", "a finite number"]),
    ({"strength_multiplier": {"a\x85b": None}}, ["strength_multiplier.'a\\x85b': None is not a finite number"]),
    ({"device": "gpu"}, ["configuration: device", "'gpu'", "cpu, cuda, auto"]),
    ({"substitutes": {"cifar10": "mnist"}}, ["configuration's substitutes", "'mnist'", "digits, digit_pairs"]),
    ({"substitutes": {"imagenet": "mnist"}}, ["configuration's substitutes", "'mnist'", "digits, digit_pairs"]),
    ({"substitutes": {"cifra10": "digits"}}, ["configuration's substitutes", "'cifra10'", "cifar10, cifar100"]),
    ({"mirrors": {"cifra10": "https://a.b"}}, ["configuration's mirrors", "'cifra10'", "cifar10, cifar100"]),
    (
        {"mirrors": {"imagenet": "https://a.b"}},
        ["mirrors", "access of imagenet is `manual`", "cifar10"],
    ),
    (
        {"manual_datasets": ["cifar10"]},
        ["manual_datasets", "access of cifar10 is `downloaded`", "imagenet"],
    ),
    ({"image_side": 17}, ["configuration's image_side", "no dataset of 17 pixels", "16"]),
    ({"manual_datasets": ["tiny"]}, ["configuration's manual_datasets", "'tiny'", "tiny_imagenet"]),
    ({"data_root": "/nowhere/data"}, ["configuration's data_root", "/nowhere/data is not there", "make the folder"]),
    ({"data_root": "~nobody_of_this_name/data"}, ["configuration's data_root", "no home ~nobody_of_this_name"]),
    ({"data_root": "$NO_SUCH_FOLDER/data"}, ["configuration's data_root", "$NO_SUCH_FOLDER is not set"]),
    ({"datasets": "$NO_SUCH_FOLDER/a.yaml"}, ["configuration's datasets", "$NO_SUCH_FOLDER is not set"]),
    ({"verdict": "$NO_SUCH_FOLDER/a.yaml"}, ["configuration's verdict", "$NO_SUCH_FOLDER is not set"]),
    ({"data_root": __file__}, ["configuration's data_root", "test_build.py is not a folder"]),
    ({"experiments": "nowhere.yaml"}, ["configuration: experiments: 'nowhere.yaml' is not a mapping"]),
    ({"experiments": {"recipe": "nowhere.yaml", "tables": "t.yaml"}}, ["cannot read nowhere.yaml", "No such file"]),
    ({"datasets": "nowhere.yaml"}, ["cannot read nowhere.yaml", "No such file"]),
]


def refused(settings):
    with pytest.raises(UserError) as error:
        build_plan(settings)
    said = str(error.value)
    assert "\n" not in said
    assert len(said) < 500
    return said


@pytest.mark.parametrize(("right", "wrong", "parts"), NO_EXPERIMENTS, ids=[wrong for _, wrong, _ in NO_EXPERIMENTS])
def test_mistakes_in_the_experiments_are_told_in_one_line(paper_settings, tmp_path, right, wrong, parts):
    settings = changed(paper_settings, tmp_path, {right: wrong}, 1)
    said = refused(settings | {"manual_datasets": BY_HAND})
    (path,) = tmp_path.iterdir()
    assert said.startswith(str(path))
    for part in parts:
        assert part in said


@pytest.mark.parametrize(("changes", "parts"), NO_SETTINGS, ids=[next(iter(c)) for c, _ in NO_SETTINGS])
def test_mistakes_in_the_configuration_are_told_in_one_line(paper_settings, changes, parts):
    said = refused(paper_settings | changes)
    for part in parts:
        assert part in said


def test_a_scale_that_shares_a_folder_is_refused(paper_settings, tmp_path):
    settings = changed(paper_settings, tmp_path, {"  quick: [0, 1]\n": "  data: [0, 1]\n"}, 1)
    said = refused(settings | {"scale": "data"})
    assert said == "the configuration's scale: results/data holds the data of all scales: take another name"


def test_no_table_or_figure_has_the_name_of_a_rule(root):
    files = [root / "Snakefile", *(root / "workflow/rules").glob("*.smk")]
    rules = {name for file in files for name in re.findall(r"^\s*rule (\w+):", file.read_text(), re.MULTILINE)}
    assert len(rules) > 20
    assert rules <= {*TARGETS}


@pytest.mark.parametrize(("old", "longest"), [("  adagrad:", "a" * 39 + "-"), ("  table1:", "t" * 40)])
def test_a_name_may_have_40_letters_and_no_more(paper_settings, tmp_path, old, longest):
    files = changed(paper_settings, tmp_path, {old: f"  {longest}:"}, 1)["experiments"]
    assert longest in {name for part in ("optimizers", "tables") for name in read_experiments(files)[part]}
    files = changed(paper_settings, tmp_path, {old: f"  {longest}a:"}, 1)["experiments"]
    with pytest.raises(UserError, match=r"is no name: .* at most 40\Z"):
        read_experiments(files)


def test_torch_takes_the_hyperparameters_of_each_class():
    import torch

    known = {*read_schema("spec")["$defs"]["hyperparameters"]["properties"]}
    for algorithm, names in HYPERPARAMETERS.items():
        arguments = {*signature(unwrap(getattr(torch.optim, algorithm).__init__)).parameters}
        pairs = {"eps"} if algorithm == "Adafactor" else set()  # which no configuration gives
        assert {*names} == known & arguments - pairs
    assert {*HYPERPARAMETERS} == {*read_schema("recipe")["properties"]["optimizers"]["additionalProperties"]
                                  ["properties"]["algorithm"]["enum"]}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-1", 0.1), ("4e1", 40), ("40.0", 40), ('"40"', 40), ("-2.5E-4", -2.5e-4), ("40", 40), ("0.5", 0.5)],
)
def test_a_number_has_many_forms_and_one_value(tmp_path, text, value):
    """In a file of ours, in one that Snakemake read as YAML 1.1, and in one of JSON."""
    path = tmp_path / "a.yaml"
    path.write_text(f"width: {text}\n")
    files = [read_yaml(path), yaml.safe_load(path.read_text()), {"width": text.strip('"')}]
    schema = {"properties": {"width": {"type": ["integer" if isinstance(value, int) else "number", "null"]}}}
    for file in files:
        found = convert_numbers(file, schema, schema)["width"]
        assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("text", ["much", "1e", "0x10", "1_000", "true", "null", "", "[1]", "1e3 ", ".nan"])
def test_what_is_no_number_stays_as_it_is(text):
    data = {"width": text}
    assert convert_numbers(data, {"properties": {"width": {"type": "integer"}}}, {}) == data


@pytest.mark.parametrize(
    "changes",
    [
        {"batch_size: {value: 40": "batch_size: {value: 4e1"},
        {"paper: [0, 1, 2]": "paper: [0.0, 1e0, 2]"},
        {"kernels: {value: [5, 3,": "kernels: {value: [5.0, 3e0,"},
        {"filters: {value: [64,": "filters: {value: [64.0,"},
        {"hidden: {value: [256]": "hidden: {value: [2.56e2]"},
        {"phase_epochs: {value: [250, 75]": "phase_epochs: {value: [2.5e2, 75.0]"},
        {"iterations: 100,": "iterations: 1e2,"},
        {"repeats: {value: 20,": "repeats: {value: 20.0,"},
    ],
    ids=str,
)
def test_a_whole_number_is_the_same_in_any_form(paper_settings, paper_plan, tmp_path, changes):
    other = build_plan(changed(paper_settings, tmp_path, changes, 1))
    other.settings["experiments"] = paper_plan.settings["experiments"]
    assert other.to_json() == paper_plan.to_json()


def test_a_scale_s_numbers_may_be_text_as_snakemake_reads_them(paper_settings):
    written = {"width": "1e-1", "steps": "4e3", "lr_multiplier": {"adam": "2.5e-1"}, "history_points": 50.0}
    meant = {"width": 0.1, "steps": 4000, "lr_multiplier": {"adam": 0.25}, "history_points": 50}
    assert build_plan(paper_settings | written).to_json() == build_plan(paper_settings | meant).to_json()


def test_paths_of_the_configuration_are_expanded(paper_settings, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PROJECT", str(Path(paper_settings["datasets"]).parents[1]))
    (tmp_path / "data").mkdir()
    files = {part: f"$PROJECT/config/{part}.yaml" for part in ("recipe", "tables", "figures", "claims")}
    own = {"datasets": "${PROJECT}/config/datasets.yaml", "verdict": "~/a.yaml", "data_root": "~/data"}
    settings = build_plan(paper_settings | {"experiments": files, **own}).settings
    assert settings["experiments"] == paper_settings["experiments"]
    assert settings["datasets"] == paper_settings["datasets"]
    assert (settings["data_root"], settings["verdict"]) == (f"{tmp_path}/data", f"{tmp_path}/a.yaml")
    (tmp_path / "a.yaml").write_text("widht: 1\n")
    with pytest.raises(UserError, match="unknown key 'widht'"):  # the file in the home is read
        build_plans(paper_settings | own | {"data_root": None, "datasets": paper_settings["datasets"]})


@pytest.mark.parametrize(
    ("schema", "old", "new", "place", "data"),
    [
        ("config", "by_hand", "manual_datasets", "", {"by_hand": []}),
        ("config", "campaign", "train_first", "", {"campaign": [], "width": 1}),
        ("tables", "blocks", "column_groups", "tables.t: ", {"tables": {"t": {"blocks": []}}}),
        ("claims", "of", "spec", "claims[0].tests[0]: ", {"claims": [{"tests": [{"of": {}}]}]}),
        ("claims", "why", "rationale", "claims[0]: ", {"claims": [{"why": "", "tests": []}]}),
    ],
)
def test_an_old_key_is_told_its_new_name(schema, old, new, place, data):
    with pytest.raises(UserError) as error:
        validate(data, schema, "configuration")
    assert str(error.value) == f"configuration: {place}`{old}` is now `{new}`"


def test_headline_claims_are_few(paper_settings, tmp_path):
    claims = read_yaml(Path(paper_settings["experiments"]["claims"]))
    for number, claim in enumerate(claims["claims"]):
        claim["headline"] = number < 9
    path = tmp_path / "claims.yaml"
    path.write_text(json.dumps(claims))
    files = paper_settings["experiments"] | {"claims": str(path)}
    assert refused(paper_settings | {"experiments": files}).endswith("9 claims are `headline`: at most 8 may be")


def test_training_first_what_there_is_not_is_refused(paper_settings):
    with pytest.raises(UserError, match="no table or figure is called 'tabel1': there are table1"):
        build_plans(paper_settings | {"train_first": ["claims", "tabel1"]})


def test_a_table_of_numbers_that_are_not_there_is_refused(paper_settings, tmp_path):
    settings = changed(paper_settings, tmp_path, {"reference: table1.csv": "reference: table9.csv"}, 1)
    with pytest.raises(UserError, match=r"tables.yaml: tables.table1.reference: there is no \S+/table9.csv"):
        build_plans(settings)


def test_a_missing_setting_is_named(paper_settings):
    said = refused({k: v for k, v in paper_settings.items() if k != "width"})
    assert said == "configuration: 'width' is a required property"


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("classes: 10\n", "classes: ten\n", "digits.classes: 'ten' is not a whole number"),
        ("access: ships", "obtain: ships", "digits: `obtain` is now `access`"),
        ("access: ships", "access: by hand", "digits.access: 'by hand' is not one of ships, downloaded, manual"),
        ("  train: 1442\n", "", "digits: 'train' is a required property"),
        ("digits:\n", "digits:\n  size: 3\n", "digits: unknown key 'size'"),
    ],
)
def test_a_mistake_in_the_datasets_is_told_in_one_line(paper_settings, tmp_path, right, wrong, said):
    path = tmp_path / "datasets.yaml"
    path.write_text(Path(paper_settings["datasets"]).read_text().replace(right, wrong, 1))
    assert refused(paper_settings | {"datasets": str(path)}).startswith(f"{path}: {said}")


@pytest.mark.parametrize("text", ["digits: {classes: 10}", "digits: [1]", "- digits", "digits: {", ""])
def test_what_is_no_file_of_datasets_is_refused_in_one_line(tmp_path, text):
    path = tmp_path / "datasets.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        read_datasets(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("damage", ["absent", "cut", "edited", "foreign"])
def test_a_plan_that_is_none_is_refused_in_one_line(paper_plan, tmp_path, damage):
    path = tmp_path / "plan.json"
    text = paper_plan.to_json()
    if damage == "cut":
        path.write_text(text[: len(text) // 2])
    elif damage == "edited":
        path.write_text(text.replace('"batch_size": 40', '"batch_size": 41', 1))
        assert path.read_text() != text
    elif damage == "foreign":
        path.write_text(json.dumps({"specs": {}, "other": 1}))
    with pytest.raises(UserError) as error:
        Plan.from_json(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["table", "figure"])
def test_an_unknown_table_or_figure_is_told_with_those_that_are(paper_plan, kind):
    known = ", ".join(getattr(paper_plan, f"{kind}s"))
    with pytest.raises(UserError) as error:
        getattr(paper_plan, kind)("table9")
    assert str(error.value) == f"no {kind} is called 'table9': there are {known}"
    with pytest.raises(UserError, match="'table9'"):
        paper_plan.selected("table9")


def at_hand(paper_settings, *names):
    return build_plan(paper_settings | {"manual_datasets": list(names)})


def test_a_table_without_its_data_says_so_and_trains_nothing(paper_plan, paper_settings):
    for name in ("tiny_imagenet", "imagenet"):
        (need,) = paper_plan.tables[name]["missing_inputs"]
        assert need.startswith(f"{name} (")
        assert paper_plan.selected(name) == []
        assert len(at_hand(paper_settings, name).specs) > len(paper_plan.specs)
    assert all(not table["missing_inputs"] for name, table in paper_plan.tables.items() if name in TABLES)


def test_a_mistake_in_a_table_that_is_not_run_is_reported(paper_settings, tmp_path):
    settings = changed(paper_settings, tmp_path, {"settings: {network: vgg11, ": "settings: {network: vgg12, "})
    with pytest.raises(UserError, match="'vgg12' is not one of the networks"):
        build_plan(settings)


def test_folders_of_other_data_are_not_taken_for_a_dataset(paper_settings, tmp_path):
    """A shared folder with an empty imagenet/, Pascal VOC, and downloads that somebody began."""
    for name in ("imagenet", "tiny-imagenet-200", "CAD/off", "objectnet3d", "JPEGImages", "PeopleArt", "cifar10"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "JPEGImages/000001.jpg").touch()
    (tmp_path / "ILSVRC2012_devkit_t12.tar.gz").touch()
    (tmp_path / "tiny-imagenet-200/wnids.txt").touch()
    plan = build_plan(paper_settings | {"data_root": str(tmp_path)})
    assert plan.settings["manual_datasets"] == []
    assert plan.tables["imagenet"]["missing_inputs"]


def test_data_got_by_hand_are_found_in_data_root(paper_settings, tmp_path):
    settings = paper_settings | {"data_root": str(tmp_path)}
    assert build_plan(settings).settings["manual_datasets"] == []
    (tmp_path / "tiny-imagenet-200.zip").touch()
    plan = build_plan(settings)
    assert plan.settings["manual_datasets"] == ["tiny_imagenet"]
    assert build_plan(plan.settings) == plan  # what the rule `plan` is given


def test_tiny_imagenet_is_as_published(paper_settings):
    plan = at_hand(paper_settings, "tiny_imagenet")
    specs = [plan.specs[i] for i in plan.selected("tiny_imagenet")]
    assert [(s.network.name, s.batch_size) for s in specs] == [
        (n, b) for n in ("basicnet", "vgg16") for b in (20, 40, 80, 160)
    ]
    # 250, 75 and 75 epochs of 100,000 / 40 batches, whatever the mini-batch
    assert {s.phase_steps for s in specs} == {(625_000, 187_500, 187_500)}
    assert {(s.optimizer, s.rate, s.rate_decay) for s in specs} == {("adam", 1e-3, 0.1)}
    assert {tuple(plan.seeds_of(s.id)) for s in specs} == {(0, 1)}
    assert all(plan.seeds_of(i) == [0, 1, 2] for i in plan.selected("table1"))


def test_imagenet_is_as_published(paper_settings):
    plan = at_hand(paper_settings, "imagenet")
    specs = [plan.specs[i] for i in plan.selected("imagenet")]
    n = 1_281_167
    assert [(s.network.name, s.batch_size, s.phase_steps) for s in specs] == [
        *(("basicnet", b, (15 * (n // 64), 15 * (n // 64), 10 * (n // 64))) for b in (32, 64, 128)),
        ("vgg11", 60, (30 * (n // 60), 20 * (n // 60), 10 * (n // 60))),
        ("vgg16", 40, (20 * (n // 40), 20 * (n // 40), 10 * (n // 40))),
    ]
    assert {(s.algorithm, s.rate) for s in specs} == {("Adam", 1e-4)}
    assert {tuple(plan.seeds_of(s.id)) for s in specs} == {(0,)}


def test_own_seeds_are_refused_where_one_job_has_all_seeds(paper_settings):
    with pytest.raises(UserError, match=r"datasets.tiny_imagenet.seeds: not at a scale with pack_seeds\Z"):
        at_hand(paper_settings | {"pack_seeds": True}, "tiny_imagenet")


def test_the_published_specs_keep_their_ids(paper_plan, published, root):
    """Results lie in folders of these names: the digest of all ids, in order."""
    import hashlib

    settings = anchor_paths(read_yaml(root / "config/config.yaml"), root)
    plans = (paper_plan, build_plan(settings))
    ids = [" ".join(printed_specs(plan, published) + plan.selected("figure1")[2:]) for plan in plans]
    digests = [hashlib.sha256(text.encode()).hexdigest()[:12] for text in ids]
    assert digests == ["bcb2e7d02ba8", "a3da77f6145f"]


@pytest.fixture(scope="module")
def objectnet3d_plan(paper_settings):
    return at_hand(paper_settings, "objectnet3d_plain", "objectnet3d_cluttered")


def test_figure_4_says_what_it_needs(paper_plan, objectnet3d_plan):
    assert [need.split(" (")[0] for need in paper_plan.figures["figure4"]["missing_inputs"]] == [
        "objectnet3d_plain",
        "objectnet3d_cluttered",
    ]
    assert "figure4" not in paper_plan.available_figures
    assert "figure4" in objectnet3d_plan.available_figures


def test_objectnet3d_is_rendered_as_the_supplement_says(objectnet3d_plan):
    paper_plan = objectnet3d_plan
    assert list(paper_plan.renders) == ["objectnet3d"]
    settings = paper_plan.renders["objectnet3d"]
    assert (settings["side"], settings["azimuth"], settings["elevation"]) == (64, [-180, 180], [-15, 45])
    named = (
        "aeroplane, bed, bench, bicycle, boat, bookshelf, bus, camera, chair, clock, eyeglasses, fan, flashlight, "
        "guitar, headphone, jar, kettle, keyboard, laptop, piano, racket, shoe, sofa, suitcase, teapot, toaster, "
        "train, trophy, tub, and wheelchair"
    )
    assert settings["classes"] == named.replace("and ", "").split(", ")
    assert len(settings["classes"]) == 30


def test_task_difficulty_sides_differ_in_their_dataset_only(objectnet3d_plan):
    paper_plan = objectnet3d_plan
    for row in rows_of(paper_plan.tables["task_difficulty"]):
        plain, cluttered = (paper_plan.specs[row["specs"][columns]] for columns in ("plain", "cluttered"))
        assert replace(plain, dataset="objectnet3d_cluttered") == cluttered
        assert (plain.batch_size, plain.phase_steps) == (40, (250 * 750, 75 * 750))


@pytest.fixture
def scale_settings(root):
    """The merged configuration of a scale, by name."""

    def read(name):
        settings = merge(read_yaml(root / "config/config.yaml"), read_yaml(root / f"config/scales/{name}.yaml"))
        return anchor_paths(settings, root)

    return read


def test_the_scale_of_optimizers_in_use_today(scale_settings):
    """Their settings are those of `reduced`; Adam's rows are its specs. Decoupled decay: rate times strength a step."""
    plan, reduced = (build_plan(scale_settings(name)) for name in ("modern", "reduced"))
    assert {i for i, spec in plan.specs.items() if spec.optimizer == "adam"} == {*plan.specs} & {*reduced.specs}
    alike = [reduced.specs[reduced.selected("table1")[0]], *plan.specs.values()]
    assert len({(s.dataset, s.network, s.phase_steps, s.batch_size, s.rate_decay) for s in alike}) == 1
    found = {(s.algorithm, s.regularizer, s.strength, s.rate) for s in plan.specs.values()}
    l2 = {(name, "l2", strength, 1e-3) for name in ("Adam", "NAdam", "RAdam") for strength in (1e-3, 1e-4)}
    own = {(name, "decoupled", strength, 1e-3) for name in ("AdamW", "NAdam", "RAdam") for strength in (1, 0.1)}
    assert found == l2 | own | {("Adafactor", "decoupled", strength, 1e-2) for strength in (0.1, 0.01)}
    assert {spec.rate * spec.strength for spec in plan.specs.values() if spec.regularizer == "decoupled"} == {
        1e-3,
        1e-4,
    }
    named = {fact["name"] for fact in plan.facts if fact["part"] == "optimizers"}
    assert named == {"adam", "adamw", "nadam", "radam", "adafactor"}


def test_table_1_at_the_published_width(scale_settings, paper_plan):
    plan = build_plan(scale_settings("full"))
    assert plan.seeds == [0]
    specs = [plan.specs[i] for i in plan.selected("table1")]
    printed = [paper_plan.specs[i] for i in paper_plan.selected("table1")]
    assert [(s.network, s.rate, s.regularizer, s.strength) for s in specs] == [
        (s.network, s.rate, s.regularizer, s.strength) for s in printed
    ]
    assert {(s.dataset, s.steps) for s in specs} == {("cifar10_16", 20_000)}
    assert not plan.is_paper_scale


def test_vgg_16_against_a_public_log_and_as_published(scale_settings):
    external, published = (build_plan(scale_settings(name)) for name in ("external", "vgg"))
    assert {(s.optimizer, s.regularizer, s.strength) for s in external.specs.values()} == {
        ("adam", "l2", 5e-4),
        ("sgd", "l2", 5e-4),
    }
    assert {spec.dataset for spec in external.specs.values()} == {"cifar10"}
    for spec in (*external.specs.values(), *published.specs.values()):
        assert sum(spec.network.filters) == 4224  # of the log
    assert {spec.phase_steps for spec in published.specs.values()} == {(312_500, 93_750)}  # 250 and 75 epochs
    assert {spec.dataset for spec in published.specs.values()} == {"cifar10", "cifar100"}
