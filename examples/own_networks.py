"""Train a small ResNet with three optimizers, measure and shrink it, and write docs/own_networks.md.

    python examples/own_networks.py [--out docs/own_networks.md] [--epochs 30]

The images are the 1,797 scanned digits of scikit-learn (8x8). Needs, in a clone: pip install . scikit-learn.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch_pruning
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

import filter_sparsity

TRAINING = 1_397  # the other 400 images are for testing
BATCH = 40
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "Adam, L2 1e-2": lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=1e-2),
    "AdamW, weight decay 1e-2": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=1e-2),
    "SGD, L2 1e-3": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=1e-3),
}


class Block(nn.Module):
    def __init__(self, inputs: int, filters: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, filters, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(filters)
        self.shortcut = nn.Sequential(nn.Conv2d(inputs, filters, 1, stride, bias=False), nn.BatchNorm2d(filters))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + self.shortcut(x))


def resnet() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(Block(1, 32, 2), Block(32, 64, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def digits() -> tuple[Tensor, Tensor]:
    data = load_digits()
    order = torch.randperm(len(data.target), generator=torch.Generator().manual_seed(0))
    images = torch.tensor(data.images, dtype=torch.float32)[:, None] / 16
    return ((images - images.mean()) / images.std())[order], torch.tensor(data.target)[order]


def train(model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor, epochs: int) -> None:
    monitor = filter_sparsity.Monitor(model)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [epochs * 3 // 4])
    for epoch in range(epochs):
        model.train()
        for chosen in torch.randperm(len(x)).split(BATCH):
            optimizer.zero_grad()
            F.cross_entropy(model(x[chosen]), y[chosen]).backward()
            optimizer.step()
        schedule.step()
        sparsity = monitor.step()
        if epoch % 10 == 9:
            print(f"  epoch {epoch + 1}: {100 * sparsity:.0f} % of the filters are dead", flush=True)
    model.eval()


@torch.no_grad()
def error(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Share of the images that are classified wrongly."""
    return (model(x).argmax(1) != y).float().mean().item()


def slimmed(model: nn.Module, x: Tensor, ratio: float) -> nn.Module:
    """Network slimming: the features with the smallest |gamma| of the whole network set to zero, and removed."""
    small = copy.deepcopy(model)
    norms = [m for m in small.modules() if isinstance(m, nn.BatchNorm2d)]
    gammas = torch.cat([norm.weight.detach().abs() for norm in norms])
    threshold = gammas.sort().values[int(ratio * len(gammas))]
    with torch.no_grad():
        for norm in norms:
            gone = norm.weight.abs() < threshold
            norm.weight[gone] = norm.bias[gone] = 0.0
    return filter_sparsity.shrink(small, x, latency_seconds=0)[0]


def bn_scale(model: nn.Module, x: Tensor, ratio: float) -> nn.Module:
    """Torch-Pruning's BNScalePruner at a ratio of channels, over the whole network."""
    small = copy.deepcopy(model)
    importance = torch_pruning.importance.BNScaleImportance()
    pruner = torch_pruning.pruner.BNScalePruner(
        small, x, importance, global_pruning=True, pruning_ratio=ratio, ignored_layers=[small[-1]]
    )
    pruner.step()
    return small


def row(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


PAGE = """# People's own networks

Three functions work on any PyTorch network whose convolutions are followed by BatchNorm: `measure`, `shrink` and
`Monitor`. `pip install .` in a clone installs them with torch, numpy, pandas, safetensors and torch-pruning. The
reproduction of the paper is the extra `.[pipeline]`.

```python
import filter_sparsity

table = filter_sparsity.measure(model, loader)  # a DataFrame: a row a layer; .plot(), .to_markdown()
small, report = filter_sparsity.shrink(model, images)  # a copy without its dead filters; print(report)

monitor = filter_sparsity.Monitor(model, "sparsity.csv")  # in a training:
monitor.step()  # once an epoch
```

`measure` follows the first batch through the model to find the layers, and goes through the data once. `shrink` uses
the dependency graph of [Torch-Pruning](https://github.com/VainF/Torch-Pruning), and compares the small network with the
masked one. The model must be in evaluation mode. Build a new optimizer before you train the small network: an old one
holds the parameters of the large network. `Monitor(model, tensorboard="folder")` writes for TensorBoard, if it is
installed.

The small installation was tried on Linux: with Python 3.11.7 (torch 2.13.0) and 3.12.1 (torch 2.14.1) on torchvision's
and timm's networks in its tests, with 3.13.0 (torch 2.14.1) on one small network, and with no other version. Importing the library takes 0.4 s beyond torch's own 1.2 s.

## An example

`python examples/own_networks.py` trains a small ResNet ({parameters:,} parameters, {filters} filters) on the {training:,}
training images of scikit-learn's digits, for {epochs} epochs, one seed, and writes this page. Latency is of 400 images,
the fastest call with {threads} thread(s) and torch {torch}. It took {seconds:.0f} s in all, beside other work on the processors.

{results}

Each row is one training (n = 1); one test image is 0.25 % of error. The latencies of one row were measured in turns;
where no filter went, their difference is noise.
Removed are the dead features by gamma (|gamma| < 1e-3), with `border="{border}"`.

### The layers of the network trained with {sparse}

{layers}

### What `shrink` reports of it

```text
{report}
```

## What becomes of a dead feature

With gamma 0 a feature is the constant c = activation(beta). Whether a channel can go is found by computing: the network
runs with noise in place of what its convolutions give, and a channel that stays the same is constant because of dead
features. So sums, gates, concatenations and depthwise convolutions need no rules.

| case | what `shrink` does |
|---|---|
| c is 0, or no padded convolution follows | removes it; c goes into the next running mean or a bias: exact |
| c > 1e-6, a convolution follows that pads with zeros | keeps it: the border would differ; `border="fold"` removes it |
| a sum whose other branch lives; a gate that multiplies c | keeps it |
| a channel of the output; the last filter of a layer | keeps it |
| a grouped convolution that would lose unequally | keeps it |
| a convolution that the forward does not call as a module (`F.conv2d`) | keeps it |
| GroupNorm, LayerNorm, a lone parameter or a mean over channels follows | keeps it |

Where two such cases meet, the report names one. `report.layers` counts the reasons for every BatchNorm. Parameters below
1e-19 are set to 0: products of such numbers are subnormal, and processors compute them slowly. A network with fewer
filters need not be faster: small layers do not fill a processor. The report has the measured latency. ONNX Runtime
computes blocks of channels: with `multiple=8`, dead filters stay where a layer needs them for a multiple of 8.

## Beside other pruners

The network trained with {sparse}, {ratio:.0f} % of its features pruned, without fine-tuning. Torch-Pruning and network
slimming rank gammas over the whole network; `shrink` takes those below 1e-3 and keeps what cannot go. Torch-Pruning's
ratio is of groups of channels that go together. Network slimming masks features; `shrink` then removed what it masked.
Seconds are processor time, without the measurement of latencies.

{peers}

## On the command line

```bash
filter-sparsity inspect my_package.models:create --weights weights.safetensors --images folder/of/images
filter-sparsity shrink my_package.models:create --weights weights.safetensors --out small.pt2 --onnx small.onnx
```

`create` is a function without arguments that gives the network. Weights are safetensors, or a state dict that torch opens
with `weights_only=True`. `small.pt2` opens with `torch.export.load`, without the code of the network; both files are
opened again and compared before they are kept. Reading images needs Pillow, `--onnx` the extra `.[export]`.

`shrink --images folder` compares the networks on the folder's first images instead of noise. `--criterion activation`
removes the filters that respond to none of the images. `--multiple 8` is for ONNX Runtime.

## Frozen BatchNorm

torchvision's detection backbones have `FrozenBatchNorm2d`, whose gamma is no parameter. `measure` and `shrink` refuse
it. Replace it by BatchNorm in evaluation mode, which computes the same:

```python
for name, frozen in list(model.named_modules()):
    if isinstance(frozen, torchvision.ops.FrozenBatchNorm2d):
        norm = torch.nn.BatchNorm2d(len(frozen.weight), eps=frozen.eps).requires_grad_(False)
        norm.load_state_dict(frozen.state_dict(), strict=False)  # it has no count of batches
        model.set_submodule(name, norm.eval())
```

## Limits

- Networks with convolutions that end in a concatenation before their BatchNorm (DenseNet): `measure` has no row for those.
- A network that Torch-Pruning cannot follow (ShuffleNet's channel shuffle) is refused. Where its graph is wrong (a
  concatenation of a tensor with itself, Res2Net's splits), the filters stay, and the report says so.
- A channel is removed if it is dead in every layer that it is joined with. Grouped convolutions lose only the same places
  of all their groups, which is rare.
- Universality counts images by steps of 1.6 % of the response; memory is 3 KB a feature however many images there are.
"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--out", type=Path, default=Path("docs/own_networks.md"))
    options.add_argument("--epochs", type=int, default=30)
    options.add_argument("--border", choices=["keep", "fold"], default="keep")
    args = options.parse_args()
    start = time.perf_counter()
    x, y = digits()
    test, labels = x[TRAINING:], y[TRAINING:]
    batches = x[:TRAINING].split(100)
    results = [
        row("optimizer", "dead by gamma", "by activation", "parameters", "error", "shrunk", "latency"),
        "|---" + "|---:" * 6 + "|",
    ]
    trained = {}
    for name, make in OPTIMIZERS.items():
        print(name, flush=True)
        model = resnet()
        train(model, make(model.parameters()), x[:TRAINING], y[:TRAINING], args.epochs)
        table = filter_sparsity.measure(model, batches, progress=False)
        small, report = filter_sparsity.shrink(model, test, border=args.border, latency_seconds=2)
        before, after = error(model, test, labels), error(small, test, labels)
        total = table.loc["total"]
        trained[name] = model, table, small, report
        results.append(
            row(
                name,
                f"{100 * total['sparsity_by_gamma']:.0f} %",
                f"{100 * total['sparsity_by_activation']:.0f} %",
                f"{report.before.parameters:,} → {report.after.parameters:,}",
                f"{100 * before:.2f} %",
                f"{100 * after:.2f} %",
                f"{report.before.latency:.1f} → {report.after.latency:.1f} ms",
            )
        )
    sparse = max(trained, key=lambda name: trained[name][1].loc["total", "sparsity_by_gamma"])
    model, table, small, report = trained[sparse]
    ratio = report.layers["removed"].sum() / report.layers["filters"].sum()
    peers = [
        row("method", "error", "parameters", "seconds"),
        "|---" + "|---:" * 3 + "|",
        row("none", f"{100 * error(model, test, labels):.2f} %", f"{report.before.parameters:,}", ""),
    ]
    methods = {
        "`shrink`": lambda: filter_sparsity.shrink(model, test[:2], border=args.border, latency_seconds=0)[0],
        "Torch-Pruning, BNScalePruner": lambda: bn_scale(model, test[:2], ratio),
        "network slimming's threshold": lambda: slimmed(model, test[:2], ratio),
    }
    for name, method in methods.items():
        began = time.process_time()
        other = method()
        took = time.process_time() - began
        size = f"{sum(p.numel() for p in other.parameters()):,}"
        peers.append(row(name, f"{100 * error(other, test, labels):.2f} %", size, f"{took:.2f}"))
    page = PAGE.format(
        parameters=report.before.parameters,
        filters=int(table.loc["total", "filters"]),
        training=TRAINING,
        epochs=args.epochs,
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        seconds=time.perf_counter() - start,
        results="\n".join(results),
        border=args.border,
        sparse=sparse,
        layers=table.to_markdown(),
        report=report,
        ratio=100 * ratio,
        peers="\n".join(peers),
    )
    args.out.write_text(page)
    print(f"{args.out} written")


if __name__ == "__main__":
    main()
