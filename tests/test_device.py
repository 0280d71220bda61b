"""Devices: what they are called, and what they say of their memory."""

import functools
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounter

from tinybench.data.imageset import ImageSet
from tinybench.inference.predictor import predict_logits
from tinybench.runtime import device as device_module
from tinybench.runtime.device import PEAK_IS, compile_network, describe_environment, peak_memory_mb, reset_peak_memory

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


class SmallNetwork(nn.Sequential):
    """Its forward pass is of a file of ours: torch 2.11 compiles none of its own files."""

    def forward(self, x):
        return super().forward(x)


def test_a_network_is_compiled_once_for_each_size_in_training_and_in_validation(monkeypatch):
    """And not with the size as a variable, which is slow; nor again for the last batch of the validation images."""
    counter = CompileCounter()  # runs what it is given as it is
    monkeypatch.setattr(nn.Module, "compile", functools.partialmethod(nn.Module.compile, backend=counter))
    torch.compiler.reset()
    model = SmallNetwork(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))
    images = ImageSet(
        name="noise", images=torch.randint(0, 256, (40, 3, 16, 16), dtype=torch.uint8), labels=torch.zeros(40).long(),
        class_ids=("a",), class_names=("a",), fingerprint="x", mean=(0.5,) * 3, std=(0.3,) * 3,
    )  # fmt: skip
    sizes = range(16, 26, 2)
    compile_network(model, len(sizes))
    with torch.no_grad():
        for side in sizes:
            for _ in range(2):
                model.train()(torch.rand(8, 3, side, side))
                filled = predict_logits(model, images, image_size=side, batch_size=32, device=CPU, whole_batches=True)
    assert counter.frame_count == 2 * len(sizes)
    torch.compiler.reset()
    torch.testing.assert_close(filled, predict_logits(model, images, image_size=side, batch_size=32, device=CPU))
