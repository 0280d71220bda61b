"""The report: what is read and computed, and the page itself in a real browser."""

import csv
import io
import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tinybench.configuration import load_augmentations
from tinybench.errors import UsageError
from tinybench.models import MODELS
from tinybench.report import build_report, collect, render
from tinybench.report.boards import Row
from tinybench.report.records import beaten_by, class_list, class_record, robustness_record
from tinybench.results.classes import classes_of
from tinybench.results.colors import MODEL_COLORS, NETWORK_TITLES

NASTY = '</script><script>alert("x")</script><b>bold</b>\u2028'
SCRIPT = Path(__file__).parents[1] / "src" / "report.py"


def write_run(folder, model="resnet", seed=0, accuracy=50.0, classes=10, epochs=5, tested=True, names=None, **changes):
    """history.json and test_results.json like those of a real run, with `accuracy` on the test images."""
    rise = [accuracy * (1 - 0.5**epoch) for epoch in range(1, epochs + 1)]
    history = {
        "train_loss": [5 - value / 25 for value in rise],
        "train_acc": rise,
        "val_loss": [5 - value / 26 for value in rise],
        "val_acc": rise,
        "val_top5_acc": [min(100, value * 1.2) for value in rise],
        "lr": [0.1 / epoch for epoch in range(1, epochs + 1)],
        "epoch_seconds": [60.0] * epochs,
        "images_per_second": [100.0] * epochs,
        "config": {"model": model, "epochs": epochs, "image_size": 64, "seed": seed, "lr": 0.1, "precision": "fp32"},
        "environment": {"device": "cpu", "device_name": "a CPU", "torch": "2.15"},
        "dataset": {
            "name": "tiny-imagenet", "fingerprint": "abc", "classes": classes, "train_images": 400 * classes,
            "val_images": 100 * classes,
        },
        "parameters": 1_000_000,
        "best_epoch": epochs,
        "total_training_time_seconds": 60.0 * epochs,
        "peak_memory_mb": 100.0,
        **changes,
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "history.json").write_text(json.dumps(history), encoding="utf-8")
    if not tested:
        return
    generator = np.random.default_rng(seed)
    confusion = generator.multinomial(50, [1 / classes] * classes, size=classes)
    right = round(accuracy / 2)
    for index in range(classes):  # `right` of 50 on the diagonal, the others as they were drawn
        confusion[index, index] = 0
        confusion[index] = generator.multinomial(50 - right, confusion[index] / confusion[index].sum())
        confusion[index, index] = right
    results = {
        "test_loss": 2.0,
        "test_acc": accuracy,
        "test_top5_acc": min(100, accuracy * 1.2),
        "nll": 2.0,
        "ece": 0.05,
        "images_per_second": 500.0,
        "dataset": {"name": "tiny-imagenet", "fingerprint": "def", "classes": classes, "test_images": 50 * classes},
        "class_names": names or [f"class {index}" for index in range(classes)],
        "per_class_accuracy": {f"n{index:03d}": 2.0 * right for index in range(classes)},
        "confusion_matrix": confusion.tolist(),
    }
    (folder / "test_results.json").write_text(json.dumps(results), encoding="utf-8")


def write_robustness(folder, clean):
    content = {
        "clean_acc": clean,
        "mce": 90.0,
        "corruptions": {
            "gaussian_noise": {"family": "noise", "accuracy": [clean - 5 * step for step in range(1, 6)]},
            "shot_noise": {"family": "noise", "accuracy": [clean - 7 * step for step in range(1, 6)]},
            "fog": {"family": "weather", "accuracy": [clean - 2 * step for step in range(1, 6)]},
        },
        "attacks": {"fgsm": {"1": clean / 2, "2": clean / 4}, "pgd": {"1": clean / 3, "2": 0.0}},
    }
    (folder / "robustness.json").write_text(json.dumps(content), encoding="utf-8")


def change(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


# ---- what is computed


def test_twenty_runs_of_200_classes_stay_below_5_mb(tmp_path):
    names = [f"a rather long name of a class, and its synonym {index}" for index in range(200)]
    for index, model in enumerate((*MODEL_COLORS, "mlp", "svm", "mixer", "convnext")):
        for seed in range(2):
            folder = tmp_path / "plan" / model / f"seed{seed}"
            write_run(folder, model, seed, 30.0 + 2 * index, classes=200, epochs=100, names=names)
            write_robustness(folder, 40.0)
    build_report(tmp_path, tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size < 5e6


def test_rows_are_means_over_seeds_with_an_interval_from_two_on(tmp_path):
    for seed, accuracy in enumerate((50.0, 52.0, 54.0)):
        write_run(tmp_path / "plan" / "resnet" / f"seed{seed}", "resnet", seed, accuracy)
    write_run(tmp_path / "plan" / "vgg" / "seed0", "vgg", 0, 48.0)
    (group,) = collect(tmp_path)["groups"]
    resnet, vgg = (row["cells"] for row in group["rows"])
    # By hand: standard error 2 / sqrt(3), quantile of t with two degrees of freedom 4.302653.
    assert float(resnet["test_acc_mean"]) == pytest.approx(52)
    assert float(resnet["test_acc_low"]) == pytest.approx(52 - 4.302653 * 2 / math.sqrt(3), abs=1e-5)
    assert resnet["seeds"] == "3"
    assert (vgg["test_acc_mean"], vgg["test_acc_low"], vgg["test_acc_high"]) == ("48.0", "", "")
    assert any("One seed only: plan/vgg, VGG-16" in notice for notice in group["notices"])


def test_runs_of_different_protocols_are_never_in_one_group(tmp_path):
    write_run(tmp_path / "a")
    write_run(tmp_path / "b", classes=20)
    write_run(tmp_path / "c", classes=20)
    data = {"name": "tiny-imagenet", "fingerprint": "other", "classes": 20, "train_images": 8000, "val_images": 2000}
    write_run(tmp_path / "d", classes=20, dataset=data)
    groups = collect(tmp_path)["groups"]
    assert [row["label"] for row in groups[0]["rows"]] == ["b, ResNet-18", "c, ResNet-18"]  # most runs first
    assert sorted(len(group["rows"]) for group in groups) == [1, 1, 2]


def test_recipes_may_differ_in_the_size_of_their_images(tmp_path):
    for size in (56, 64):
        write_run(tmp_path / f"at{size}", config={"model": "resnet", "epochs": 5, "image_size": size})
    [group] = collect(tmp_path)["groups"]
    assert [row["cells"]["image_size"] for row in group["rows"]] == ["56", "64"]
    assert group["image_sizes"] == [56, 64]
    assert any("different image sizes (56 to 64 pixels a side)" in notice for notice in group["notices"])


def test_lines_of_model_comparison_are_taken_as_they_stand(tmp_path):
    write_run(tmp_path / "plan" / "resnet" / "seed0", accuracy=50.0)
    write_run(tmp_path / "plan" / "vgg" / "seed0", "vgg", accuracy=40.0)
    write_run(tmp_path / "other" / "vgg" / "seed0", "vgg", accuracy=30.0)
    text = 'plan,recipe,model,test_acc_mean,seeds,note\nplan,resnet,resnet,50.10,3,"a, b"\nplan,gone,vit,30,,\n'
    (tmp_path / "model_comparison.csv").write_text(text)
    measured, unknown = collect(tmp_path, "plan")["groups"]
    assert [row["label"] for row in measured["rows"]] == ["plan/resnet, ResNet-18", "plan/vgg, VGG-16"]
    assert measured["rows"][0]["cells"]["test_acc_mean"] == "50.10"
    assert len(measured["rows"][0]["runs"]) == 1
    assert measured["rows"][1]["cells"]["test_acc_mean"] == "40.0"  # no line: made from the run
    assert [row["label"] for row in unknown["rows"]] == ["plan/gone, ViT-S"]
    assert "protocol is unknown" in unknown["notices"][0]
    assert any("out of date" in notice and "resnet" in notice for notice in measured["notices"])  # three seeds, one run


def test_class_results_by_hand():
    test = {
        "test_acc": 50.0,
        "class_names": ["cat", "dog", "fox"],
        "per_class_accuracy": {"a": 0, "b": 0, "c": 0},
        "confusion_matrix": [[6, 3, 1], [0, 10, 0], [0, 0, 0]],
    }
    other = {**test, "confusion_matrix": [[5, 4, 1], [2, 8, 0], [0, 0, 0]]}
    found = class_record([classes_of(test), classes_of(other)])
    assert found["accuracy"] == [55.0, 90.0, None]
    assert found["pairs"] == [[0, 1, 7, 20, 35.0], [0, 2, 2, 20, 10.0], [1, 0, 2, 20, 10.0]]
    assert found["mistakes"] == [[[1, 35.0], [2, 10.0]], [[0, 10.0]], []]
    assert class_record([]) is None


def test_the_mean_and_the_spread_of_a_class_are_over_the_models_that_have_it():
    classes = classes_of(
        {"per_class_accuracy": dict.fromkeys("abc", 0), "class_names": list("ABC"), "confusion_matrix": [[0] * 3] * 3}
    )
    found = class_list([[50.0, None, 10.0], [70.0, None, None]], classes)
    assert [(entry["name"], entry["mean"], entry["spread"]) for entry in found] == [
        ("A", 60.0, 20.0), ("B", None, None), ("C", 10.0, 0.0),
    ]  # fmt: skip


def test_runs_tested_on_other_classes_or_without_a_matrix_are_left_out_of_the_classes(tmp_path):
    for name in ("a", "b", "c"):
        write_run(tmp_path / name)
    change(tmp_path / "b" / "test_results.json", per_class_accuracy={f"x{index}": 0.0 for index in range(10)})
    change(tmp_path / "c" / "test_results.json", confusion_matrix=[[1, 2], [3]])
    content = collect(tmp_path)
    assert [row["classes"] is not None for row in content["groups"][0]["rows"]] == [True, False, False]
    assert content["groups"][0]["class_list"][0] | {"mean": 0, "spread": 0} == {
        "id": "n000", "name": "class 0", "mean": 0, "spread": 0,
    }  # fmt: skip
    (problem,) = content["problems"]
    assert str(tmp_path / "c" / "test_results.json") in problem


def test_robustness_is_the_mean_over_the_seeds_that_have_it():
    first = {
        "clean_acc": 60.0, "mce": 80, "note": "text",
        "corruptions": {"fog": {"family": "weather", "accuracy": [50, 40]}},
        "attacks": {"fgsm": {"8": 10.0, "1": 30.0}},
        "occlusion": {"mean": {"16": 20.0}, "map": {"16": [[1.0]]}},
    }  # fmt: skip
    second = {"clean_acc": 64.0, "corruptions": {"fog": {"family": "weather", "accuracy": [54, 42, 30]}}}
    found = robustness_record([first, second])
    assert (found["clean"], found["numbers"], found["seeds"]) == (62.0, {"mce": 80.0}, 2)
    curves = {(curve["kind"], curve["name"]): (curve["x"], curve["accuracy"]) for curve in found["curves"]}
    assert curves == {
        ("corruptions", "fog"): ([1, 2], [52.0, 41.0]),
        ("attacks", "fgsm"): ([1, 8], [30.0, 10.0]),
        ("occlusion", "mean"): ([16], [20.0]),
    }
    assert robustness_record([]) is None


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("robustness.json", '{"clean_acc": 50, "corruptions": {"fog": {"family": "weather"}}}'),
        ("robustness.json", '{"clean_acc": 50, "attacks": []}'),
        ("robustness.json", "[]"),
        ("measurements.json", "[]"),
        ("test_results_ema.json", '{"test_acc": "high"}'),
        ("../model_comparison.csv", "plan,recipe\n1,2,3\n4,5,6,7\n"),
        ("../published.csv", "\xff"),
    ],
)
def test_any_damaged_file_is_one_line_and_stops_nothing(tmp_path, file, content):
    write_run(tmp_path / "run")
    (tmp_path / "run" / file).write_bytes(content.encode("latin-1"))
    found = collect(tmp_path)
    (problem,) = found["problems"]
    assert f"{Path(file).name} is damaged" in problem
    assert found["groups"][0]["rows"][0]["cells"]["test_acc_mean"] == "50.0"


def test_results_from_before_a_run_went_on_are_not_shown_as_its_own(tmp_path):
    write_run(tmp_path / "run", epochs=5)
    path = tmp_path / "run" / "test_results.json"
    change(path, epoch=5)
    assert collect(tmp_path)["problems"] == []
    change(path, epoch=3)
    found = collect(tmp_path)
    (problem,) = [problem for problem in found["problems"] if "test_results" in problem]
    assert "is of epoch 3, these weights are of 5 by now" in problem


def test_a_training_in_two_plans_is_shown_once_and_a_plan_has_a_board_of_its_own(tmp_path):
    for seed in range(2):
        write_run(tmp_path / "large" / "resnet" / f"seed{seed}", "resnet", seed, 50.0)
    shutil.copytree(tmp_path / "large" / "resnet" / "seed0", tmp_path / "a_copy" / "plain" / "seed0")
    for folder, augment in (("large/resnet", "standard"), ("a_copy/plain", load_augmentations()["standard"])):
        history = tmp_path / folder / "seed0" / "history.json"  # an earlier version saved the name
        change(history, config=json.loads(history.read_text())["config"] | {"augment": augment})
    write_run(tmp_path / "a_copy" / "vgg" / "seed0", "vgg", 0, 40.0)
    lines = "plan,recipe,model,test_acc_mean\na_copy,plain,resnet,50\nlarge,resnet,resnet,50\n"
    (tmp_path / "model_comparison.csv").write_text(lines)
    content = collect(tmp_path)
    boards = [(board["plan"], [row["label"] for row in board["rows"]]) for board in content["groups"]]
    assert boards == [("large", ["large/resnet, ResNet-18"]), ("a_copy", ["a_copy/vgg, VGG-16"])]
    (problem,) = content["problems"]
    assert "a_copy/plain/seed0 (is large/resnet/seed0)" in problem
    (board,) = collect(tmp_path, "a_copy")["groups"]
    assert [row["label"] for row in board["rows"]] == ["a_copy/plain, ResNet-18", "a_copy/vgg, VGG-16"]


def test_averaged_weights_are_told_from_plain_ones(tmp_path):
    write_run(tmp_path / "run", epochs=2, val_acc=[10.0, 20.0], ema_val_acc=[10.0, 30.0])
    (row,) = collect(tmp_path)["groups"][0]["rows"]
    assert (row["cells"]["best_weights"], row["val_acc"]) == ("averaged", 30.0)


def test_histories_and_results_of_plain_scripts_are_shown_and_what_they_do_not_state_is_said(tmp_path):
    for name in ("resnet", "vgg"):
        write_run(tmp_path / name)
        history = json.loads((tmp_path / name / "history.json").read_text())
        plain = {key: history[key] for key in ("train_loss", "train_acc", "val_loss", "val_acc", "lr")}
        plain |= {"config": {"epochs": 5}, "peak_training_memory_mb": 2900.0, "total_training_time_seconds": 60.0}
        (tmp_path / name / "history.json").write_text(json.dumps(plain))
        (tmp_path / name / "test_results.json").write_text('{"test_loss": 1.9, "test_acc": 38.5}')
    content = collect(tmp_path)
    (board,) = content["groups"]
    assert [row["label"] for row in board["rows"]] == ["resnet", "vgg"]
    assert [row["color"] for row in board["rows"]] == [MODEL_COLORS["resnet"], MODEL_COLORS["vgg"]]
    cells = board["rows"][0]["cells"]
    assert (cells["test_acc_mean"], cells["peak_memory_mb"], cells["test_top5_acc_mean"]) == ("38.5", "2900.0", "")
    assert board["rows"][0]["runs"][0]["best_epoch"] == 5
    problems = "\n".join(content["problems"])
    assert "history.json states no data set (it is compared with runs that state none either) and no best" in problems
    assert "test_results.json states no predictions by class" in problems


def test_what_is_missing_or_broken_is_said_and_stops_nothing(tmp_path):
    write_run(tmp_path / "whole")
    write_run(tmp_path / "untested", tested=False)
    config = {"model": "resnet", "epochs": 80, "image_size": 64}
    write_run(tmp_path / "unfinished", config=config, val_acc=[1.0, math.nan, 2.0, 3.0, 4.0])
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "history.json").write_text("{}")
    (tmp_path / "whole" / "robustness.json").write_text("{")
    content = collect(tmp_path)
    assert len(content["problems"]) == 2
    notices = "\n".join(content["groups"][0]["notices"])
    for words in ("Not tested yet: untested", "stopped early: unfinished", "(5 to 80)", "Robustness was not measured"):
        assert words in notices
    assert '"val_acc":[1.0,null,2.0' in render(content)


def test_no_name_can_break_out_of_the_data(tmp_path):
    write_run(tmp_path / "run", model=NASTY, names=[NASTY] * 10)
    page = render(collect(tmp_path))
    assert len(re.findall("</script", page)) == 2
    assert "<b>bold" not in page
    assert "\u2028" not in page
    embedded = re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1]
    assert json.loads(embedded)["groups"][0]["class_list"][0]["name"] == NASTY


def test_wrong_folders_are_one_line(tmp_path):
    with pytest.raises(UsageError, match=r"no run in .*train one"):
        collect(tmp_path)
    with pytest.raises(UsageError, match="does not exist"):
        collect(tmp_path, "nothing")


def test_command(tmp_path):
    write_run(tmp_path / "plan" / "resnet" / "seed0")
    write_run(tmp_path / "other")
    command = [sys.executable, str(SCRIPT), "--results_dir", str(tmp_path), "--plan", "plan"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "report.html: models 1, runs 1" in done.stdout
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert '"plan/resnet/seed0"' in page
    assert '"other"' not in page


def test_a_file_of_something_else_is_replaced_only_by_force(tmp_path):
    write_run(tmp_path / "run")
    output = tmp_path / "last.pth"
    output.write_bytes(b"weights")
    with pytest.raises(UsageError, match=r"last\.pth is there already .* replace it with --force"):
        build_report(tmp_path, output)
    assert output.read_bytes() == b"weights"
    build_report(tmp_path, output, force=True)
    build_report(tmp_path, output)  # one of its own
    with pytest.raises(UsageError, match="no file"):
        build_report(tmp_path, Path(os.devnull), force=True)
    with pytest.raises(UsageError, match="must name a folder below results_dir"):
        collect(tmp_path / "run", "../run")


def test_neither_torch_nor_a_plotting_library_is_loaded():
    """The report can be made where nothing is trained or drawn."""
    code = "import sys; sys.path.insert(0, sys.argv[1]); import tinybench.report as _; "
    code += "sys.exit(bool({'torch', 'matplotlib', 'seaborn'} & sys.modules.keys()))"
    subprocess.run([sys.executable, "-c", code, str(SCRIPT.parent)], check=True)


# ---- colours


def test_titles_are_those_of_the_registry():
    assert {name: info.title for name, info in MODELS.items()} == NETWORK_TITLES


# ---- the page in a browser


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The page of three models with two seeds each, one under a hostile name, and one run of another protocol."""
    folder = tmp_path_factory.mktemp("results")
    names = ["goldfish", NASTY, *(f"class {index}" for index in range(2, 30))]
    for model, recipe, accuracy in (("resnet", "resnet", 60), ("vgg", "vgg", 50), ("vit", "<b>vit, wide", 40)):
        for seed in range(2):
            run = folder / "plan" / recipe / f"seed{seed}"
            write_run(run, model, seed, accuracy + 2.0 * seed, classes=30, names=names, parameters=len(model) * 10**6)
            if model != "vgg":
                write_robustness(run, accuracy)
    write_run(folder / "small", "alexnet", tested=False)
    published = "network,top1,top5,epochs,parameters_millions,epoch_chosen_on,pretraining,set_up,source\n"
    published += (
        "svm,6,18,25,2.4,test,none,plain,<i>who</i>\nvgg,60.5,,100,,held-out train,none,plain,who/what README\n"
    )
    (folder / "published.csv").write_text(published)
    build_report(folder, folder / "report.html")
    return folder / "report.html"


@pytest.fixture
def open_page(browser, report):
    """Open the report; in the end there must have been no message on the console and no request but for the file."""
    contexts, complaints = [], []

    def open_report(**options):
        context = browser.new_context(
            **{"viewport": {"width": 1280, "height": 900}, "accept_downloads": True, **options}
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.on("request", lambda request: complaints.append(request.url) if request.url != report.as_uri() else None)
        page.goto(report.as_uri())
        return page

    yield open_report
    for context in contexts:
        context.close()
    assert [text for text in complaints if not text.startswith("blob:")] == []


@pytest.fixture
def page(open_page):
    return open_page()


def column(page, index):
    return [row.locator("th, td").nth(index).inner_text() for row in page.locator("#board tbody tr").all()]


def order(page):
    return [name.split()[1].removeprefix("plan/").removesuffix(",") for name in column(page, 0)]


def test_leaderboard_sorts_by_click(page):
    assert order(page) == ["resnet", "vgg", "<b>vit"]
    head = page.locator('#board th[data-key="test_acc_mean"]')
    assert head.get_attribute("aria-sort") == "descending"
    head.get_by_role("button").click()
    assert order(page) == ["<b>vit", "vgg", "resnet"]
    assert head.get_attribute("aria-sort") == "ascending"
    page.locator('#board th[data-key="label"] button').click()
    assert page.locator("#board th[aria-sort]").count() == 1
    assert "61.00" in column(page, 1)[order(page).index("resnet")]
    assert "48.29 – 73.71" in column(page, 1)[order(page).index("resnet")]  # 61 ± 12.706 * sqrt(2) / sqrt(2)


def test_leaderboard_sorts_by_keyboard_and_keeps_the_focus(page):
    page.get_by_role("radio", name="Cost").focus()
    page.keyboard.press("Space")
    head = page.locator('#board th[data-key="parameters"]')
    head.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    assert order(page)[-1] == "resnet"
    page.keyboard.press("Space")
    assert head.get_attribute("aria-sort") == "descending"
    assert order(page)[0] == "resnet"
    assert page.evaluate("document.activeElement.closest('th').dataset.key") == "parameters"
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_models_are_selected_in_all_charts(page):
    lines = page.locator("#curves-chart path.line")
    assert lines.count() == 3
    chip = page.locator("#chips").get_by_role("button", name="vgg")
    chip.focus()
    page.keyboard.press("Enter")
    assert chip.get_attribute("aria-pressed") == "false"
    assert lines.count() == 2
    assert page.locator("#cost-chart g title").count() == 2
    assert page.locator(".class-row").first.locator(".strip i").count() == 2
    page.get_by_role("button", name="None").click()
    assert page.get_by_text("No model is selected").count() >= 3
    page.get_by_role("button", name="All", exact=True).click()
    assert lines.count() == 3


def test_curves_are_read_by_pointer_and_by_keyboard(page):
    plot = page.locator("#curves-chart .plot")
    plot.scroll_into_view_if_needed()
    plot.hover()
    assert page.locator("#curves-chart .tip").inner_text().splitlines()[0].startswith("epoch ")
    plot.focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    # Epoch 2 of a rise to 60 and 62 percent: three quarters of it; the mean over both seeds.
    assert "epoch 2: plan/resnet, ResNet-18 45.8 %" in plot.get_attribute("aria-valuetext")
    page.get_by_role("radio", name="By time").check()
    assert "after 5 minutes" in plot.get_attribute("aria-valuetext")
    page.locator("#measure").select_option("val_loss")
    assert "nats" in page.locator("#curves-chart svg").text_content()


def test_classes_are_found_and_opened(page):
    assert page.locator(".class-row").count() == 20
    page.get_by_role("button", name="Show all 30 classes").click()
    assert page.locator(".class-row").count() == 30
    page.locator("#class-filter").fill("goldf")
    (row,) = page.locator(".class-row").all()
    row.focus()
    page.keyboard.press("Enter")
    assert row.get_attribute("aria-expanded") == "true"
    detail = page.locator(".class-detail tbody tr")
    assert [line.locator("th").inner_text().strip() for line in detail.all()] == [
        "plan/resnet, ResNet-18",
        "plan/vgg, VGG-16",
        "plan/<b>vit, wide, ViT-S",
    ]
    assert "61 %" in detail.first.inner_text()
    page.locator("#class-filter").fill("nothing like it")
    assert page.get_by_text("No class has").is_visible()


def test_hostile_names_are_text(page):
    page.locator("#class-filter").fill("alert")
    assert 'alert("x")' in page.locator(".class-row").inner_text()
    assert page.locator("main b b, main th b, #chips b").count() == 0
    assert page.locator("#published-table i").count() == 0
    assert "<i>who</i>" in page.locator("#published-table").inner_text()


def test_confusions_robustness_and_runs(page):
    pairs = page.locator(".pairs li")
    assert pairs.count() == 20
    assert re.search(r"\d+ of 100", pairs.first.inner_text())
    page.locator("#confusion-model").select_option(label="plan/vgg, VGG-16")
    assert pairs.count() == 20
    titles = page.locator("#robustness .panel h3")
    assert [title.split(" mean")[0] for title in titles.all_inner_texts()] == ["noise", "weather", "fgsm", "pgd"]
    assert "resnet" in page.locator("#robustness .plot").first.get_attribute("aria-valuetext")
    page.get_by_role("radio", name="Each one").check()
    assert titles.count() == 5
    run = page.locator(".run").first
    run.locator("summary").click()
    assert "a CPU" in run.inner_text()
    assert "precision" in run.inner_text()


def test_csv_holds_the_rows_shown(page):
    page.locator('#board th[data-key="test_acc_mean"] button').click()
    with page.expect_download() as caught:
        page.get_by_role("button", name="Download CSV").click()
    assert caught.value.suggested_filename == "model_comparison.csv"
    lines = list(csv.DictReader(io.StringIO(Path(caught.value.path()).read_text(encoding="utf-8"))))
    assert [line["recipe"] for line in lines] == ["<b>vit, wide", "vgg", "resnet"]
    assert lines[2]["test_acc_mean"] == "61.0"
    assert float(lines[2]["test_acc_low"]) == pytest.approx(61 - 12.7062, abs=1e-3)


def test_another_protocol_is_shown_apart(page):
    assert page.locator("#board tbody tr").count() == 3
    page.locator("#group").select_option(index=1)
    assert order(page) == ["small"]
    assert column(page, 1) == ["48.44"]  # validation only: there is no column of test accuracy
    assert "Not tested yet: small" in page.locator("#notices").inner_text()
    assert page.get_by_text("None of these models has test results by class").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_phone_without_sideways_scrolling_in_light_and_dark(open_page, scheme):
    phone = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True, "color_scheme": scheme}
    page = open_page(**phone)
    page.get_by_role("radio", name="All", exact=True).check()
    page.locator(".class-row").first.tap()
    page.locator("#curves-chart .plot").tap()
    assert page.locator("#curves-chart .tip").is_visible()
    for element in page.locator("summary").all():
        element.tap()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    paper, ink = page.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    )
    brightness = [sum(int(part) for part in re.findall(r"\d+", color)[:3]) for color in (paper, ink)]
    assert (brightness[0] > brightness[1]) is (scheme == "light")


def test_theme_is_changed_by_hand_and_remembered(page):
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    button = page.get_by_role("button", name="theme")
    button.click()
    assert page.evaluate(paper) == light
    button.click()
    assert page.evaluate(paper) != light
    page.wait_for_timeout(300)  # the browser writes its storage down a little later
    page.reload()
    assert page.evaluate(paper) != light
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "light"


def test_models_are_found_by_words_of_their_names(page):
    page.get_by_role("searchbox", name="Find models").fill("PLAN vgg")
    assert order(page) == ["vgg"]
    assert page.locator("#board .rank").inner_text() == "2"  # of all
    assert page.locator("#chips button").count() == 1
    page.get_by_role("button", name="None", exact=True).click()  # of those found
    page.get_by_role("searchbox", name="Find models").fill("")
    assert [chip.get_attribute("aria-pressed") for chip in page.locator("#chips button").all()] == [
        "true", "false", "true",
    ]  # fmt: skip
    page.get_by_role("searchbox", name="Find models").fill("nothing")
    assert "No model has “nothing”" in page.locator("#chips").inner_text()


def test_the_address_brings_the_view_back(page):
    page.get_by_role("radio", name="Cost", exact=True).check()
    page.locator("#cost-choice").select_option("peak_memory_mb")
    page.locator('#board th[data-key="parameters"]').get_by_role("button").click()
    page.locator("#chips button").first.click()
    page.locator("#class-filter").fill("class 7")
    page.get_by_role("link", name="Classes").click()
    page.wait_for_url(lambda url: "#classes?" in url)
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    assert page.locator('#board th[data-key="parameters"]').get_attribute("aria-sort") == "ascending"
    assert page.locator("#cost-choice").input_value() == "peak_memory_mb"
    assert page.locator("#chips button").first.get_attribute("aria-pressed") == "false"
    assert page.locator("#class-list li").count() == 1
    pytest.importorskip("playwright.sync_api").expect(page.locator("#classes-title")).to_be_in_viewport()
    page.locator("#group").select_option(index=1)
    assert "small" not in page.locator("#board").inner_text().split("\n")[0]
    assert "group=" in page.url
    page.reload()
    assert order(page) == ["small"]


def test_published_numbers_link_to_their_sources(page):
    link = page.locator("#published-table").get_by_role("link", name="60.5", exact=True)
    assert link.get_attribute("href") == "https://github.com/who/what"


def write_many(folder, name="{model}_{index}"):
    """26 recipes, of which every fourth is trained on growing images."""
    models = [*MODEL_COLORS, "speednet", "mlp", "mixer", "convnext", "swin", "mobilenet", "repvgg"]
    for index in range(26):
        model = models[index % 13]
        config = {"model": model, "epochs": 5, "image_size": 64, "image_size_schedule": "32*3:48:64"}
        growing = {"config": config} if index % 4 == 0 else {}
        recipe = name.format(model=model, index=index)
        write_run(
            folder / "plan" / recipe / "seed0",
            model,
            0,
            25 + index * 7 % 40,
            parameters=10**5 + 10**6 * index,
            **growing,
        )


OUTSIDE = """[...document.querySelectorAll("svg text")].filter((text) => {
    const [box, chart] = [text.getBoundingClientRect(), text.ownerSVGElement.getBoundingClientRect()];
    return box.width && (box.left < chart.left - 1 || box.right > chart.right + 1 || box.bottom > chart.bottom + 2);
}).map((text) => text.textContent)"""


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", ["{model}_{index}", "as long as nobody would " * 5 + "{index:04d}"])
def test_many_models_and_long_names_stay_in_their_places(browser, tmp_path, name, width):
    write_many(tmp_path, name)
    build_report(tmp_path, tmp_path / "report.html")
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto((tmp_path / "report.html").as_uri())
    fronts = [row for row in collect(tmp_path)["groups"][0]["rows"] if not row["beaten_by"]["parameters"]]
    pressed = page.locator('#chips [aria-pressed="true"]').evaluate_all("chips => chips.map((chip) => chip.title)")
    assert {row["label"] for row in fronts} <= set(pressed)
    page.get_by_role("button", name="All", exact=True).click()
    assert page.evaluate(OUTSIDE) == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.locator("#curves-chart .band").count() == 3
    assert page.locator("#curves-chart text.name").count() == (26 if width > 620 else 0)
    page.locator("#curves-chart .plot").focus()
    page.keyboard.press("Home")
    assert page.locator("#curves-chart .tip small").all_inner_texts() == [" 32 px"] * 7
    page.close()


def test_the_p_of_the_difference_from_the_best_and_flips_are_columns(tmp_path):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 500)
    for index, right in enumerate((400, 390, 200)):
        folder = tmp_path / "plan" / f"recipe{index}" / "seed0"
        write_run(folder, accuracy=right / 5)
        change(folder / "test_results.json", tta_acc=right / 5 + 1)
        logits = np.zeros((500, 10))
        logits[range(500), np.where(np.arange(500) < right, labels, (labels + 1) % 10)] = 1
        ids = np.array([f"n{number:03d}" for number in range(10)])
        np.savez(folder / "predictions.npz", logits=logits.astype(np.float16), labels=labels, class_ids=ids)
    cells = [row["cells"] for row in collect(tmp_path)["groups"][0]["rows"]]
    assert [row["tta_acc_mean"] for row in cells] == ["81.0", "79.0", "41.0"]
    # By hand: on 10 images only the first is right, never only the second; the largest p of three has the factor 1.
    assert cells[0]["p_best"] == "best"
    assert float(cells[1]["p_best"]) == pytest.approx(2 * 2**-10, rel=1e-2)
    assert float(cells[2]["p_best"]) < 1e-40


def test_nothing_moves_for_those_who_asked_for_that(open_page):
    page = open_page(reduced_motion="reduce")
    assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"
    assert page.evaluate("getComputedStyle(document.getElementById('download')).transitionDuration") == "0s"


def test_everything_is_reached_by_tab(page):
    page.locator("body").focus()
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.closest('[id]')?.id"))
    for name in (
        "theme",
        "group",
        "chips",
        "view",
        "download",
        "board",
        "cost-choice",
        "measure",
        "curves-chart",
        "class-filter",
        "class-list",
    ):
        assert name in reached, name


def test_the_front_of_any_selection_is_what_it_does_not_beat():
    points = [(1, 50), (2, 40), (2, 60), (2, 60), (3, 70), ("", 90)]
    rows = [Row(str(i), "m", {"flops": str(x), "test_acc_mean": str(y)}) for i, (x, y) in enumerate(points)]
    assert [beaten["flops"] for beaten in beaten_by(rows)] == [[], [0, 2, 3], [], [2], [], []]
