"""The verbs for people's own networks. Like `verbs`, this module imports what it needs inside functions."""

from __future__ import annotations

from argparse import Namespace

from ..errors import UserError
from ..files import write_text
from .arguments import integer, number, path, text, verb

MODEL = (
    text("model", metavar="MODULE:FACTORY", help="a function without arguments that gives the network"),
    path("--weights", default=None, help="safetensors, or a state dict of torch"),
)
PICTURES = (
    integer("--size", default=224, help="side in pixels that images are resized to"),
    integer("--batch", default=32, help="images at once"),
    number("--mean", nargs=3, default=[0.485, 0.456, 0.406], help="of the channels"),
    number("--std", nargs=3, default=[0.229, 0.224, 0.225], help="of the channels"),
)


@verb(
    *MODEL,
    path("--images", help="folder of images; the training set for the paper's measures"),
    *PICTURES,
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
    path("--images", default=None, help="folder of images: the first batch is the example, instead of noise"),
    *PICTURES,
    integer("--shape", nargs="+", default=None, help="of the input without --images; default: 1 3 224 224"),
    text("--criterion", choices=["gamma", "activation"], default="gamma", help="activation needs --images"),
    number("--threshold", default=1e-3, help="of |gamma|"),
    text(
        "--border", choices=["keep", "fold"], default="keep", help="features whose constant a padded convolution gets"
    ),
    integer("--multiple", default=1, help="of filters that stay in a layer: 8 for ONNX Runtime"),
    path("--out", default=None, help="the small network, as torch.export's .pt2"),
    path("--onnx", default=None, help="the small network as ONNX"),
)
def shrink(args: Namespace) -> None:
    """Remove the dead filters of any network, and say what it saves."""
    from ..networks import measure, shrink
    from ..networks.store import Images, example_input, load_model, save_exported, save_onnx

    if args.images and args.shape:
        raise UserError("--images and --shape both say what the input is: leave one out")
    if args.criterion == "activation" and not args.images:
        raise UserError("--criterion activation looks at responses to images: give --images, the training set")
    images = Images(args.images, args.size, args.batch, args.mean, args.std) if args.images else None
    example = next(iter(images)) if images else example_input(args.shape or [1, 3, 224, 224])
    model = load_model(args.model, args.weights)
    criterion = measure(model, images).dead("activation") if images and args.criterion == "activation" else "gamma"
    small, report = shrink(model, example, criterion, args.threshold, args.border, args.multiple)
    print(report)
    if args.out:
        save_exported(small, example, args.out)
    if args.onnx:
        save_onnx(small, example, args.onnx)
