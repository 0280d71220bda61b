"""RECIPES: every hyper-parameter of every experiment, by name. The one file to edit.

A recipe states what differs from the defaults in `tinybench/recipe.py`; the command line overrides any field. The
results that came of a recipe stand in the README and, run by run, in `results/<run>/history.json`.
"""

from dataclasses import replace

from tinybench.recipe import Recipe

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
    channels_last=True,
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
    # No convolutions to lean on: AdamW, a long warmup, strong mixing, and decay of another scale (AdamW multiplies it
    # by the learning rate).
    "vit": Recipe(
        model="vit",
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
    ),
}
