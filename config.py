"""RECIPES, AUGMENTATIONS and SEARCHES: every hyper-parameter of every experiment, by name. The one file to edit.

A recipe states what differs from the defaults in `tinybench/recipe.py`; the command line overrides any field. The
results that came of a recipe stand in `docs/results.md` and, run by run, in `results/<run>/history.json`.
"""

from dataclasses import replace

from tinybench.recipe import Recipe

# How training images are varied; the operations are those of tinybench/data/augment/operations.py.
AUGMENTATIONS = {
    "standard": "shift(4)|flip|rotate(10)|jitter(0.2,0.2,0.2,0.1)|erase(0.5)",
    "basic": "shift(4)|flip",
    "cutout": "translate(0.0625)|flip|rotate(15)|scale(0.1)|cutout(16)",
    "trivialaugment": "shift(4)|flip|trivialaugment",
    "randaugment": "shift(4)|flip|randaugment(2,9)",
    "none": "none",
}

# What src/search.py chooses from: LOW..HIGH, with :log where factors count, or values. x0.1 is a tenth of what the
# recipe has.
SEARCHES = {
    "usual": {
        "lr": "x0.1..x10:log",
        "weight_decay": "x0.1..x10:log",
        "augment": "basic,standard,trivialaugment,randaugment",
        "mixup_cutmix_alpha": "0,0.2,0.4,0.8",
    },
    "optimizer": {
        "optimizer": "sgd,adamw,muon",
        "lr": "1e-4..1e-1:log",
        "weight_decay": "1e-5..1e-1:log",
        "scheduler": "cosine,linear",
    },
    "regularization": {
        "weight_decay": "x0.1..x10:log",
        "label_smoothing": "0..0.2",
        "dropout": "0..0.5",
        "mixup_cutmix_alpha": "0..1",
    },
}

# What the convolutional networks share: SGD with Nesterov's momentum, a warmup and a cosine, and ten times the weight
# decay of the ResNet paper: 80,000 small images are soon learned by heart.
CNN = Recipe(
    epochs=80,
    batch_size=128,
    optimizer="sgd",
    lr=0.1,
    nesterov=True,
    weight_decay=1e-3,
    warmup_epochs=5,
    label_smoothing=0.1,
    augment="standard",
    mixup_cutmix_alpha=0.4,
)

# Few convolutions to lean on, or none: AdamW, a long warmup, strong mixing, and decay of another scale (AdamW
# multiplies it by the learning rate).
TRANSFORMER = Recipe(
    epochs=100,
    batch_size=256,
    optimizer="adamw",
    lr=1e-3,
    weight_decay=0.05,
    warmup_epochs=10,
    clip_grad_norm=1.0,
    label_smoothing=0.1,
    mixup_cutmix_alpha=0.8,
    drop_path=0.1,
    ema_decay=0.999,
)

# ResNet-18 as published for ImageNet.
STOCK = Recipe(
    model="resnet",
    model_options={"stem": "7x7", "max_pool": True},
    epochs=25,
    batch_size=100,
    lr=1e-3,
    weight_decay=0.0,
    label_smoothing=0.0,
    scheduler="step",
    step_epochs=7,
    augment="basic",
)

# Its weights as trained on ImageNet, which expect pixels normalised as there.
IMAGENET = replace(STOCK, pretrained="imagenet", normalize="imagenet")

# A linear classifier of the pixels.
SVM = Recipe(
    model="svm",
    epochs=25,
    batch_size=1000,
    loss="hinge",
    margin=20.0,
    optimizer="adam",
    lr=1e-3,
    weight_decay=0.0,
    label_smoothing=0.0,
    augment="none",
)

# The network of 2014 with a smaller first kernel, which leaves 64x64 pixels the published 6x6 before the dense layers.
ALEXNET = Recipe(
    model="alexnet_stock",
    model_options={"stem": "8x8"},
    dropout=0.5,
    epochs=25,
    batch_size=1000,
    accumulate_steps=4,
    optimizer="adam",
    lr=1e-3,
    weight_decay=0.0,
    label_smoothing=0.0,
    augment="basic",
)

# What is learned soonest: every direction of a weight matrix at the same speed, one cycle, and an average at the end.
SPEEDRUN = Recipe(
    model="speednet",
    optimizer="muon",
    nesterov=True,
    weight_decay=0.05,
    scheduler="onecycle",
    warmup_epochs=1,
    label_smoothing=0.1,
    augment="basic",
    ema_decay=0.99,
)

RECIPES: dict[str, Recipe] = {
    # Dense layers overfit: dropout as published. They have no norms either: 0.05 without a warmup diverged on the demo.
    "alexnet": replace(CNN, model="alexnet", epochs=100, lr=0.02, weight_decay=5e-4, dropout=0.5, clip_grad_norm=1.0),
    "vgg": replace(CNN, model="vgg", lr=0.05, dropout=0.3),
    "resnet": replace(CNN, model="resnet", dropout=0.2),
    "densenet": replace(CNN, model="densenet", lr=0.05, batch_size=64, weight_decay=5e-4),
    # Depthwise kernels have few weights each: less decay, and regularised by stochastic depth and an average instead.
    "efficientnet": replace(
        CNN, model="efficientnet", epochs=100, weight_decay=2e-4, dropout=0.2, drop_path=0.2, ema_decay=0.999
    ),
    "vit": replace(TRANSFORMER, model="vit"),
    # Published with a recipe like the ViT's: AdamW, MixUp and CutMix, a drop_path of 0.2 (Swin-T) and 0.1 (ConvNeXt-T).
    "swin": replace(TRANSFORMER, model="swin"),
    "convnext": replace(TRANSFORMER, model="convnext"),
    # Depthwise kernels as in EfficientNet, but less than half its weights: no branch is dropped, as published.
    "mobilenet": replace(CNN, model="mobilenet", epochs=100, weight_decay=2e-4, dropout=0.2, ema_decay=0.999),
    # ---- set-ups that others published for Tiny ImageNet; their numbers are in results/published.csv
    # 3072 images a step, as on their A100, in pieces that fit elsewhere too.
    "resnet18_adamw": Recipe(
        model="resnet",
        epochs=30,
        batch_size=3072,
        accumulate_steps=12,
        optimizer="adamw",
        lr=1e-3,
        weight_decay=0.05,
        label_smoothing=0.1,
        augment="cutout",
    ),
    "resnet34": Recipe(
        model="resnet",
        model_options={"depth": 34},
        dropout=0.5,
        epochs=100,
        batch_size=64,
        lr=0.01,
        weight_decay=4e-4,
        label_smoothing=0.0,
        augment="basic",
    ),
    "resnet18_stock": STOCK,
    "resnet18_imagenet_64": IMAGENET,
    # The images grow on the device, by bicubic interpolation.
    "resnet18_imagenet_224": replace(IMAGENET, image_size=224),
    # The second command of a pair; the first is python src/train.py --recipe resnet18_imagenet_224
    "resnet18_224_to_64": replace(IMAGENET, pretrained="results/resnet18_imagenet_224/best_model.pth"),
    "resnet18_224_to_64_stem": replace(
        IMAGENET,
        pretrained="results/resnet18_imagenet_224/best_model.pth",
        model_options={"stem": "3x3", "max_pool": False},
    ),
    # At 64x64 it learns its 12,288 pixels by heart: fewer of them, and a strong decay, answer better.
    "svm": replace(SVM, image_size=32, epochs=8, optimizer="adamw", lr=5e-3, weight_decay=1.0, ema_decay=0.999),
    "alexnet_scratch": ALEXNET,
    # Fine-tuned at the size that it was trained at on ImageNet.
    "alexnet_imagenet": replace(
        ALEXNET, pretrained="imagenet", normalize="imagenet", model_options={"stem": "11x11"}, image_size=224, epochs=15
    ),
    # The shortest time to a good accuracy: benchmarks/time_to_accuracy.py
    "speedrun": replace(SPEEDRUN, epochs=16, batch_size=256, lr=2e-3, warmup_epochs=4, image_size_schedule="32:48:64"),
    # The same on a few thousand images and a CPU: a narrower network, small images, small batches with longer steps.
    "speedrun_small": replace(
        SPEEDRUN, model_options={"width": 32}, image_size=32, epochs=8, batch_size=64, lr=1e-2, warmup_epochs=2
    ),
    "mnist_svm": replace(SVM, dataset="mnist", batch_size=200),
    "mnist_alexnet": replace(ALEXNET, dataset="mnist", batch_size=200, accumulate_steps=1),
}
