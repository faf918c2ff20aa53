"""Which precision a computation runs in: torch's switches for TF32 are set each time, and written with the result."""

from __future__ import annotations

import pytest
import torch

from filter_sparsity.errors import UserError
from filter_sparsity.measuring import extract
from filter_sparsity.records import record
from filter_sparsity.training import torch_setup
from filter_sparsity.training.loop import Training
from filter_sparsity.training.run import Settings, train_run, training_turns
from filter_sparsity.training.together import take_turns
from filter_sparsity.training.torch_setup import PRECISIONS, set_precision, tf32_switches

CPU = torch.device("cpu")
ON, OFF = dict.fromkeys(("matmul", "convolution"), True), dict.fromkeys(("matmul", "convolution"), False)
EXPECTED = {"float32": OFF, "tf32": ON, "bfloat16": ON}


@pytest.fixture(scope="module")
def data(make_data):
    return make_data()


@pytest.fixture(autouse=True)
def as_before():
    yield
    set_precision("float32")


@pytest.fixture
def any_device(monkeypatch):
    """A CPU that is said to have TF32."""
    monkeypatch.setattr("filter_sparsity.training.loop.check_precision", lambda *_: None)


@pytest.mark.parametrize("first", PRECISIONS)
@pytest.mark.parametrize("name", PRECISIONS)
def test_both_tf32_switches_are_set_whatever_was_set_before(name, first):
    set_precision(first)
    set_precision(name)
    assert tf32_switches() == EXPECTED[name]
    newer = torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.conv.fp32_precision
    assert [each == "tf32" for each in newer] == [*EXPECTED[name].values()]
    # "none" is what the precision of all CUDA operations says; where that is "none", too, it is float32
    assert torch.backends.fp32_precision == torch.backends.cudnn.fp32_precision.replace("tf32", "none") == "none"
    assert torch.get_float32_matmul_precision() == ("high" if EXPECTED[name]["matmul"] else "highest")


def test_a_job_begins_without_tf32(python):
    program = "import torch\nfrom filter_sparsity.training.torch_setup import select_device, tf32_switches\n"
    assert python(program + "print(tf32_switches())") == "{'matmul': False, 'convolution': True}"  # as torch has it
    assert python(program + "select_device('cpu', 1); print(tf32_switches())") == str(OFF)


@pytest.mark.parametrize(
    ("device", "capability", "refused"),
    [("cpu", None, True), ("cuda", (7, 5), True), ("cuda", (8, 0), False), ("cuda", (9, 0), False)],
)
def test_tf32_is_refused_where_it_would_be_float32(monkeypatch, device, capability, refused):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch_setup, "machine", lambda device: {"device": "a device"})
    for name in ("float32", "bfloat16"):
        torch_setup.check_precision(name, torch.device(device))
    if refused:
        with pytest.raises(
            UserError, match=r"\Aprecision is tf32, which a device does not have: set `precision: float32`"
        ):
            torch_setup.check_precision("tf32", torch.device(device))
    else:
        torch_setup.check_precision("tf32", torch.device(device))


def test_tf32_on_a_cpu_is_refused_in_one_line_without_result(make_spec, data, tmp_path):
    with pytest.raises(UserError) as error:
        train_run(make_spec(), 0, data, tmp_path / "run", tmp_path / "kept", Settings(CPU, precision="tf32"))
    assert "\n" not in str(error.value)
    assert {path.name for path in (tmp_path / "run").iterdir()} <= {"train.log"}


@pytest.mark.parametrize("name", PRECISIONS)
def test_precision_and_switches_are_written_with_the_run(make_spec, data, tmp_path, any_device, name):
    spec = make_spec()
    train_run(spec, 0, data, tmp_path / "run", tmp_path / "kept", Settings(CPU, 2, name))
    origin = record.read_provenance(tmp_path / "run" / "provenance.json", spec.id, 0)
    assert (origin["precision"], origin["tf32"]) == (name, EXPECTED[name])


def test_each_of_several_trainings_has_its_own_precision(make_spec, data, tmp_path, any_device, monkeypatch):
    """And nothing of one depends on the other: weights of all as alone."""
    seen, compute, spec = [], torch.nn.functional.cross_entropy, make_spec()

    def observed(*arguments, **options):
        seen.append((arguments[0].dtype, tf32_switches()["convolution"]))
        return compute(*arguments, **options)

    monkeypatch.setattr(torch.nn.functional, "cross_entropy", observed)
    tasks = [
        training_turns(spec, 0, data, tmp_path / name, tmp_path / "kept" / name, Settings(CPU, 2, name))
        for name in PRECISIONS
    ]
    assert all(end.error is None for end in take_turns(tasks, 3))
    one_by_one = seen.copy()
    assert one_by_one[:6] == [(torch.float32, False), (torch.float32, True), (torch.bfloat16, True)] * 2
    for name in PRECISIONS:
        train_run(
            spec, 0, data, tmp_path / f"{name} alone", tmp_path / "kept" / "alone", Settings(CPU, 2, name)
        ).clear()
        weights = [(tmp_path / which / "weights.safetensors").read_bytes() for which in (name, f"{name} alone")]
        assert weights[0] == weights[1]


def test_measuring_is_in_float32_whatever_was_set(make_spec, data, monkeypatch):
    seen, spec = [], make_spec()
    model = Training(spec, 0, data, CPU, 1).model
    for name in ("responses", "evaluate"):
        own = getattr(extract, name)

        def observed(*arguments, own=own):
            seen.append(tf32_switches())
            return own(*arguments)

        monkeypatch.setattr(extract, name, observed)
    set_precision("tf32")
    extract.measure(spec, model, data)
    assert seen == [OFF] * 4  # the features, and the test, pruned and folded error
