"""Every network of the registry: counts, shapes, gradients, options, and an independent implementation's logits."""

import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from tinybench.configuration import load_recipes
from tinybench.errors import UsageError
from tinybench.models import MODELS, build_model, list_models
from tinybench.models.efficientnet import DepthwiseConv2d
from tinybench.models.fit import check_fit
from tinybench.models.layers import AdaptiveAvgPool2d, DropPath, pool_by_products
from tinybench.models.vit import Attention, ShiftedPatches

SIX = ["alexnet", "vgg", "resnet", "densenet", "efficientnet", "vit"]
# With 200 classes at 64x64.
PARAMETERS = {
    "alexnet": 15_410_696,
    "vgg": 14_821_512,
    "resnet": 11_271_432,
    "densenet": 7_151_048,
    "efficientnet": 4_263_748,
    "vit": 21_470_792,
    "swin": 12_340_644,
    "convnext": 8_632_968,
    "mobilenet": 1_722_856,
    "svm": 2_457_800,
    "alexnet_stock": 57_823_240,
    # Convolutions of 3, 64, 128, 128, 256, 256, 512, 512 channels with their norms, and the head.
    "speednet": 9 * (3 * 64 + 64 * 128 + 128 * 128 + 128 * 256 + 256 * 256 + 256 * 512 + 512 * 512)
    + 2 * (64 + 2 * 128 + 2 * 256 + 2 * 512)
    + 513 * 200,
}


def build(name, **options):
    torch.manual_seed(0)
    if name == "alexnet_stock" and options.get("image_size", 64) < 63:
        options = {"stem": "8x8", **options}
    return build_model(name, **{"num_classes": 200, **options})


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


def test_the_registry_is_complete():
    assert list_models() == [
        "alexnet",
        "vgg",
        "resnet",
        "densenet",
        "efficientnet",
        "vit",
        "swin",
        "convnext",
        "mobilenet",
        "svm",
        "alexnet_stock",
        "speednet",
    ]
    recipes = load_recipes()
    for name, info in MODELS.items():
        assert recipes[info.recipe].model == name
        assert 1999 <= info.year <= 2026
        assert "https://" in info.paper


@pytest.mark.parametrize("name", list_models())
def test_parameter_count(name):
    assert count(build(name)) == PARAMETERS[name]


def test_a_memory_efficient_densenet_is_the_same_network():
    """Same logits, gradients and running statistics; a tenth of what backward needs is kept."""
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    kept, results = [], []
    for memory_efficient in (False, True):
        torch.manual_seed(0)
        network = build("densenet", memory_efficient=memory_efficient)
        storages = {}

        def keep(tensor, storages=storages):
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        weights = sum(parameter.nbytes for parameter in network.parameters())
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            logits = network(images)
            logits.square().sum().backward()
        gradients = [parameter.grad for parameter in network.parameters()]
        kept.append(sum(storages.values()) - weights)
        results.append((logits, *gradients, *network.buffers()))
    for plain, efficient in zip(*results, strict=True):
        torch.testing.assert_close(plain, efficient, rtol=0, atol=0)
    assert kept[1] < 0.15 * kept[0]


@pytest.mark.parametrize(
    ("name", "options", "parameters"),
    [  # as torchvision states them
        ("swin", {"size": "tiny", "patch_size": 4, "window": 7}, 28_288_354),
        ("convnext", {"size": "tiny", "patch_size": 4}, 28_589_128),
        ("mobilenet", {}, 2_542_856),
    ],
)
def test_the_published_sizes(name, options, parameters):
    assert count(build(name, num_classes=1000, **options)) == parameters


def test_thin_densenet_has_two_million_weights():
    assert count(build("densenet", growth_rate=16)) == pytest.approx(2e6, rel=0.1)


@pytest.mark.parametrize("image_size", [32, 64, 96])
@pytest.mark.parametrize("name", list_models())
def test_output_shape(name, image_size):
    model = build(name, image_size=image_size, num_classes=7).eval()
    with torch.inference_mode():
        assert model(torch.randn(2, 3, image_size, image_size)).shape == (2, 7)


@pytest.mark.parametrize(("stem", "smallest"), [("11x11", 63), ("8x8", 20)])
def test_the_smallest_image_of_the_stock_alexnet(stem, smallest):
    model = build("alexnet_stock", image_size=smallest, stem=stem).eval()
    assert model(torch.randn(1, 3, smallest, smallest)).shape == (1, 200)
    check_fit(model, "image_size", num_classes=200, image_size=smallest, images=2)
    with pytest.raises(UsageError, match=rf"takes images of at least {smallest}x{smallest} pixels"):
        check_fit(model, "image_size", num_classes=200, image_size=smallest - 1, images=2)


@pytest.mark.parametrize("name", list_models())
def test_every_parameter_gets_a_gradient_even_from_one_image(name):
    model = build(name, num_classes=5, image_size=32).train()
    with torch.no_grad():  # norms that start at zero would hide what lies behind them
        for parameter in model.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    nn.functional.cross_entropy(model(torch.randn(1, 3, 32, 32)), torch.tensor([3])).backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all(), parameter_name
        # In a batch of one, a softmax over one key or a ReLU may be flat, but not for a whole tensor.
        assert parameter.grad.abs().sum() > 0, parameter_name


@pytest.mark.parametrize("name", list_models())
@torch.inference_mode()
def test_dropout_acts_in_training_only(name):
    model = build(name, dropout=0.5, image_size=32)
    x = torch.randn(4, 3, 32, 32)
    model.eval()
    assert torch.equal(model(x), model(x))
    for module in model.modules():  # everything in training mode but the BatchNorms, whose statistics would change too
        module.training = isinstance(module, nn.Dropout)
    assert not torch.equal(model(x), model(x))


@pytest.mark.parametrize("name", ["efficientnet", "vit", "swin", "convnext"])
def test_drop_path_rises_linearly_to_its_value(name):
    rates = [module.probability for module in build(name, drop_path=0.3).modules() if isinstance(module, DropPath)]
    assert rates[0] == 0
    assert rates == sorted(rates)
    assert rates[-1] == pytest.approx(0.3)


def test_drop_path_keeps_the_expectation_and_drops_whole_images():
    torch.manual_seed(0)
    x = torch.ones(10_000, 3, 2)
    out = DropPath(0.25).train()(x)
    assert out.unique().tolist() == [0.0, pytest.approx(4 / 3)]
    assert torch.equal(out.amin((1, 2)), out.amax((1, 2)))
    assert out.mean().item() == pytest.approx(1, abs=0.02)
    assert torch.equal(DropPath(0.25).eval()(x), x)


def depthwise_of_timm():
    model = build("timm/tf_efficientnet_lite0", num_classes=2)
    convolutions = (module for module in model.modules() if isinstance(module, nn.Conv2d) and module.groups > 1)
    return next(conv for conv in convolutions if conv.kernel_size == (5, 5) and conv.stride == (2, 2))


@pytest.mark.parametrize("make", [lambda: DepthwiseConv2d(4, kernel=5, stride=2), depthwise_of_timm])
def test_a_depthwise_convolution_trains_in_fp32_under_autocast(make):
    torch.manual_seed(0)
    conv = make()
    images = torch.randn(2, conv.in_channels, 8, 8).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = conv(images)
    (gradient,) = torch.autograd.grad(mixed.sum(), conv.weight)
    exact = conv(images.float())
    assert torch.equal(mixed, exact.bfloat16())
    assert torch.equal(gradient, *torch.autograd.grad(exact.sum(), conv.weight))


def test_unknown_names_and_options_list_the_known():
    with pytest.raises(UsageError, match="unknown model 'lenet'; known: alexnet, vgg"):
        build("lenet")
    with pytest.raises(UsageError, match="resnet has no option patch_size; it has: depth, drop_path, dropout"):
        build("resnet", patch_size=8)


@pytest.mark.parametrize(
    ("name", "options", "named"),
    [
        ("vit", {"patch_size": 7}, ["patch_size 7", "image_size 64"]),
        ("vit", {"num_heads": 5}, ["num_heads 5", "dim 384"]),
        ("resnet", {"depth": 50}, ["depth", "18, 34"]),
        ("resnet", {"stem": "large"}, ["stem", "7x7"]),
        ("efficientnet", {"strides": "none"}, ["strides", "imagenet"]),
        ("densenet", {"growth_rate": "many"}, ["densenet"]),
        ("swin", {"size": "huge"}, ["size", "pico, tiny"]),
        ("convnext", {"size": "huge"}, ["size", "pico, tiny"]),
        ("mobilenet", {"strides": "none"}, ["strides", "imagenet"]),
    ],
)
def test_wrong_options_are_one_line(name, options, named):
    with pytest.raises(UsageError) as caught:
        build(name, **options)
    assert all(word in str(caught.value) for word in named)
    assert "\n" not in str(caught.value)


# ---- the same weights in an independent implementation


def torchvision_alexnet():
    """torchvision's AlexNet, its local response normalisation long gone, with our kernels, norms and head."""
    reference = torchvision.models.alexnet(num_classes=200, dropout=0.0)
    widths, layers = [3, 64, 192, 384, 256, 256], []
    for index in range(5):
        convolution = nn.Conv2d(widths[index], widths[index + 1], 3, 2 if index == 0 else 1, 1, bias=False)
        layers += [convolution, nn.BatchNorm2d(widths[index + 1]), nn.ReLU()]
        if index in (1, 4):
            layers.append(nn.MaxPool2d(3, 2))
    reference.features = nn.Sequential(*layers)
    reference.avgpool = nn.AdaptiveAvgPool2d(7)
    reference.classifier[1] = nn.Linear(256 * 49, 960)
    reference.classifier[4] = nn.Linear(960, 960)
    reference.classifier[6] = nn.Linear(960, 200)
    return reference


def torchvision_vgg():
    reference = torchvision.models.vgg16_bn(num_classes=200)
    reference.avgpool, reference.classifier = nn.AdaptiveAvgPool2d(1), nn.Linear(512, 200)
    for module in reference.features:
        module.bias = None if isinstance(module, nn.Conv2d) else getattr(module, "bias", None)
    return reference


def torchvision_resnet(depth=18, small=True):
    reference = getattr(torchvision.models, f"resnet{depth}")(num_classes=200)
    if small:
        reference.conv1, reference.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    return reference


def without_pool(reference):
    reference.maxpool = nn.Identity()
    return reference


def torchvision_densenet(growth_rate=32):
    reference = torchvision.models.DenseNet(growth_rate, (6, 12, 24, 16), 2 * growth_rate, num_classes=200)
    reference.features.conv0 = nn.Conv2d(3, 2 * growth_rate, 3, padding=1, bias=False)
    reference.features.norm0 = reference.features.relu0 = reference.features.pool0 = nn.Identity()
    return reference


def torchvision_efficientnet(small=True):
    reference = torchvision.models.efficientnet_b0(num_classes=200, dropout=0.0)
    if small:
        reference.features[0][0].stride = (1, 1)
        reference.features[2][0].block[1][0].stride = (1, 1)
    return reference


def torchvision_swin():
    reference = torchvision.models.SwinTransformer(
        [2, 2], 64, [2, 2, 6, 2], [2, 4, 8, 16], [4, 4], stochastic_depth_prob=0.0, num_classes=200
    )
    return norm_before_reduction(reference)


def norm_before_reduction(reference):
    """torchvision's Swin, whose layers are registered in the order in which they are used."""
    for module in reference.modules():
        if isinstance(module, torchvision.models.swin_transformer.PatchMerging):
            reduction = module.reduction
            del module.reduction
            module.reduction = reduction
    return reference


def timm_convnext():
    reference = timm.models.ConvNeXt(num_classes=200, depths=(2, 2, 6, 2), dims=(64, 128, 256, 512))
    reference.stem[0] = nn.Conv2d(3, 64, 2, stride=2)
    return reference


def torchvision_mobilenet():
    reference = torchvision.models.mobilenet_v3_small(num_classes=200)
    reference.features[0][0].stride = reference.features[1].block[0][0].stride = (1, 1)
    reference.features[1].use_res_connect = True
    return reference


def timm_vit():
    return timm.create_model("vit_small_patch16_224", img_size=64, patch_size=8, num_classes=200)


def randomise(model):
    """Statistics and scales as a trained network might have them, so that nothing hides behind ones and zeros."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith("running_var"):
                tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
            elif name.endswith("running_mean") or tensor.ndim == 1:
                tensor.add_(0.1 * torch.randn(tensor.shape, generator=generator))


def move(model, reference):
    """Copy the weights over, tensor by tensor in the order of registration."""
    pairs = zip(ordered(model), ordered(reference), strict=True)
    with torch.no_grad():
        for (name, tensor), (reference_name, target) in pairs:
            assert tensor.numel() == target.numel(), f"{name} and {reference_name}"
            target.copy_(tensor.view_as(target))


ORDER = {"position_embedding": 0, "pos_embed": 0, "class_token": 1, "cls_token": 1, "patch_embed": 2}


def ordered(model):
    """(name, tensor) of the state, the tokens of a ViT first."""
    state = [
        (name, tensor)
        for name, tensor in model.state_dict().items()
        if "num_batches" not in name and "relative_position_index" not in name
    ]
    return sorted(state, key=lambda item: next((ORDER[key] for key in ORDER if item[0].startswith(key)), 3))


@pytest.mark.parametrize(
    ("name", "options", "reference"),
    [
        ("alexnet", {}, torchvision_alexnet),
        ("vgg", {}, torchvision_vgg),
        ("resnet", {}, torchvision_resnet),
        ("resnet", {"depth": 34}, lambda: torchvision_resnet(34)),
        ("resnet", {"stem": "7x7", "max_pool": True}, lambda: torchvision_resnet(small=False)),
        ("resnet", {"stem": "7x7"}, lambda: without_pool(torchvision_resnet(small=False))),
        ("alexnet_stock", {}, lambda: torchvision.models.alexnet(num_classes=200)),
        ("densenet", {}, torchvision_densenet),
        ("densenet", {"growth_rate": 16}, lambda: torchvision_densenet(16)),
        ("efficientnet", {}, torchvision_efficientnet),
        ("efficientnet", {"strides": "imagenet"}, lambda: torchvision_efficientnet(small=False)),
        ("vit", {}, timm_vit),
        ("swin", {}, torchvision_swin),
        ("swin", {"image_size": 48}, torchvision_swin),  # maps of 6 and 3, which windows of 4 do not tile
        ("swin", {"image_size": 32}, torchvision_swin),  # one window on the third stage's map, half of one on the last
        (
            "swin",
            {"size": "tiny", "patch_size": 4, "window": 7},
            lambda: norm_before_reduction(torchvision.models.swin_t(num_classes=200)),
        ),
        ("convnext", {}, timm_convnext),
        ("convnext", {"size": "tiny", "patch_size": 4}, lambda: torchvision.models.convnext_tiny(num_classes=200)),
        ("mobilenet", {}, torchvision_mobilenet),
        ("mobilenet", {"strides": "imagenet"}, lambda: torchvision.models.mobilenet_v3_small(num_classes=200)),
    ],
)
def test_the_same_weights_give_the_same_logits(name, options, reference):
    model, other = build(name, **options).eval(), reference().eval()
    randomise(model)
    move(model, other)
    x = torch.randn(2, 3, *2 * [options.get("image_size", 64)])
    with torch.inference_mode():
        ours, theirs = model(x), other(x)
    assert theirs.std() > 1e-4  # something comes through
    assert (ours - theirs).abs().max() <= 1e-4 * theirs.abs().max()


def test_shifted_patches_by_hand():
    patches = ShiftedPatches(patch_size=4, dim=75 * 16 // 5)
    images = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        patches.norm = torch.nn.Identity()
        patches.project = torch.nn.Identity()
        seen = patches(images)  # (2, 240, 2, 2): 15 channels of 4x4 pixels
    seen = seen.unflatten(1, (15, 4, 4))
    assert torch.equal(seen[:, :3, :, :, 1, 0], images[:, :, 4:, :4])  # the patch itself
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2))
    for copy, (row, column) in enumerate([(0, 0), (0, 4), (4, 0), (4, 4)], start=1):
        expected = padded[:, :, 4 + row : 8 + row, column : 4 + column]
        assert torch.equal(seen[:, 3 * copy : 3 * copy + 3, :, :, 1, 0], expected)


def test_local_attention_leaves_out_itself_and_learns_how_sharp():
    torch.manual_seed(0)
    attention = Attention(8, 2, locality=True)
    torch.nn.init.constant_(attention.temperature, 0.5)
    x = torch.randn(1, 5, 8)
    q, k, v = attention.qkv(x).reshape(1, 5, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
    scores = q @ k.transpose(2, 3) / (0.5 * 4**0.5)
    scores = scores.masked_fill(torch.eye(5, dtype=torch.bool), float("-inf"))
    expected = attention.project((scores.softmax(3) @ v).transpose(1, 2).reshape(1, 5, 8))
    torch.testing.assert_close(attention(x), expected)
    attention(x).sum().backward()
    assert attention.temperature.grad.abs().min() > 0


def test_a_vit_for_small_data_has_the_published_size():
    plain, small = (build_model("vit", num_classes=200, shifted_patches=on, locality=on).eval() for on in (False, True))
    count = [sum(p.numel() for p in model.parameters()) for model in (plain, small)]
    width = 5 * 3 * 8 * 8
    assert count[1] - count[0] == (width - 3 * 8 * 8) * 384 + 2 * width + 12 * 6
    assert small(torch.randn(2, 3, 64, 64)).shape == (2, 200)


def test_resnet_drops_whole_blocks_of_single_images():
    model = build_model("resnet", num_classes=2, drop_path=0.5)
    rates = [module.drop_path.probability for stage in model.stages for module in stage]
    assert rates == pytest.approx([0.5 * block / 7 for block in range(8)])
    block = model.stages[0][1].train()
    block.drop_path.probability = 0.999999
    x = torch.rand(3, 64, 4, 4)
    torch.testing.assert_close(block(x), x)  # nothing but the shortcut is left


@pytest.mark.parametrize("side", [6, 7])
def test_the_pool_for_mps_gives_what_torch_gives(side):
    """At every size, values and gradients, also after a first use in inference mode; on the CPU it is torch's own."""
    for height in range(1, 17):
        images = torch.randn(2, 3, height, 17 - height, generator=torch.Generator().manual_seed(height))
        with torch.inference_mode():
            pool_by_products(images, side)
        results = []
        for pool in (nn.AdaptiveAvgPool2d(side), lambda x: pool_by_products(x, side)):
            leaf = images.clone().requires_grad_()
            out = pool(leaf)
            out.square().sum().backward()
            results.append((out, leaf.grad))
        torch.testing.assert_close(*results)
    torch.testing.assert_close(AdaptiveAvgPool2d(side)(images), nn.AdaptiveAvgPool2d(side)(images), rtol=0, atol=0)


def test_positions_of_a_vit_between_those_that_were_learned():
    vit = build_model("vit", num_classes=10, dim=12, depth=1, num_heads=2).eval()
    learned = vit.position_embedding
    assert vit.positions(64) is learned
    grid = learned[:, 1:].view(1, 8, 8, 12).permute(0, 3, 1, 2)
    for side in (4, 6, 12):
        expected = F.interpolate(grid, (side, side), mode="bilinear").flatten(2).transpose(1, 2)
        torch.testing.assert_close(vit.positions(side**2), torch.cat((learned[:, :1], expected), dim=1))
    vit(torch.rand(2, 3, 32, 32)).sum().backward()
    assert learned.grad.abs().min() > 0  # every weight has its part in a smaller grid
    with pytest.raises(ValueError, match="patches of 8 pixels"):
        vit(torch.rand(2, 3, 36, 36))
