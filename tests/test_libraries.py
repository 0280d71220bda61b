"""Networks of timm and torchvision under their names: built, trained, saved, explained, listed, and what is refused."""

import sys

import pytest
import timm
import torch
import torchvision
from test_testing import main_of
from torch import nn

from tinybench.configuration import get_recipe
from tinybench.data.batches import Batch
from tinybench.errors import UsageError
from tinybench.evaluation.evaluate import EvalOptions, evaluate_run
from tinybench.evaluation.explain import explain, grad_cam
from tinybench.inference.checkpoint import load_network, network_checkpoint, read_checkpoint, write_checkpoint
from tinybench.inference.predictor import Predictor
from tinybench.models import build_model, external
from tinybench.recipe import RunOptions
from tinybench.sweep.plan import Plan
from tinybench.training.freezing import head_of
from tinybench.training.setup import build_state, load_images
from tinybench.training.trainer import train, train_step

# Of different kinds, the smallest of each.
NAMES = [
    "timm/resnet10t", "timm/regnetx_002", "timm/densenet121", "timm/vgg11_bn", "timm/repvgg_a0", "timm/convnext_atto",
    "timm/mobilenetv3_small_050", "timm/tf_efficientnet_lite0", "timm/ghostnet_050", "timm/fastvit_t8",
    "timm/vit_tiny_patch16_224", "timm/pit_ti_224", "timm/levit_128s", "timm/xcit_nano_12_p16_224",
    "timm/swin_tiny_patch4_window7_224", "timm/mixer_s32_224", "timm/coatnet_pico_rw_224",
    "torchvision/shufflenet_v2_x0_5", "torchvision/squeezenet1_1", "torchvision/googlenet", "torchvision/swin_t",
    "torchvision/mnasnet0_5",
]  # fmt: skip
NARROW = {"timm/vgg11_bn": {"mlp_ratio": 0.02}}  # where most of its 128 million weights are
SMALL = {"dataset": "demo", "classes": 3, "images_per_class": 10, "epochs": 1, "batch_size": 8, "precision": "fp32"}


@pytest.mark.parametrize("name", NAMES)
def test_twenty_kinds_take_a_step_and_come_back_from_a_checkpoint(name, demo_data, tmp_path):
    recipe = get_recipe(name).changed(**SMALL, model_options=NARROW.get(name, {}))
    images, val_images = load_images(recipe, demo_data)
    state = build_state(recipe, images, val_images, torch.device("cpu"))
    before = [parameter.clone() for parameter in state.model.parameters()]
    state.model.train()
    labels = torch.tensor([0, 1, 2, 0])
    train_step(recipe, state, Batch(torch.randn(4, 3, 64, 64), labels, labels, 1.0), 0.01, 0)
    assert state.weights_are_finite()
    assert any(not torch.equal(*pair) for pair in zip(before, state.model.parameters(), strict=True))
    checkpoint = network_checkpoint(recipe, images, epoch=1, val_acc=0.0, weights="model", model=state.model)
    write_checkpoint(tmp_path / "best_model.pth", checkpoint)
    again, pixels = load_network(read_checkpoint(tmp_path / "best_model.pth")), torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(again(pixels), state.model.eval()(pixels))


@pytest.mark.parametrize("name", NAMES)
def test_every_kind_has_a_map_to_explain(name):
    torch.manual_seed(0)
    model = build_model(name, num_classes=3).eval()
    if "squeezenet" not in name:
        nn.init.normal_(head_of(model).weight)  # some start from zeros, which depend on no place
    heat = grad_cam(model, torch.randn(1, 3, 64, 64), torch.tensor([2]))
    assert heat.ndim == 3
    assert heat.shape[1] == heat.shape[2] >= 2
    assert heat.isfinite().all()


def test_grad_cam_without_a_pool_is_that_of_the_map_before_the_mean():
    torch.manual_seed(0)
    model, images = timm.create_model("resnet10t", num_classes=5).eval(), torch.randn(2, 3, 64, 64)
    weights = model.fc.weight[[1, 4]]
    expected = torch.einsum("bk,bkhw->bhw", weights, model.forward_features(images)).relu() / 4
    torch.testing.assert_close(grad_cam(model, images, torch.tensor([1, 4])), expected.detach())


def test_a_network_is_the_librarys_own():
    torch.manual_seed(3)
    ours = build_model("torchvision/mobilenet_v2", num_classes=7, dropout=0.3)
    torch.manual_seed(3)
    theirs = torchvision.models.mobilenet_v2(num_classes=7, dropout=0.3)
    assert str(ours) == str(theirs)
    assert all(torch.equal(*pair) for pair in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_stochastic_depth_rises_linearly_in_torchvisions_networks():
    model = build_model("torchvision/convnext_tiny", num_classes=2, drop_path=0.17)
    found = [layer.p for layer in model.modules() if isinstance(layer, torchvision.ops.StochasticDepth)]
    assert found == pytest.approx([0.01 * index for index in range(18)])


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("timm/resnet10t", "resnet"),
        ("timm/mobilenetv3_small_050", "efficientnet"),
        ("timm/vit_tiny_patch16_224", "vit"),
        ("timm/convnext_atto", "vit"),
        ("torchvision/vgg11", "vit"),
    ],
)
def test_the_recipe_is_that_of_the_kind_without_what_the_network_does_not_take(name, kind):
    recipe, usual = get_recipe(name), get_recipe(kind)
    assert (recipe.model, recipe.optimizer, recipe.lr) == (name, usual.optimizer, usual.lr)
    build_model(name, num_classes=2, dropout=recipe.dropout, drop_path=recipe.drop_path)


def test_options_are_those_of_the_networks_class():
    model = build_model("timm/vit_tiny_patch16_224", num_classes=2, patch_size=8, depth=1)
    assert (model.patch_embed.patch_size, len(model.blocks)) == ((8, 8), 1)
    model = build_model("timm/tf_efficientnet_lite0", num_classes=2, stem_stride=1)
    assert model.forward_features(torch.zeros(1, 3, 64, 64)).shape[-1] == 4


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("timm/resnet10t", {"checkpoint_path": "evil.pth"}, "has no option checkpoint_path"),
        ("timm/resnet10t", {"pretrained": True}, "has no option pretrained"),
        ("timm/resnet10t", {"features_only": True}, "has no option features_only"),
        ("timm/resnet10t", {"drop_rate": 0.1}, "has no option drop_rate"),
        ("torchvision/convnext_tiny", {"wight": 1}, "has no option wight"),
        ("torchvision/resnet18", {"dropout": 0.1}, r"takes no dropout 0\.1"),
        ("torchvision/alexnet", {"drop_path": 0.1}, r"takes no drop_path 0\.1"),
        ("timm/vit_tiny_patch16_224", {"stem_stride": 1}, "its first layer cuts patches"),
        ("timm/resnet10t", {"stem_stride": 0}, "greater than or equal to 1"),
        ("timm/hf-hub:someone/evil", {}, "timm has no network 'hf-hub:someone/evil'"),
        ("timm/local-dir:evil", {}, "timm has no network"),
        ("torchvision/fasterrcnn_resnet50_fpn", {}, "torchvision has no network"),
        ("keras/resnet", {}, "unknown model 'keras/resnet'"),
    ],
)
def test_what_a_network_has_not_is_refused_in_a_line(name, options, said):
    with pytest.raises(UsageError, match=said):
        build_model(name, num_classes=2, **options)


def test_without_timm_a_line_says_how_to_have_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UsageError, match="model timm/resnet10t needs timm: pip install timm"):
        build_model("timm/resnet10t", num_classes=2)
    assert all(name.startswith("torchvision/") for name in external.list_names())


def test_train_test_predict_and_explain(demo_data, tmp_path):
    options = RunOptions(run_name="timm/resnet10t", data_dir=demo_data, results_dir=tmp_path, device="cpu")
    train(get_recipe("timm/resnet10t").changed(**SMALL, image_size=32), options)
    evaluate_run(options.folder, EvalOptions(device=torch.device("cpu"), data_dir=demo_data))
    predictor = Predictor(options.folder / "best_model.pth", torch.device("cpu"))
    image = next((demo_data / "demo").rglob("*.png"), None) or "docs/grace_hopper.jpg"
    assert len(predictor.classify(image, 3)) == 3
    assert explain(predictor, image).method == "Grad-CAM"


def test_in_a_plan_the_folder_has_no_separators_more():
    plan = Plan(models=("timm/resnet10t",), seeds=1, overrides_for={"timm/resnet10t": {"lr": 0.01}})
    (run,) = plan.runs()
    assert (run.name, run.recipe_name) == ("comparison/timm_resnet10t/seed0", "timm_resnet10t")
    assert (run.recipe.model, run.recipe.lr) == ("timm/resnet10t", 0.01)


def test_the_command_lists_networks_with_what_they_cost(monkeypatch, capsys):
    assert main_of("models", monkeypatch) in (0, None)
    shown = capsys.readouterr().out
    assert "resnet" in shown
    assert "timm/NAME" in shown
    main_of("models", monkeypatch, "torchvision/mobilenet_v?", "--num_classes", "1000", "--image_size", "224")
    (_, line) = capsys.readouterr().out.splitlines()
    name, parameters, flops = line.split()
    assert name == "torchvision/mobilenet_v2"
    assert float(parameters) == pytest.approx(3.50, abs=0.01)  # as torchvision states them
    assert float(flops) == pytest.approx(2 * 0.30, abs=0.02)
    main_of("models", monkeypatch, "torchvision/inception*")
    assert "takes no images of 64x64 pixels" in capsys.readouterr().out
    with pytest.raises(UsageError, match="no network is called 'resnext'"):
        main_of("models", monkeypatch, "resnext")
