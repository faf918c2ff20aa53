"""The verbs for people's own networks. Like `verbs`, this module imports what it needs inside functions."""

from __future__ import annotations

from argparse import Namespace

from ..files import write_text
from .arguments import integer, number, path, text, verb

MODEL = (
    text("model", metavar="MODULE:FACTORY", help="a function without arguments that gives the network"),
    path("--weights", default=None, help="safetensors, or a state dict of torch"),
)


@verb(
    *MODEL,
    path("--images", help="folder of images; the training set for the paper's measures"),
    integer("--size", default=224, help="side in pixels that images are resized to"),
    integer("--batch", default=32),
    number("--mean", nargs=3, default=[0.485, 0.456, 0.406], help="of the channels"),
    number("--std", nargs=3, default=[0.229, 0.224, 0.225], help="of the channels"),
    path("--out", default=None, help="the table as CSV, too"),
)
def inspect(args: Namespace) -> None:
    """Measure the sparsity of any network, layer by layer."""
    from ..networks import measure
    from ..networks.store import Images, load_model

    images = Images(args.images, args.size, args.batch, args.mean, args.std)
    table = measure(load_model(args.model, args.weights), images)
    if args.out:
        write_text(args.out, table.to_csv(float_format="%.10g", lineterminator="\n"))
    print(table.to_markdown())


@verb(
    *MODEL,
    integer("--shape", nargs="+", default=[1, 3, 224, 224], help="of the input"),
    number("--threshold", default=1e-3, help="of |gamma|"),
    text(
        "--border", choices=["keep", "fold"], default="keep", help="features whose constant a padded convolution gets"
    ),
    path("--out", default=None, help="the small network, as torch.export's .pt2"),
    path("--onnx", default=None, help="the small network as ONNX"),
)
def shrink(args: Namespace) -> None:
    """Remove the dead filters of any network, and say what it saves."""
    from ..networks import shrink
    from ..networks.store import example_input, load_model, save_exported, save_onnx

    example = example_input(args.shape)
    model = load_model(args.model, args.weights)
    small, report = shrink(model, example, threshold=args.threshold, border=args.border)
    print(report)
    if args.out:
        save_exported(small, example, args.out)
    if args.onnx:
        save_onnx(small, example, args.onnx)
