"""Grad-CAM and attention rollout against hand numbers and independent implementations; the pictures."""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from test_testing import main_of, save
from torch import nn

from tinybench.errors import UsageError, UserError
from tinybench.evaluation.explain import attention_rollout, explain, grad_cam
from tinybench.figures.images import image_under_heat
from tinybench.inference.checkpoint import read_checkpoint, write_checkpoint
from tinybench.inference.predictor import Predictor
from tinybench.models import MODELS, build_model
from tinybench.recipe import Recipe

CPU = torch.device("cpu")
CNNS = [name for name in MODELS if name not in ("vit", "svm")]


class Small(nn.Module):
    """Features, the mean of each, a linear classifier: its Grad-CAM is the class's weights times the features."""

    def __init__(self):
        super().__init__()
        self.features = nn.Conv2d(3, 4, 3, padding=1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(4, 5)

    def forward(self, x):
        return self.head(self.pool(self.features(x)).flatten(1))


def test_grad_cam_of_a_linear_head_is_its_weights_times_the_features():
    torch.manual_seed(0)
    model, images, labels = Small(), torch.randn(2, 3, 6, 6), torch.tensor([1, 4])
    weights = model.head.weight[labels]
    expected = torch.einsum("bk,bkhw->bhw", weights, model.features(images)).relu() / 36
    torch.testing.assert_close(grad_cam(model, images, labels), expected.detach())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not model.pool._forward_pre_hooks


@pytest.mark.parametrize("name", CNNS)
def test_every_convolutional_network_has_a_map(name):
    torch.manual_seed(0)
    model = build_model(name, num_classes=3).eval()
    heat = grad_cam(model, torch.randn(1, 3, 64, 64), torch.tensor([2]))
    assert heat.ndim == 3
    assert heat.min() >= 0
    assert heat.isfinite().all()


def test_grad_cam_is_that_of_pytorch_grad_cam():
    library = pytest.importorskip("pytorch_grad_cam")
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    torch.manual_seed(0)
    model = Small().eval()
    image = torch.randn(1, 3, 6, 6)
    with library.GradCAM(model=model, target_layers=[model.features]) as cam:
        theirs = cam(input_tensor=image, targets=[ClassifierOutputTarget(3)])[0]
    ours = grad_cam(model, image, torch.tensor([3]))[0].numpy()
    ours -= ours.min()  # as the library scales it
    np.testing.assert_allclose(ours / ours.max(), theirs, atol=1e-4)


def vit(**options):
    torch.manual_seed(0)
    return build_model("vit", num_classes=3, image_size=32, dim=16, num_heads=2, patch_size=8, **options).eval()


def test_rollout_of_attention_to_all_alike():
    model = vit(depth=3)
    for block in model.blocks:
        block.attention.qkv.weight.data.zero_()
    # Each block keeps half of a token and spreads the other half over all 17: after three, 7/8 are spread.
    rollout = attention_rollout(model, torch.randn(2, 3, 32, 32))
    torch.testing.assert_close(rollout, torch.full((2, 4, 4), 7 / 8 / 17))


def test_rollout_of_one_block_is_the_attention_that_torch_gives():
    model = vit(depth=1)
    attention = model.blocks[0].attention
    nn.init.normal_(attention.qkv.weight, std=0.5)
    images = torch.randn(2, 3, 32, 32)
    layer = nn.MultiheadAttention(16, 2, batch_first=True)
    layer.load_state_dict(
        {
            "in_proj_weight": attention.qkv.weight,
            "in_proj_bias": attention.qkv.bias,
            "out_proj.weight": attention.project.weight,
            "out_proj.bias": attention.project.bias,
        }
    )
    with torch.no_grad():
        tokens = model.patch_embedding(images).flatten(2).transpose(1, 2)
        tokens = torch.cat((model.class_token.expand(2, -1, -1), tokens), 1) + model.position_embedding
        x = model.blocks[0].norm1(tokens)
        _, weights = layer(x, x, x)
    expected = weights[:, 0, 1:].view(2, 4, 4) / 2
    assert expected.std() > 0.01
    torch.testing.assert_close(attention_rollout(model, images), expected, rtol=1e-4, atol=1e-6)


def test_rollout_of_local_attention_leaves_out_the_token_itself():
    model = vit(depth=1, locality=True, shifted_patches=True)
    model.blocks[0].attention.qkv.weight.data.zero_()
    rollout = attention_rollout(model, torch.randn(1, 3, 32, 32))
    torch.testing.assert_close(rollout, torch.full((1, 4, 4), 1 / 2 / 16))


# ---- pictures


@pytest.fixture
def image(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    (tmp_path / "images").mkdir()
    Image.fromarray(pixels).save(tmp_path / "images" / "x.png")
    return tmp_path / "images" / "x.png"


def test_an_explanation_fits_the_image_and_the_guess(demo_data, tmp_path, image):
    predictor = Predictor(save(tmp_path / "best_model.pth", demo_data), CPU)
    explanation = explain(predictor, image)
    assert explanation.guess == predictor.classify(image, 1)[0]
    assert explanation.method == "attention rollout"
    assert explanation.pixels.shape == (3, 32, 32)
    assert explanation.heat.shape == (32, 32)
    assert explanation.heat.min() >= 0
    assert explanation.heat.max().item() == pytest.approx(1)
    figure = image_under_heat(explanation.pixels, explanation.heat, explanation.method, "a title")
    assert figure.get_suptitle() == "a title"


def test_a_network_of_another_kind_is_refused(demo_data, tmp_path, image):
    predictor = Predictor(save(tmp_path / "best_model.pth", demo_data), CPU)
    predictor.model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10))
    with pytest.raises(UserError, match="Sequential has no feature map for Grad-CAM"):
        explain(predictor, image)


def test_the_command_writes_a_picture_an_image(demo_data, tmp_path, image, monkeypatch, capsys):
    path = save(tmp_path / "best_model.pth", demo_data)
    (tmp_path / "other").mkdir()
    Image.open(image).rotate(90).save(tmp_path / "other" / "x.jpg")
    (tmp_path / "no.txt").write_text("no image")
    output = tmp_path / "out"
    arguments = ("--checkpoint", path, "--output", output, "--device", "cpu")
    images = (image.parent, tmp_path / "other", tmp_path / "no.txt")
    assert main_of("src/explain.py", monkeypatch, "--image", *images, *arguments) == 1
    out, err = capsys.readouterr()
    assert [line.split(":")[0] for line in out.splitlines()] == [str(image), str(tmp_path / "other" / "x.jpg")]
    assert err.startswith(f"error: {tmp_path / 'no.txt'}: no image")
    assert sorted(file.name for file in output.iterdir()) == ["x.png", "x_2.png"]
    for file in output.iterdir():
        assert np.asarray(Image.open(file).convert("L")).std() > 20


def test_a_checkpoint_of_a_convolutional_network_is_explained_by_grad_cam(demo_data, tmp_path, image):
    path = save(tmp_path / "best_model.pth", demo_data)
    model = build_model("alexnet", num_classes=10, dim=8)
    recipe = Recipe(model="alexnet", model_options={"dim": 8}, dataset="demo", image_size=32)
    content = {"model": "alexnet", "model_options": {"dim": 8}, "recipe": recipe.as_dict()}
    write_checkpoint(path, read_checkpoint(path) | content | {"state_dict": model.state_dict()})
    explanation = explain(Predictor(path, CPU), image)
    assert explanation.method == "Grad-CAM"
    assert explanation.heat.shape == (32, 32)
    assert not math.isnan(explanation.heat.sum())


def test_model_and_checkpoint_exclude_each_other(monkeypatch):
    with pytest.raises(UsageError, match="--model and --checkpoint"):
        main_of("src/explain.py", monkeypatch, "--image", "x.jpg", "--model", "resnet", "--checkpoint", "x.pth")
