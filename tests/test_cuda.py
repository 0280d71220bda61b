"""What is asked of a CUDA device, without having one."""

import dataclasses

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from tinybench.configuration import get_recipe
from tinybench.errors import UsageError
from tinybench.models import MODELS, build_model, list_models
from tinybench.models.speednet import GlobalMaxPool
from tinybench.recipe import Recipe, RunOptions
from tinybench.runtime import device as devices
from tinybench.runtime.device import describe_environment, determinism, pick_device, send
from tinybench.training.trainer import train

CPU, CUDA, MPS = torch.device("cpu"), torch.device("cuda"), torch.device("mps")
# What of torch's list of operations without a deterministic algorithm on CUDA a network may come across.
NOT_REPEATABLE = (
    "adaptive_avg_pool2d_backward",
    "adaptive_max_pool2d_backward",
    "upsample",
    "grid_sampler_2d_backward",
)


@pytest.fixture
def cuda(monkeypatch):
    """A CUDA device as far as one can pretend it."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "pretended")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def test_fp32_is_the_same_in_products_and_convolutions_and_stated(cuda, monkeypatch):
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = False, True
    device = pick_device("cuda")
    assert torch.backends.cuda.matmul.allow_tf32 == torch.backends.cudnn.allow_tf32
    assert describe_environment(device)["fp32_products"] == "tf32"
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert describe_environment(device)["fp32_products"] == "fp32"
    assert describe_environment(CPU)["fp32_products"] == "fp32"


def test_deterministic_algorithms_are_asked_for_on_cuda_and_only_while_it_trains(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    with determinism(CUDA, False), determinism(CPU, True):
        assert not torch.are_deterministic_algorithms_enabled()
    context = determinism(CUDA, True)
    assert devices.os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    with context:
        assert torch.are_deterministic_algorithms_enabled()
    assert not torch.are_deterministic_algorithms_enabled()
    with pytest.raises(UsageError, match="deterministic needs device cuda or cpu; mps"):
        determinism(MPS, True)
    message = "some_backward_cuda does not have a deterministic implementation, but you set [...]"
    with pytest.raises(UsageError, match="the network needs some_backward_cuda"), determinism(CUDA, True):
        raise RuntimeError(message)
    with pytest.raises(RuntimeError, match="out of memory"), determinism(CUDA, True):
        raise RuntimeError("out of memory")


def test_a_run_on_a_cpu_is_the_same_with_the_flag(demo_data, tmp_path):
    recipe = Recipe(
        model="alexnet", model_options={"dim": 8}, dataset="demo", images_per_class=4, val_fraction=0.5, epochs=1,
        batch_size=10, precision="fp32", lr=0.01, image_size=32,
    )  # fmt: skip
    options = RunOptions(run_name="run", data_dir=demo_data, results_dir=tmp_path, device="cpu")
    with_flag = train(dataclasses.replace(recipe, deterministic=True), options)
    without = train(recipe, options, overwrite=True)
    assert with_flag.epochs["val_loss"] == without.epochs["val_loss"]


def test_what_goes_to_cuda_is_pinned_and_nobody_waits(monkeypatch):
    asked = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: asked.append("pinned") or tensor)
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, device, **how: asked.append((device.type, how)) or tensor)
    send(torch.ones(1), CPU)
    send(torch.ones(1), CUDA)
    assert asked == [("cpu", {}), "pinned", ("cuda", {"non_blocking": True})]


@pytest.mark.parametrize("name", list_models())
def test_every_network_can_be_repeated_on_cuda(name):
    class Names(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            seen.add(func.overloadpacket.__name__)
            return func(*args, **(kwargs or {}))

    seen = set()
    recipe = get_recipe(MODELS[name].recipe)
    size = recipe.image_size
    model = build_model(name, num_classes=5, image_size=size, **recipe.model_options)
    with Names():
        model(torch.randn(2, 3, size, size)).sum().backward()
    assert any(each.endswith("backward") or each in ("mm", "addmm") for each in seen)
    assert not [each for each in seen if any(part in each for part in NOT_REPEATABLE)]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_global_max_pool_is_torchs(layout):
    maps = torch.randn(3, 4, 5, 6, generator=torch.Generator().manual_seed(0)).round().to(memory_format=layout)  # ties
    ours, theirs = maps.clone().requires_grad_(), maps.clone().requires_grad_()
    pooled, expected = GlobalMaxPool()(ours), nn.AdaptiveMaxPool2d(1)(theirs)
    assert torch.equal(pooled, expected)
    pooled.square().sum().backward()
    expected.square().sum().backward()
    assert torch.equal(ours.grad, theirs.grad)
