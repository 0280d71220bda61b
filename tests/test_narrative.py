"""The sentences below the figures: each conclusion follows its numbers, in both directions."""

import json

import pandas as pd
import pytest
from made_up import make_plan, make_run

from tinybench import narrative
from tinybench.errors import Notice, UserError
from tinybench.figures.notebook import show
from tinybench.narrative.data import data_sentences, data_table, read_explorations
from tinybench.results.runs import PUBLISHED_COLUMNS, load_runs
from tinybench.runtime.files import write_json
from tinybench.words import counted, listed, span, with_values


@pytest.fixture
def change(tmp_path):
    """Make a run of a network, then change its history, or the file named."""

    def make(name, model="vgg", file="history.json", run=None, **changes):
        folder = tmp_path / name
        if not folder.exists():
            make_run(folder, model, **(run or {}))
        content = json.loads((folder / file).read_text())
        write_json(folder / file, content | changes)
        return load_runs(tmp_path)

    return make


def test_words():
    assert [listed("abc"[:count]) for count in (1, 2, 3)] == ["a", "a and b", "a, b and c"]
    assert listed("abcd", most=2) == "a, b and 2 more"
    assert listed(["a, x", "b, x", "c"]) == "a, x; b, x and c"
    assert [counted(1, "class"), counted(2000, "class"), counted(2, "run")] == ["1 class", "2,000 classes", "2 runs"]
    assert (span([3, 3]), span([1, 3])) == ("3", "1 to 3")
    assert with_values({"a": 1.26, "b": 2}, "{:.1f} %") == "a (1.3 %) and b (2.0 %)"


def curve(*tenths):
    """Twenty epochs: two for each value given, for the last of them; before, the first value."""
    return [float(tenths[0])] * (20 - 2 * len(tenths)) + [float(value) for value in tenths for _ in range(2)]


def test_still_rising_needs_a_point(change):
    losses = [1.0] * 20
    runs = change("flat", run={"epochs": 20}, val_acc=curve(50, 50.9), val_loss=losses)
    assert "No recipe gained 1 point in the last tenth" in " ".join(narrative.learning(runs))
    runs = change("steep", run={"epochs": 20}, val_acc=curve(50, 51.5), val_loss=losses)
    text = " ".join(narrative.learning(runs))
    assert "Still rising" in text
    assert "steep, VGG-16 (+1.5)" in text
    assert "flat, VGG-16 (+" not in text


def test_overfitting_is_a_loss_that_ends_well_above_its_lowest(change):
    runs = change("good", run={"epochs": 3}, val_loss=[2.0, 1.0, 1.09])
    assert any("No validation loss ended 10 % or more" in sentence for sentence in narrative.learning(runs))
    runs = change("bad", run={"epochs": 3}, val_loss=[2.0, 1.0, 1.5])
    (sentence,) = (sentence for sentence in narrative.learning(runs) if "Overfitted" in sentence)
    assert "bad, VGG-16 (50 %)" in sentence
    assert "good" not in sentence


def test_the_gap_below_zero_is_explained(change):
    runs = change("above", run={"epochs": 2}, train_acc=[50.0, 60.0], val_acc=[50.0, 55.0])
    assert narrative.gaps(runs) == [
        "Train minus validation accuracy in the last epoch, in points: above, VGG-16 (+5.0)."
    ]
    runs = change("below", run={"epochs": 2}, train_acc=[50.0, 50.0], val_acc=[50.0, 55.0])
    first, second = narrative.gaps(runs)
    assert "above, VGG-16 (+5.0) and below, VGG-16 (-5.0)" in first
    assert "Below zero: below, VGG-16." in second


def test_equal_schedules_are_one_sentence(change):
    change("a", run={"epochs": 3}, lr=[0.1, 0.2, 0.0])
    change("b", run={"epochs": 3}, lr=[0.1, 0.2, 0.0])
    runs = change("c", run={"epochs": 3}, lr=[0.2, 0.1, 0.05])
    assert narrative.schedules(runs) == [
        "a, VGG-16 and b, VGG-16: the rate rises until epoch 2 (0.2) and ends at 0.",
        "c, VGG-16: the rate is highest in the first epoch (0.2) and ends at 0.05.",
    ]


def test_what_is_lacking_is_named(change, tmp_path):
    runs = change("short", run={"epochs": 3}, config=json.loads('{"model": "vgg", "seed": 0, "epochs": 9}'))
    (tmp_path / "short" / "test_results.json").unlink()
    runs = load_runs(tmp_path)
    text = " ".join(narrative.chosen_runs(runs, runs))
    assert "**Not finished:** short (3 of 9 epochs)." in text
    assert "**Not tested:** short;" in text
    assert "**One seed only:** every recipe" in text
    assert "Left aside" not in text
    make_plan(tmp_path, models=("vit",), seeds=2)
    both = load_runs(tmp_path)
    text = " ".join(narrative.chosen_runs(both[:2], both))
    assert text.startswith("2 runs of the plan plan: 1 recipe (plan/vit, ViT-S), 2 seeds each.")
    assert "something else: short." in text
    assert "Not tested" not in text


def test_a_lead_is_real_or_may_be_chance(tmp_path):
    for recipe, model in (("resnet", "resnet"), ("twin", "resnet")):
        make_run(tmp_path / "plan" / recipe / "seed0", model)
    text = " ".join(narrative.ranking(load_runs(tmp_path)))
    assert "0.00 points (95 % interval 0.00 to 0.00), may be chance (p = 1 " in text
    assert "Of 1 difference between two recipes, 0 are real" in text
    assert "Not told apart: plan/resnet, ResNet-18 from plan/twin, ResNet-18." in text
    assert "One seed only: plan/resnet, ResNet-18 and plan/twin, ResNet-18." in text
    make_run(tmp_path / "plan" / "alexnet" / "seed0", "alexnet")
    text = " ".join(narrative.ranking([run for run in load_runs(tmp_path) if run.recipe != "twin"]))
    assert "over plan/alexnet, AlexNet" in text
    assert "is real (p = " in text
    assert "Not told apart" not in text


def test_the_fronts_and_who_is_on_none(change, tmp_path):
    names = {"vgg": (50, 10e6), "resnet": (60, 5e6), "vit": (55, 20e6)}
    for name, (accuracy, parameters) in names.items():
        change(name, name, parameters=parameters, total_training_time_seconds=60.0, peak_memory_mb=1024.0)
        change(name, name, file="measurements.json", flops=1e9)
        runs = change(name, name, file="test_results.json", test_acc=float(accuracy))
    assert narrative.costs(runs) == [
        "More accurate than all with fewer parameters: resnet, ResNet-18.",
        "More accurate than all with fewer operations: resnet, ResNet-18.",
        "More accurate than all with less training time: resnet, ResNet-18.",
        "More accurate than all with less memory: resnet, ResNet-18.",
        "On no front, whatever the cost that counts: vgg, VGG-16 and vit, ViT-S.",
    ]
    change("vit", "vit", environment={"device_name": "another"})
    assert "different devices (a processor and another)" in narrative.costs(load_runs(tmp_path))[-1]
    assert narrative.costs(runs[:1]) == ["With resnet, ResNet-18 alone there is nothing to weigh."]


def test_published_numbers_compare_only_on_the_same_task(change):
    table = pd.DataFrame(
        [
            ("vgg", 60.0, None, 80, "last", "none", "", ""),
            ("vgg", 65.0, None, 80, "test", "none", "", ""),
            ("vgg", 70.0, None, 80, "last", "ImageNet", "", ""),
        ],
        columns=list(PUBLISHED_COLUMNS),
    )
    runs = change("small", file="test_results.json", test_acc=50.0)
    assert "These runs learned demo, 10 classes, so the two do not compare." in narrative.published(runs, table)[0]
    full = {"dataset": "tiny-imagenet", "classes": 200, "per_class": 1, "robust": False}
    change("vit", "vit", run=full, file="test_results.json", test_acc=30.0)
    runs = change("vgg", run=full, file="test_results.json", test_acc=61.5)
    assert narrative.published(runs, table)[1:] == [
        "vgg, VGG-16: 61.50 % here, 60.00 % there, +1.50 points.",
        "vit, ViT-S: 30.00 % here, nothing comparable there.",
    ]
    assert narrative.published_table(runs, table)["epochs"].tolist() == ["80"] * 3
    with pytest.raises(UserError, match="no published accuracies"):
        narrative.published(runs, table[:0])


def test_robustness_is_the_share_of_clean_accuracy_kept(change):
    half = {"clean_acc": 80.0, "corruptions": {"fog": {"family": "weather", "accuracy": [40.0] * 5}}, "attacks": {}}
    half["corruptions"]["snow"] = {"family": "snowy", "accuracy": [60.0, 50.0, 40.0, 30.0, 20.0]}
    runs = change("vgg", file="robustness.json", **half)
    kept, families = narrative.robustness(runs)
    assert kept.endswith("vgg, VGG-16 (50 %).")
    assert families.startswith("Of the families, weather costs most (accuracy falls to 40.0 %), weather least")


def test_corruption_errors_are_relative_to_alexnet(change):
    twice = {"corruptions": {"fog": {"family": "weather", "accuracy": [80.0] * 5}}}
    with pytest.raises(UserError, match="AlexNet's robustness"):
        narrative.corruption_errors(change("vgg", file="robustness.json", **twice))
    half = {"corruptions": {"fog": {"family": "weather", "accuracy": [60.0] * 5}}}
    (sentence,) = narrative.corruption_errors(change("alexnet", "alexnet", file="robustness.json", **half))
    assert sentence.endswith("vgg, VGG-16 (50.0 %) and alexnet, AlexNet (100.0 %).")


def test_mistakes_are_counted_by_hand(change):
    matrix = [[6, 4, 0], [1, 9, 0], [0, 0, 0]]
    ids = {"n1": 60.0, "n2": 90.0, "n3": None}
    changes = {"confusion_matrix": matrix, "per_class_accuracy": ids, "class_names": ["cat", "dog", "eel"]}
    runs = change("vgg", file="test_results.json", **changes)
    first, second = narrative.confusions(runs)
    assert first.endswith("cat taken for dog (40 %) and dog taken for cat (10 %).")
    assert second == "Half of its mistakes fall on 1 of the 6 possible pairs of class and answer."
    hardest, easiest = narrative.classes(runs)
    assert hardest.endswith("over the recipe: cat (60 %) and dog (90 %).")
    assert easiest == "Easiest: dog (90 %) and cat (60 %)."


def test_test_images_that_were_learned_are_found(tmp_path):
    def member(split, name):
        return {"split": split, "index": 0, "class": name}

    numbers = {
        "name": "things", "classes": 4, "image_size": [64, 32], "mean": [0.5] * 3, "std": [0.2] * 3,
        "splits": {
            "train": {"images": 100, "fewest_per_class": 20, "most_per_class": 30, "gray_images": 5},
            "test": {"images": 40, "fewest_per_class": 10, "most_per_class": 10, "gray_images": 0},
        },
        "duplicates": {
            "groups": 3, "images": 6, "within_class": 1, "across_classes": 2, "across_splits": 2,
            "members": [
                [member("train", "a"), member("test", "a")], [member("train", "a"), member("test", "b")],
                [member("train", "a"), member("train", "b")],
            ],
        },
    }  # fmt: skip
    assert read_explorations(tmp_path) == []
    write_json(tmp_path / "data_exploration" / "things.json", numbers)
    write_json(tmp_path / "data_exploration" / "others.json", {"name": "others"})
    with pytest.warns(Notice, match=r"others\.json is damaged; python src/explore_data\.py writes it again"):
        explorations = read_explorations(tmp_path)
    text = " ".join(data_sentences(explorations))
    assert "its 4 classes are not of one size in train" in text
    assert "right on 25.0 %" in text
    assert "train (5.0 %) and test (0.0 %)" in text
    assert "3 groups of equal images, 2 of them across classes" in text
    assert "2 of 40 test images are in the train images too, 1 of them under another class" in text
    assert data_table(explorations).loc[("things", "train"), "pixels"] == "32 × 64"
    with pytest.raises(UserError, match=r"python src/explore_data\.py"):
        data_table([])


def test_a_reason_is_shown_once(monkeypatch):
    shown = []
    monkeypatch.setattr("tinybench.figures.notebook.display", shown.append)

    def fails(*inputs):
        raise UserError(f"no {inputs[0]}")

    show(fails, fails, lambda *inputs: [str(inputs)], of=("runs", "table"))
    assert [output.data for output in shown] == ["**Missing:** no runs.", "- ('runs', 'table')"]
