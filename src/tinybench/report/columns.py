"""The columns of the leaderboard: what each is called, how it is shown, and what it means."""

from typing import NamedTuple

from tinybench.metrics import METRICS


class Column(NamedTuple):
    """A column of the leaderboard.

    Attributes:
        best: which end is better, high or low; empty for text.
        format: a function of the page's script, with its digits.
        views: where it is shown beside the view of all columns.
    """

    title: str
    unit: str
    best: str
    format: str
    views: str
    about: str


# By the columns of model_comparison.csv, beside those of METRICS.
ACCURACY = {
    "p_best": Column(
        "Against the best",
        "p, Holm",
        "high",
        "p",
        "accuracy",
        "p of the paired test that a model is as accurate as the most accurate one, on the same test images, corrected "
        "for all pairs of models. Below 0.05 the difference is significant; above, it may be chance.",
    ),
    "tta_acc_mean": Column(
        "Top-1, flips",
        "%",
        "high",
        "fixed2",
        "accuracy",
        "Top-1 where the probabilities of each test image and of its mirror image are averaged.",
    ),
    "val_acc": Column(
        "Validation",
        "top-1, %",
        "high",
        "fixed2",
        "accuracy",
        "Top-1 on the held-out training images at the best epoch. The epoch was chosen on it, so it flatters a little.",
    ),
}
OTHERS = {
    "seeds": Column(
        "Seeds",
        "",
        "high",
        "fixed0",
        "accuracy cost",
        "Trainings from different random numbers that the means are taken over.",
    ),
    "epochs": Column("Epochs", "", "low", "fixed0", "accuracy cost", "Passes over the training images."),
    "image_size": Column(
        "Image", "pixels a side", "low", "fixed0", "cost", "Size in the test; training may use others."
    ),
    "search_trials": Column(
        "Search",
        "trials",
        "low",
        "fixed0",
        "accuracy cost",
        "Trials that the recipe was chosen by, on validation images; empty where it was written by hand.",
    ),
    "best_weights": Column(
        "Weights",
        "",
        "",
        "text",
        "accuracy",
        "Whether the best epochs' weights, which were tested, are those that training left or their moving average; of "
        "some seeds perhaps one, of some the other.",
    ),
    "parameters": Column("Parameters", "", "low", "large", "cost", "Trained numbers in the network."),
    "flops": Column("FLOPs", "an image", "low", "large", "cost", "Floating-point operations for one image, forward."),
    "training_seconds_mean": Column(
        "Training", "time", "low", "duration", "cost", "Wall-clock time of the whole training, validation included."
    ),
    "images_per_second_train": Column("Training", "images/s", "high", "speed", "cost", "Speed of training."),
    "images_per_second_infer": Column(
        "Inference", "images/s", "high", "speed", "cost", "Speed of predicting in batches."
    ),
    "latency_ms": Column("Latency", "ms", "low", "significant3", "cost", "Time to predict one single image."),
    "peak_memory_mb": Column("Memory", "peak, MB", "low", "fixed0", "cost", "Largest memory in use while training."),
    "acc_per_hour": Column(
        "Top-1", "% an hour", "high", "significant3", "cost", "Test accuracy divided by the hours of training."
    ),
    "acc_per_million_parameters": Column(
        "Top-1",
        "% a million parameters",
        "high",
        "significant3",
        "cost",
        "Test accuracy divided by the parameters in millions.",
    ),
    "acc_per_gflop": Column(
        "Top-1",
        "% a GFLOP",
        "high",
        "significant3",
        "cost",
        "Test accuracy divided by the operations for one image, in billions.",
    ),
    "device": Column("Device", "", "", "text", "cost", "Where it was trained."),
    "precision": Column("Precision", "", "", "text", "cost", "Arithmetic of convolutions and matrix products."),
    "model": Column("Network", "", "", "text", "", "The architecture; several recipes may train the same one."),
}


def leaderboard_columns() -> dict[str, dict[str, str]]:
    """The columns that the page explains, in its order; others are shown as they stand in the table."""
    metrics = {
        f"{key}_mean": Column(
            metric.title, metric.unit, metric.better, f"fixed{metric.digits}",
            "accuracy cost" if key == "test_acc" else "accuracy", metric.help,
        )
        for key, metric in METRICS.items()
    }  # fmt: skip
    columns = {"test_acc_mean": metrics.pop("test_acc_mean"), **ACCURACY, **metrics, **OTHERS}
    return {key: column._asdict() for key, column in columns.items()}
