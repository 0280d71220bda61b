"""doctor.py: what is there, what is broken."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tinybench import doctor
from tinybench.data import datasets
from tinybench.runtime import peaks

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


def test_peaks_are_of_the_right_size():
    """A product cannot be quicker than the cores' clocks allow, nor slower than a sliver of them."""
    assert 1e9 < peaks.matmul_flops(torch.device("cpu"), torch.float32) < 1e14
    assert 1e8 < peaks.copy_bytes(torch.device("cpu")) < 1e13


def test_the_command(tmp_path):
    command = [sys.executable, str(ROOT / "src/doctor.py"), "--data_dir", str(tmp_path), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["environment"]["torch"] == torch.__version__
