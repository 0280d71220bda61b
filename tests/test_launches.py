"""How many kernels a step launches, which on a fast card is what a small network's step takes its time for."""

import sys
from pathlib import Path

import pytest
import torch

from tinybench.data.augment import policy
from tinybench.data.augment.mix import Mix
from tinybench.data.augment.policy import build_policy, vary
from tinybench.runtime.device import Compiled

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
from launches import LaunchCounter, launches, of_mixing, of_policy, of_step

IMAGES = torch.randint(0, 256, (8, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_only_what_computes_is_counted():
    tensors = [torch.ones(65536) for _ in range(400)]

    def work():
        torch.empty(3).view(3, 1).expand(3, 4)[1:].detach()
        tensors[0].add_(1).mul_(2)
        torch._foreach_add_(tensors[:10], 1)
        torch._foreach_add_(tensors, 1)  # 110 tensors and 320 blocks a launch at most

    assert launches(work) == 2 + 1 + 4


@pytest.mark.parametrize(
    ("model", "optimizer", "most"),
    [("resnet", "sgd", (222, 2, 3)), ("resnet", "muon", (222, 210, 3)), ("vit", "adamw", (545, 8, 3))],
)
def test_a_step_launches_no_more_than_it_did(model, optimizer, most):
    counts = of_step(model, optimizer)
    assert counts.keys() == {"forward, backward", "optimizer", "EMA"}
    for (name, count), bound in zip(counts.items(), most, strict=True):
        assert count <= bound, name


def test_a_compiled_policy_launches_a_sixth():
    assert of_policy("standard") <= 18


def test_a_compiled_policy_does_the_same():
    policy = build_policy("standard", 64, (0.48, 0.45, 0.40), (0.28, 0.27, 0.29))
    arguments = (policy, IMAGES, policy.values(8, torch.Generator()), *policy.constants(IMAGES.device))
    compiled = Compiled(vary, "the augmentation")
    torch.testing.assert_close(compiled(*arguments), vary(*arguments), rtol=0, atol=1e-3)
    assert compiled.call is not vary


def test_policies_are_compiled_on_cuda_and_only_there(monkeypatch):
    class OnCuda(torch.Tensor):
        is_cuda = True

    used = []
    monkeypatch.setattr(policy, "_vary_compiled", lambda *arguments: used.append(1) or vary(*arguments))
    cutout = build_policy("cutout", 64, (0.48, 0.45, 0.40), (0.28, 0.27, 0.29))
    here = cutout(IMAGES, torch.Generator().manual_seed(1))
    assert not used
    there = cutout(IMAGES.as_subclass(OnCuda), torch.Generator().manual_seed(1))
    assert used
    assert torch.equal(here, there)


def test_what_cannot_be_compiled_runs_as_it_is_and_says_so(monkeypatch, capsys):
    def no_compiler(function, **_):
        def fail(*_):
            raise ImportError("no triton")

        return fail

    monkeypatch.setattr(torch, "compile", no_compiler)
    double = Compiled(lambda x: 2 * x, "doubling")
    assert [double(torch.tensor(n)).item() for n in (1, 2)] == [2, 4]
    assert capsys.readouterr().out == "torch.compile does not work here (ImportError); doubling runs without\n"
    with pytest.raises(TypeError):
        double(None)


def test_every_box_of_cutmix_has_the_same_kernels():
    assert of_mixing("cutmix") <= 5
    images, shapes = torch.randn(4, 3, 64, 64), set()

    class Shapes(LaunchCounter):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            result = super().__torch_dispatch__(func, types, args, kwargs)
            if not func.is_view:
                shapes.add((str(func), *(each.shape for each in args if isinstance(each, torch.Tensor))))
            return result

    Mix("cutmix", 0.5, (1, 2, 3, 4)).apply(images)
    counts = []
    for box in ((0, 64, 0, 64), (5, 5, 7, 9), (3, 20, 40, 64)):
        with Shapes() as counter:
            Mix("cutmix", 0.5, box).apply(images)
        counts.append((counter.count, len(shapes)))
    assert len({*counts}) == 1
