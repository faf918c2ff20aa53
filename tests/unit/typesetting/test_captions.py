"""What the HTML page says of files."""

from filter_sparsity.planning.build import build_plan
from filter_sparsity.typesetting import captions


def test_published_data_say_only_the_scale(paper_plan):
    assert captions.describe_data(paper_plan, ["cifar10", "cifar100", "cifar10"]) == "Scale paper: CIFAR-10, CIFAR-100."
    assert captions.describe_data(paper_plan, []) == "Scale paper."


def test_other_data_and_sizes_are_said_not_to_be_comparable(paper_settings):
    plan = build_plan(paper_settings | {"substitutes": {"cifar10": "digits"}, "width": 0.5, "steps": 100})
    assert captions.describe_data(plan, ["digits"]) == (
        "Scale paper: digits for CIFAR-10. Width 0.5, 100 iterations: not comparable with the paper's numbers."
    )
    plan = build_plan(paper_settings | {"width": 0.5})
    assert "Width 0.5, the published number of iterations" in captions.describe_data(plan, ["cifar10"])


def test_captions_are_restructured_text_without_latex(paper_plan):
    for name in (*paper_plan.tables, *paper_plan.available_figures):
        said = captions.caption(paper_plan, name)
        assert "^{" not in said
        assert "|" not in said.replace(r"\|", "")
    plan = build_plan(paper_plan.settings)
    plan.tables["table3"]["caption"] = "10^{-12} of |gamma|"
    assert captions.caption(plan, "table3") == r"10⁻¹² of \|gamma\| Scale paper: CIFAR-100."


def test_the_page_has_a_text_for_every_part(paper_plan, root):
    found = captions.page_captions(paper_plan, [paper_plan])
    assert {*found} == {"scale", "paper", *paper_plan.tables, *paper_plan.available_figures}
    assert found["scale"] == found["paper"]


def test_every_category_has_a_template(root):
    for category in ("Tables", "Figures", "Records", "Report", "Verdict"):
        assert (root / captions.template(category)).exists()
