"""doctor.py: what is there, what is broken."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tinybench.configuration import load_augmentations
from tinybench.data import datasets
from tinybench.errors import UsageError
from tinybench.profiling import device_check, doctor, peaks

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    datasets.load("demo", "train", tmp_path)
    return tmp_path


@pytest.fixture
def examine(monkeypatch):
    monkeypatch.setattr(doctor, "matmul_flops", lambda device, dtype: 2e12 if dtype == torch.float32 else 1e11)
    monkeypatch.setattr(doctor, "copy_bytes", lambda device: 3e9)
    return lambda *arguments: doctor.examine(torch.device("cpu"), *arguments)


def test_a_damaged_data_set_is_named(examine, data_dir):
    images = next(data_dir.rglob("train_images.npy"))
    assert doctor.is_well(examine(data_dir, True))
    assert "verified" in doctor.report(examine(data_dir, True))
    content = bytearray(images.read_bytes())
    content[-1] ^= 1
    images.write_bytes(content)
    assert doctor.is_well(examine(data_dir))  # as long as nobody reads all of it
    found = examine(data_dir, True)
    assert not doctor.is_well(found)
    assert "is not what was curated" in doctor.report(found)
    images.write_bytes(content[:-1000])
    assert not doctor.is_well(examine(data_dir))


def test_the_report_says_what_to_type_and_what_is_slow(examine, tmp_path):
    lines = doctor.report(examine(tmp_path)).splitlines()
    assert "data        none yet; type: python src/curate_data.py" in lines
    assert any(line.startswith("bf16") and "emulated" in line for line in lines)
    assert "fp16        not supported" in lines
    assert "memory      3 GB/s" in lines


def test_a_device_that_computes_something_else_is_named(examine, tmp_path, monkeypatch):
    """A second CPU by number, which gets one gradient wrong, does not know one policy, and shuffles as it should."""
    step, augmented = device_check.network_step, device_check.augmented

    def wrong_step(recipe, device):
        found = step(recipe, device)
        return found | {"the loss": found["the loss"] * (1 if device.index is None else 1.1)}

    def refusing(name, device):
        if device.index is not None:
            raise RuntimeError("not implemented for 'MPS'")
        return augmented(name, device)

    monkeypatch.setattr(device_check, "list_models", lambda: ["svm"])
    monkeypatch.setattr(device_check, "network_step", wrong_step)
    monkeypatch.setattr(device_check, "augmented", refusing)
    monkeypatch.setattr(device_check, "load_augmentations", lambda: ["basic"])
    checks = {check.name: check for check in device_check.check_device(torch.device("cpu", 0))}
    assert str(checks["svm"]) == "svm: DIFFERS from the CPU by 1.0e-01 in the loss"
    assert str(checks["augment basic"]) == "augment basic: FAILS: RuntimeError: not implemented for 'MPS'"
    assert {name for name, check in checks.items() if not check.agrees} == {"svm", "alexnet at 32 px", "augment basic"}
    assert {f"optimizer {name}" for name in ("sgd", "adam", "adamw", "rmsprop", "muon")} < checks.keys()
    monkeypatch.setattr(doctor, "check_device", lambda device: checks.values())
    found = doctor.examine(torch.device("cpu"), tmp_path)
    assert doctor.is_well(found)
    found["checks"] = [{"agrees": False, "line": "svm: DIFFERS"}]
    assert not doctor.is_well(found)
    assert "check       svm: DIFFERS" in doctor.report(found)
    with pytest.raises(UsageError, match="only a CPU"):
        doctor.examine(torch.device("cpu"), tmp_path, check=True)


@pytest.mark.parametrize("name", load_augmentations())
def test_nothing_differs_where_nothing_is_wrong(name):
    check = device_check._check(name, lambda device: device_check.augmented(name, device), torch.device("cpu", 0))
    assert check.difference == 0


def test_peaks_are_of_the_right_size():
    """A product cannot be quicker than the cores' clocks allow, nor slower than a sliver of them."""
    assert 1e9 < peaks.matmul_flops(torch.device("cpu"), torch.float32) < 1e14
    assert 1e8 < peaks.copy_bytes(torch.device("cpu")) < 1e13


def test_the_command(tmp_path):
    command = [sys.executable, str(ROOT / "src/doctor.py"), "--data_dir", str(tmp_path), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["environment"]["torch"] == torch.__version__
