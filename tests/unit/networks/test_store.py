"""The verbs for people's own networks: files in, files out, without pickle."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from filter_sparsity.cli import main

MODULE = """
    import torch
    from torch import nn

    def create():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )

    def other():
        return nn.Linear(2, 2)

    def nothing():
        return 3
"""


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Weights with two dead filters, and the module of the network beside them, in the current folder."""
    torch.set_num_threads(1)
    (tmp_path / "some_network.py").write_text(textwrap.dedent(MODULE))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "some_network", raising=False)
    import some_network

    state = some_network.create().state_dict()
    state["1.weight"][[1, 4]] = 0
    state["1.bias"][[1, 4]] = torch.tensor([0.0, 1e-41])
    state["3.weight"][2, 2] = 1e-40
    save_file(state, tmp_path / "w.safetensors")
    torch.save(state, tmp_path / "w.pt")
    return tmp_path / "w.safetensors"


@pytest.fixture
def images(weights: Path) -> Path:
    """A folder with two images."""
    folder = weights.parent / "images"
    folder.mkdir()
    for seed, name in enumerate("ab"):
        pixels = np.random.default_rng(seed).integers(0, 255, (9, 12, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return folder


def test_inspect(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["inspect", "some_network:create", "--images", "images", "--size", "16", "--out", "t.csv"]
    assert main([*arguments, "--weights", "w.pt"]) == 0
    assert "| 0 | 6 | 33.3 % |" in capsys.readouterr().out
    table = pd.read_csv("t.csv").set_index("layer")
    assert table.loc["total", "sparsity_by_gamma"] == pytest.approx(1 / 3)


def test_shrink_with_images(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = torch.load("w.pt", weights_only=True)
    state["1.weight"].fill_(1.0)
    state["1.bias"][0] = -1e6  # silent, whatever its gamma
    torch.save(state, "w.pt")
    arguments = ["shrink", "some_network:create", "--weights", "w.pt", "--images", "images", "--size", "16"]
    assert main(arguments) == 0
    assert "0 dead features of 6" in capsys.readouterr().out
    assert main([*arguments, "--criterion", "activation"]) == 0
    assert "1 dead features of 6; 1 removed" in capsys.readouterr().out


@pytest.mark.slow
def test_shrink_writes_what_opens_again(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnxruntime, onnx = pytest.importorskip("onnxruntime"), pytest.importorskip("onnx")
    shape = ["--shape", "2", "3", "16", "16"]
    out = ["--out", "small/a.pt2", "--onnx", "small/a.onnx"]
    assert main(["shrink", "some_network:create", "--weights", "w.safetensors", *shape, *out]) == 0
    assert "2 dead features of 6; 2 removed" in capsys.readouterr().out
    import some_network

    model = some_network.create().eval()
    model.load_state_dict(torch.load("w.pt", weights_only=True))
    x = torch.randn(2, 3, 16, 16)
    truth = model(x).detach()
    program = torch.export.load("small/a.pt2")
    assert torch.allclose(program.module()(x), truth, atol=1e-5)
    assert {tuple(p.shape) for p in program.state_dict.values()} >= {(4, 3, 3, 3), (4, 4, 3, 3)}
    for threads in (1, 4):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession("small/a.onnx", options)
        assert np.allclose(session.run(None, {session.get_inputs()[0].name: x.numpy()})[0], truth, atol=1e-5)
    # The file has the small network, not a mask, and nothing that processors compute slowly.
    arrays = [onnx.numpy_helper.to_array(value) for value in onnx.load("small/a.onnx").graph.initializer]
    assert sum(array.size for array in arrays) < 350
    assert not any(((a != 0) & (np.abs(a) < np.finfo(np.float32).tiny)).any() for a in arrays if a.dtype == np.float32)
    assert sorted(p.name for p in Path("small").iterdir()) == ["a.onnx", "a.pt2"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere:create"], "there is no nowhere:create"),
        (["some_network:missing"], "there is no some_network:missing"),
        (["some_network:nothing"], "must give a torch.nn.Module"),
        (["some_network:other", "--weights", "w.safetensors"], "w.safetensors does not fit some_network:other"),
        (["some_network:create", "--weights", "broken.pt"], "cannot be read as weights"),
        (["some_network:create", "--weights", "missing.pt"], "missing.pt"),
        (["some_network:create", "--criterion", "activation"], "give --images"),
        (["some_network:create", "--images", "nowhere"], "nowhere has no images"),
        (["some_network:create", "--images", ".", "--shape", "1", "3", "9", "9"], "leave one out"),
        (["some_network:create", "--shape", "1", "4", "9", "9"], "cannot compute an input of shape (1, 4, 9, 9)"),
        (["some_network:create", "--weights", "w.pt", "--shape", "1", "3", "9", "9", "--out", "a.pt"], "end in .pt2"),
    ],
)
def test_bad_input_is_one_line(
    weights: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    Path("broken.pt").write_bytes(b"no weights")
    assert main(["shrink", *arguments]) == 1
    told = capsys.readouterr().err.strip().splitlines()
    assert said in told[-1]
    assert not Path("a.pt").exists()


def test_a_folder_without_images(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "some_network:create", "--images", "."]) == 1
    assert "has no images" in capsys.readouterr().err
