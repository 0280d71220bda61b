"""Devices: what they are called, and what they say of their memory."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tinybench.runtime import device as device_module
from tinybench.runtime.device import PEAK_IS, describe_environment, peak_memory_mb, reset_peak_memory

CPU = torch.device("cpu")


def test_a_mac_is_called_by_its_chip(monkeypatch):
    """Times and remembered choices are told apart by it; Python itself calls every one of them arm."""
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0, "Apple M3 Pro\n"))
    device_module._processor_name.cache_clear()
    assert describe_environment(torch.device("mps"))["device_name"] == "Apple M3 Pro"
    assert "not a peak" in describe_environment(torch.device("mps"))["peak_memory_is"]
    device_module._processor_name.cache_clear()


def test_what_a_peak_counts_is_said_for_every_device():
    assert PEAK_IS.keys() == {"cpu", "mps", "cuda"}
    assert describe_environment(CPU)["peak_memory_is"] == PEAK_IS["cpu"]


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux counts a peak anew")
def test_a_peak_is_forgotten():
    reset_peak_memory(CPU)  # what other tests took
    before = peak_memory_mb(CPU)
    trial = torch.ones(128 * 2**18)
    assert peak_memory_mb(CPU) > before + 100
    del trial
    reset_peak_memory(CPU)
    assert peak_memory_mb(CPU) < before + 50
