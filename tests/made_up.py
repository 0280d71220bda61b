"""Made-up results of a plan: the files that runs leave, with numbers that look like training, and no training."""

from pathlib import Path

import numpy as np

from tinybench.metrics import confusion_matrix, ece, nll, per_class_accuracy, topk_accuracy
from tinybench.runtime.files import write_json

# Accuracy in percent, parameters, operations, seconds an epoch, MiB.
NETWORKS = {
    "alexnet": (45, 15.2e6, 0.4e9, 22, 900),
    "vgg": (59, 14.8e6, 2.5e9, 40, 1800),
    "resnet": (63, 11.3e6, 4.5e9, 55, 2100),
    "densenet": (61, 7.2e6, 4.4e9, 140, 5200),
    "efficientnet": (57, 4.3e6, 0.8e9, 70, 3900),
    "vit": (49, 21.6e6, 2.8e9, 90, 2600),
}
FAMILIES = {
    "gaussian_noise": "noise", "shot_noise": "noise", "defocus_blur": "blur", "motion_blur": "blur", "fog": "weather",
    "snow": "weather", "contrast": "digital", "jpeg_compression": "digital",
}  # fmt: skip


def make_plan(results_dir: Path, *, plan: str = "plan", models=tuple(NETWORKS), seeds: int = 2, **options) -> None:
    for model in models:
        make_search(results_dir / plan, model)
        for seed in range(seeds):
            make_run(results_dir / plan / model / f"seed{seed}", model, seed, **options)


def make_search(folder: Path, recipe: str, trials: int = 20) -> None:
    """The search for a recipe of the plan in that folder: every third trial was stopped early."""
    rng = np.random.default_rng([*recipe.encode()])
    drawn = [
        {
            "number": number, "state": "pruned" if number % 3 == 2 else "complete", "start": number == 0,
            "val_acc": float(rng.uniform(10, 60)), "epochs": 4 if number % 3 == 2 else 12, "seconds": 60.0,
            "values": {"lr": float(10 ** rng.uniform(-4, -1)), "dropout": float(rng.uniform(0, 0.5)),
                       "augment": ("basic", "standard", "trivialaugment", "randaugment")[number % 4]},
        }
        for number in range(trials)
    ]  # fmt: skip
    best = max((trial for trial in drawn if trial["state"] == "complete"), key=lambda trial: trial["val_acc"])
    write_json(
        folder / f"search_{recipe}" / "search.json",
        {
            "name": f"{folder.name}/search_{recipe}", "recipe": {"model": "resnet", "epochs": 12}, "pruner": "median",
            "space": {"lr": "1e-4..1e-1:log", "dropout": "0..0.5", "augment": "basic,standard,…"}, "trials": drawn,
            "best": best["number"], "importance": {"lr": 0.6, "dropout": 0.1, "augment": 0.3},
        },
    )  # fmt: skip


def make_run(
    folder: Path, model: str, seed: int = 0, *, epochs=12, classes=10, per_class=20, dataset="demo", robust=True
) -> None:
    accuracy, parameters, flops, seconds, memory = NETWORKS.get(model, NETWORKS["resnet"])
    rng = np.random.default_rng([seed, *model.encode()])
    epoch = np.arange(1, epochs + 1)
    risen = 1 - np.exp(-4 * epoch / epochs)
    val_acc = accuracy * risen + rng.normal(scale=0.6, size=epochs)
    train_acc = 1.2 * accuracy * risen
    peak = 0.001 if model == "vit" else 0.1
    folder.mkdir(parents=True)
    environment = {"device": "cpu", "device_name": "a processor"}
    write_json(
        folder / "history.json",
        {
            "train_loss": (4 - 0.035 * train_acc).tolist(), "train_acc": train_acc.tolist(),
            "val_loss": (4 - 0.04 * val_acc).tolist(), "val_acc": val_acc.tolist(),
            "val_top5_acc": np.minimum(99, 1.35 * val_acc).tolist(),
            "lr": (peak * (1 + np.cos(np.pi * epoch / epochs)) / 2 + 1e-6).tolist(),
            "epoch_seconds": [float(seconds)] * epochs, "images_per_second": [8000 / seconds] * epochs,
            "config": {
                "model": model, "epochs": epochs, "image_size": 64, "seed": seed, "precision": "fp32",
                "augment": "standard", "mixup_cutmix_alpha": 0.4, "label_smoothing": 0.1, "scheduler": "cosine",
                "optimizer": "adamw" if model == "vit" else "sgd", "dataset": dataset,
            },
            "environment": environment, "best_epoch": int(val_acc.argmax()) + 1, "parameters": int(parameters),
            "dataset": {"name": dataset, "classes": classes, "train_images": 40 * classes, "fingerprint": "train"},
            "peak_memory_mb": float(memory), "total_training_time_seconds": float(seconds * epochs),
        },
    )  # fmt: skip
    costs = {"parameters": int(parameters), "flops": int(flops)}
    inference = {"latency_ms": 5.0, "images_per_second": 100.0, "batch_size": 128}
    write_json(folder / "measurements.json", {**costs, "inference": inference})
    _test(folder, model, accuracy, rng, classes, per_class, dataset, epoch=int(val_acc.argmax()) + 1)
    if robust:
        _disturb(folder, accuracy, rng)


def _test(folder, model, accuracy, rng, classes, per_class, dataset, epoch):
    import torch

    labels = torch.arange(classes).repeat_interleave(per_class)
    # What makes an image or a class hard is the same for all networks.
    shared = np.random.default_rng(0)
    images, hard = shared.normal(size=(len(labels), classes)), shared.normal(scale=0.7, size=classes)
    margin = (accuracy - 20) / 16 + hard[labels.numpy()]
    scores = 0.8 * images + rng.normal(size=images.shape)
    scores[np.arange(len(labels)), labels.numpy()] += margin
    neighbour = labels.numpy() ^ 1  # classes come in pairs that look alike
    scores[np.arange(len(labels)), np.minimum(neighbour, classes - 1)] += 0.9
    logits = torch.from_numpy((1.6 * scores).astype(np.float16)).float()
    confusion = confusion_matrix(logits, labels)
    ids = [f"n{90_000_000 + label:08d}" for label in range(classes)]
    write_json(
        folder / "test_results.json",
        {
            "test_loss": nll(logits, labels), "test_acc": topk_accuracy(logits, labels, 1),
            "test_top5_acc": topk_accuracy(logits, labels, 5), "nll": nll(logits, labels), "ece": ece(logits, labels),
            "val_acc": float(accuracy), "epoch": epoch, "weights": "best", "model": model,
            "dataset": {"name": dataset, "fingerprint": "test", "classes": classes, "test_images": len(labels)},
            "class_names": [f"thing {label}" for label in range(classes)],
            "per_class_accuracy": dict(zip(ids, per_class_accuracy(confusion).tolist(), strict=True)),
            "confusion_matrix": confusion.tolist(),
        },
    )  # fmt: skip
    np.savez_compressed(
        folder / "predictions.npz", logits=logits.numpy().astype(np.float16), labels=labels.numpy().astype(np.int16),
        class_ids=np.array(ids),
    )  # fmt: skip


def _disturb(folder, accuracy, rng):
    severities = np.arange(1, 6)
    corruptions = {
        name: {"family": family, "accuracy": (accuracy * (1 - severities * rng.uniform(0.08, 0.17))).tolist()}
        for name, family in FAMILIES.items()
    }
    attacks = {
        name: {str(radius): accuracy * float(np.exp(-radius / scale)) for radius in (1, 2, 4, 8)}
        for name, scale in (("fgsm", 3.0), ("pgd", 1.5))
    }
    measured = {"clean_acc": float(accuracy), "corruptions": corruptions, "attacks": attacks}
    same = {"dataset": {"name": "demo", "test_images": 200}, "settings": {"images_per_class": 0, "seed": 0}}
    write_json(folder / "robustness.json", measured | same)
