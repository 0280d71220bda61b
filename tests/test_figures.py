"""The figures of a comparison: what is drawn and written on them, and what is said where there is nothing to draw."""

import itertools

import numpy as np
import pandas as pd
import pytest
from made_up import NETWORKS, make_plan, make_run, make_search
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import same_color

from tinybench import figures
from tinybench.cli.figure_arguments import COLUMN, COLUMN_FONT
from tinybench.cli.plot_comparison import COMPARISON
from tinybench.errors import Notice, UsageError, UserError, noticed
from tinybench.figures.style import FONT_SIZE, page, styles
from tinybench.figures.training import mean_curve
from tinybench.metrics import reliability_table
from tinybench.results.colors import LINES, MARKERS, MARKS, MODEL_COLORS, NETWORK_TITLES, model_color
from tinybench.results.costs import cost_table, pareto_front
from tinybench.results.groups import comparable_runs, group_runs
from tinybench.results.predictions import agreement_matrices, pooled, predictions_by_recipe
from tinybench.results.runs import PUBLISHED_COLUMNS, load_runs, read_published
from tinybench.results.searches import read_search
from tinybench.runtime.files import read_json, write_json

ALL = {**{name: getattr(figures, name) for name in COMPARISON}, "confusion_matrix": figures.confusion_matrix}
RECIPES = 26
LABELS = {name: f"plan/{name}, {NETWORK_TITLES[name]}" for name in NETWORKS}
NEED_TWO = ("critical_differences", "agreement_between_models")


def plan(tmp_path_factory, **options):
    folder = tmp_path_factory.mktemp("results")
    make_plan(folder, **options)
    return load_runs(folder)


@pytest.fixture(scope="module")
def six(tmp_path_factory):
    return plan(tmp_path_factory)


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Recipes with names of 130 letters that differ in their middle, beside the six networks', with growing images."""
    folder = tmp_path_factory.mktemp("results")
    networks = list(NETWORKS)
    for number in range(RECIPES):
        name = networks[number] if number < 6 else f"{'long_' * 14}{number:02}{'_name' * 12}"[:130]
        make_search(folder / "plan", name)
        make_run(folder / "plan" / name / "seed0", networks[number % 6])
    for path in folder.rglob("history.json"):
        history = read_json(path)
        write_json(path, history | {"config": history["config"] | {"image_size_schedule": "32:64"}})
    return load_runs(folder)


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """One network, one seed, one epoch."""
    return plan(tmp_path_factory, models=("vit",), seeds=1, epochs=1)


def drawn(figure):
    """Lay it out, so that limits and ticks are those that people see."""
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    return figure


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.parametrize("paper", [(None, FONT_SIZE), (COLUMN, COLUMN_FONT), (7.2, 9)], ids=str)
@pytest.mark.parametrize(
    ("name", "runs"),
    [
        *((name, runs) for name in ALL for runs in ("six", "many")),
        *((name, "one") for name in ALL if name not in NEED_TWO),
    ],
)
def test_every_text_is_on_the_page_and_none_of_an_axis_overlap(name, runs, paper, request):
    with page(*paper):
        figure = drawn(ALL[name](request.getfixturevalue(runs)))
        check_texts(figure, name)


@pytest.mark.parametrize("paper", [(None, FONT_SIZE), (COLUMN, COLUMN_FONT), (7.2, 9)], ids=str)
@pytest.mark.parametrize("name", ["search_trials", "search_fields"])
def test_figures_of_a_search_are_on_the_page(tmp_path, name, paper):
    make_search(tmp_path, "resnet")
    with page(*paper):
        check_texts(drawn(getattr(figures, name)(read_search(tmp_path, "search_resnet"))), name)


def check_texts(figure, name):
    renderer = figure.canvas.get_renderer()
    page = figure.bbox
    for ax in figure.axes:
        assert ax.get_xlabel() or figure.get_supxlabel() or ax.get_ylabel(), "an axis without a name"
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            shown = [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
            boxes = [label.get_window_extent(renderer) for label in shown if label.get_text() and label.get_visible()]
            rotated = any(text.get_rotation() % 90 for text in axis.get_ticklabels())
            for box, other in itertools.pairwise(boxes):
                assert rotated or not box.overlaps(other), f"{name}: labels overlap"
            for box in boxes:
                assert page.x0 - 1 <= box.x0 < box.x1 <= page.x1 + 1, f"{name}: a label leaves the page"
        for text in (ax.title, ax.xaxis.label, ax.yaxis.label):
            box = text.get_window_extent(renderer)
            inside = page.x0 - 1 <= box.x0 and box.x1 <= page.x1 + 1 and page.y0 - 1 <= box.y0 and box.y1 <= page.y1 + 1
            assert inside or not text.get_text(), text.get_text()
    panels = [ax.get_tightbbox(renderer) for ax in figure.axes]
    for legend in figure.legends:
        box = legend.get_window_extent(renderer)
        assert not any(box.overlaps(panel) for panel in panels), f"{name}: the legend covers a panel {box} {panels}"
        note = figure._supxlabel
        assert not note or not box.overlaps(note.get_window_extent(renderer)), f"{name}: the legend covers the note"
    for text in (*figure.texts, *figure.legends):
        box = text.get_window_extent(renderer)
        assert page.x0 <= box.x0 < box.x1 <= page.x1, text
        assert page.y0 <= box.y0 < box.y1 <= page.y1, text


@pytest.mark.parametrize("name", ALL)
def test_without_runs_the_reason_is_one_line(name):
    with pytest.raises(UserError, match=r"python src/train\.py") as caught:
        ALL[name]([])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", NEED_TWO)
def test_one_run_alone_compares_with_nothing(name, one):
    with pytest.raises(UserError, match=r"another (one|tested recipe)"):
        ALL[name](one)


# ---- one look a model


def test_each_model_has_its_colour_marker_and_line_wherever_it_appears(six):
    found = styles(six)
    assert {label: style.color for label, style in found.items()} == {
        LABELS[name]: MODEL_COLORS[name] for name in NETWORKS
    }
    assert len({style.marker for style in found.values()}) == len({style.line for style in found.values()}) == 6
    alone = styles([run for run in six if run.recipe == "vit"])
    assert alone[LABELS["vit"]] == found[LABELS["vit"]]
    for draw in (figures.learning_curves, figures.generalization_gap, figures.corruption_curves):
        (line,) = (line for line in draw(six).axes[0].lines if line.get_label() == LABELS["vit"])
        assert same_color(line.get_color(), model_color("vit"))
        assert line.get_marker() == MARKERS[5]


def test_every_recipe_has_a_style_of_its_own(many):
    found = styles(many)
    assert len({(style.color, style.marker) for style in found.values()}) == len(found) == RECIPES
    assert len(MARKERS) == len({*map(str, LINES)}) == MARKS
    (resnet,) = (style for label, style in found.items() if label == LABELS["resnet"])
    assert (resnet.color, resnet.marker, resnet.line) == (MODEL_COLORS["resnet"], MARKERS[2], (0, LINES[2]))


# ---- training


def test_curves_are_means_over_seeds_with_a_band(six):
    figure = figures.learning_curves(six)
    accuracy, loss = figure.axes
    assert (accuracy.get_ylabel(), loss.get_ylabel()) == ("validation accuracy (%)", "validation loss (nats)")
    assert [line.get_label() for line in accuracy.lines] == list(LABELS.values()) == legend(figure)
    assert len(accuracy.collections) == 6
    resnet = [run.history["val_acc"] for run in six if run.recipe == "resnet"]
    np.testing.assert_allclose(accuracy.lines[2].get_ydata(), np.mean(resnet, axis=0))
    assert list(accuracy.lines[2].get_xdata()) == list(range(1, 13))
    assert "mean over 2 seeds" in figure.get_supxlabel()


def test_one_seed_has_no_band_and_one_epoch_has_a_point(one):
    figure = drawn(figures.learning_curves(one))
    assert not figure.axes[0].collections
    assert figure.axes[0].lines[0].get_marker() == MARKERS[5]
    assert [tick for tick in figure.axes[0].get_xticks() if 0.5 <= tick <= 1.5] == [1]
    assert figure.get_supxlabel() == "one seed"


def test_a_curve_ends_with_its_shortest_seed(tmp_path):
    for seed, epochs in enumerate((3, 5)):
        make_run(tmp_path / "plan" / "vgg" / f"seed{seed}", "vgg", seed, epochs=epochs)
    (group,) = group_runs(load_runs(tmp_path))
    mean, low, high = mean_curve(group, lambda run: run.history["val_acc"])
    assert len(mean) == 3
    assert (low <= mean).all()
    assert (mean <= high).all()


def test_the_gap_is_train_minus_validation_and_says_what_train_accuracy_is(six):
    figure = figures.generalization_gap(six)
    history = [run.history for run in six if run.recipe == "vgg"]
    expected = np.mean([np.subtract(h["train_acc"], h["val_acc"]) for h in history], axis=0)
    np.testing.assert_allclose(figure.axes[0].lines[1].get_ydata(), expected)
    assert "augmented and mixed images" in figure.get_supxlabel()


def test_learning_rates_have_a_panel_each(six):
    figure = figures.learning_rates(six)
    titles = [ax.get_title() for ax in figure.axes]
    assert titles[0] == "plan/alexnet\nAlexNet: sgd, cosine"
    assert titles[5] == "plan/vit\nViT-S: adamw, cosine"
    assert figure.axes[5].get_ylim()[1] < 0.01 < figure.axes[0].get_ylim()[1]


def test_growing_images_are_bands(many, tmp_path):
    ax = figures.learning_curves(many).axes[0]
    (above,) = ax.child_axes
    assert [label.get_text() for label in above.get_xticklabels()] == ["32 px", "64 px"]
    assert list(above.get_xticks()) == [3.5, 9.5]
    (band,) = ax.patches
    assert (band.get_x(), band.get_width()) == (6.5, 6)
    make_run(tmp_path / "vgg", "vgg", epochs=3)
    make_run(tmp_path / "vit", "vit", epochs=3)
    path = tmp_path / "vit" / "history.json"
    history = read_json(path)
    write_json(path, history | {"config": history["config"] | {"image_size_schedule": "32:64"}})  # an earlier version's
    figure = figures.learning_curves(load_runs(tmp_path))
    assert not figure.axes[0].child_axes
    assert "growing images: vit, ViT-S (32 px from epoch 1, 64 px from epoch 3)" in figure.get_supxlabel()


# ---- accuracy and costs


def test_bars_are_sorted_and_have_intervals(six):
    figure = figures.accuracy_bars(six)
    (ax,) = figure.axes
    top1, top5 = ax.patches[::2], ax.patches[1::2]
    widths = [bar.get_width() for bar in top1]
    assert widths == sorted(widths, reverse=True)
    assert all(five.get_width() >= one.get_width() for one, five in zip(top1, top5, strict=True))
    assert ax.get_yticklabels()[0].get_text() == LABELS["resnet"]
    assert len(ax.lines) == 12
    assert "95 % confidence interval" in figure.get_supxlabel()


def test_one_seed_has_no_interval_and_that_is_said(one, tmp_path):
    figure = figures.accuracy_bars(one)
    assert not figure.axes[0].lines
    assert figure.get_supxlabel() == "one seed each: no interval over seeds"
    make_plan(tmp_path, models=("vgg",), seeds=2)
    make_plan(tmp_path, models=("vit",), seeds=1)
    assert "one seed, so no interval: plan/vit, ViT-S" in figures.accuracy_bars(load_runs(tmp_path)).get_supxlabel()


def test_the_front_holds_what_nothing_beats():
    costs = pd.Series({"a": 1.0, "b": 2.0, "c": 2.0, "d": 3.0, "e": 4.0, "f": np.nan})
    accuracies = pd.Series({"a": 50.0, "b": 60.0, "c": 55.0, "d": 60.0, "e": 70.0, "f": 99.0})
    assert pareto_front(costs, accuracies) == ["a", "b", "e"]
    assert pareto_front(costs[:0], accuracies[:0]) == []


def test_costs_have_a_panel_each_and_say_what_was_not_measured(six, tmp_path):
    figure = figures.accuracy_against_costs(six)
    assert [ax.get_xlabel() for ax in figure.axes] == [
        "parameters (million)", "operations of one image (GFLOP)", "training time (minutes)",
        "peak memory in training (GiB)",
    ]  # fmt: skip
    assert legend(figure) == ["Pareto front", *LABELS.values()]
    front = figure.axes[0].lines[0]
    table = cost_table(six)
    assert list(front.get_xdata()) == sorted(front.get_xdata())
    assert table["accuracy"].max() == max(front.get_ydata())
    make_run(tmp_path / "alone", "resnet")
    (tmp_path / "alone" / "measurements.json").unlink()
    bare = figures.accuracy_against_costs(load_runs(tmp_path))
    assert "not measured" in bare.axes[1].texts[0].get_text()
    assert not bare.axes[1].lines
    assert len(bare.axes[0].lines) == 3


def test_published_numbers_are_hollow_and_ours_filled_only_for_the_same_task(tmp_path, one):
    table = pd.DataFrame(
        [
            ("resnet", 64.0, 85.0, 80, "held-out train", "none", "", "a"),
            ("vit", 57.0, None, 100, "test", "none", "", "b"),
            ("resnet34", 73.0, None, 9, "test", "ImageNet", "", "c"),
        ],
        columns=list(PUBLISHED_COLUMNS),
    )
    apart = figures.published_accuracy(one, table)
    assert [line.get_markerfacecolor() for line in apart.axes[0].lines] == ["none"] * 3
    assert [line.get_marker() for line in apart.axes[0].lines] == ["o", "X", "*"]
    assert "ours" not in legend(apart)
    make_plan(tmp_path, models=("resnet",), dataset="tiny-imagenet", classes=200, per_class=2, robust=False)
    together = figures.published_accuracy(load_runs(tmp_path), table)
    assert len(together.axes[0].lines) == 5
    assert legend(together)[-1] == "ours"
    with pytest.raises(UserError, match="no published"):
        figures.published_accuracy(one, table[:0])


def test_hours_are_shown_of_what_was_chosen_without_the_test_images(tmp_path, one):
    table = pd.DataFrame(
        [
            ("resnet", 64.0, "held-out train", "none", 30.0, "laptop"),
            ("vgg", 60.0, "last (median of 10)", "none", 0.5, "TPU"),
            ("vit", 30.0, "last", "none", None, "laptop"),
            ("alexnet", 57.0, "test", "none", 2.0, "laptop"),
            ("resnet34", 73.0, "last", "ImageNet", 1.0, "laptop"),
            ("swin", 70.0, None, "none", 1.0, "laptop"),
        ],
        columns=["network", "top1", "epoch_chosen_on", "pretraining", "hours", "hardware"],
    )
    (ax,) = figures.published_hours(one, table).axes
    assert [(*line.get_xdata(), *line.get_ydata()) for line in ax.lines] == [(30, 64), (0.5, 60)]
    make_plan(tmp_path, models=("densenet",), dataset="tiny-imagenet", classes=200, per_class=2, robust=False)
    (run, *_) = load_runs(tmp_path)
    together = figures.published_hours(load_runs(tmp_path), table)
    assert together.axes[0].lines[-1].get_xdata() == [run.history["total_training_time_seconds"] / 3600]
    names = ["DenseNet-121", "ResNet-18", "VGG-16", "TPU", "laptop"]
    assert legend(together) == [*names, f"ours, {run.history['environment']['device_name']}"]
    with pytest.raises(UserError, match="states its hours"):
        figures.published_hours(one, table[2:])


def test_published_numbers_are_read(tmp_path):
    assert read_published(tmp_path).empty
    (tmp_path / "published.csv").write_text(",".join(PUBLISHED_COLUMNS) + "\nvgg,60.5,,80,last,none,by hand,someone\n")
    (row,) = read_published(tmp_path).itertuples()
    assert (row.top1, row.pretraining) == (60.5, "none")
    (tmp_path / "published.csv").write_text("network,top1\nvgg,60\n")
    with pytest.raises(UserError, match="lacks top5"):
        read_published(tmp_path)


# ---- classes, predictions, robustness


def test_the_confusion_matrix_is_percent_of_each_class(six):
    figure = figures.confusion_matrix(six, LABELS["vgg"])
    ax = figure.axes[0]
    cells = ax.collections[0].get_array()
    np.testing.assert_allclose(cells.sum(axis=1), 100)
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert sorted(names) == [f"thing {label}" for label in range(10)]
    assert names == [label.get_text() for label in ax.get_xticklabels()]
    counts = sum(np.array(run.tests["best"]["confusion_matrix"]) for run in six if run.recipe == "vgg")
    first = int(names[0].split()[1])
    assert cells[0, 0] == pytest.approx(100 * counts[first, first] / 40)
    assert figure.get_suptitle() == "plan/vgg, VGG-16, 2 seeds"
    assert figures.confusion_matrix(six).get_suptitle() == "plan/resnet, ResNet-18, 2 seeds"
    with pytest.raises(UserError, match="svm has not been tested; there are: plan/alexnet, AlexNet;"):
        figures.confusion_matrix(six, "svm")


def test_many_classes_are_drawn_without_crowding(tmp_path_factory):
    many = plan(tmp_path_factory, models=("vgg", "resnet"), seeds=1, classes=60, per_class=3, robust=False)
    ax = drawn(figures.class_accuracy(many)).axes[0]
    assert len(ax.get_xticklabels()) == 20
    assert [label.get_text() for label in ax.get_yticklabels()] == [LABELS["vgg"], LABELS["resnet"]]
    assert not drawn(figures.confusion_matrix(many)).axes[0].get_xticklabels()


def test_classes_stand_hardest_first(six):
    ax = figures.class_accuracy(six).axes[0]
    means = ax.collections[0].get_array().mean(axis=1)
    assert (np.diff(means) >= 0).all()


def test_runs_tested_on_other_classes_are_not_compared(tmp_path):
    make_run(tmp_path / "plan" / "vgg" / "seed0", "vgg", classes=10)
    make_run(tmp_path / "plan" / "vit" / "seed0", "vit", classes=8)
    with pytest.raises(UserError, match="different classes"):
        figures.class_accuracy(load_runs(tmp_path))


def test_the_reliability_diagram_shows_the_bins_of_all_seeds(six):
    figure = figures.reliability_diagram(six)
    ax = figure.axes[1]
    answers = predictions_by_recipe(six)[LABELS["vgg"]]
    together = pooled(answers, "vgg")
    table = reliability_table(together.logits, together.labels)
    assert table["count"].sum() == 2 * 200
    np.testing.assert_allclose([bar.get_height() for bar in ax.patches], table["accuracy"].fillna(0))
    np.testing.assert_allclose(ax.lines[1].get_ydata(), table["count"] / 400)
    faint = [bar.get_alpha() < 1 for bar in ax.patches]
    assert faint == (table["count"] < 10).tolist()
    calibration = np.mean([run.tests["best"]["ece"] for run in six if run.recipe == "vgg"])
    assert ax.get_title() == f"plan/vgg\nVGG-16, ECE {calibration:.3f}"


def test_agreement_is_symmetric_and_its_diagonal_is_of_two_seeds(six, tmp_path):
    same, kappa = agreement_matrices(predictions_by_recipe(six))
    np.testing.assert_allclose(same, same.T)
    np.testing.assert_allclose(kappa, kappa.T)
    first, second = predictions_by_recipe(six)[LABELS["vit"]]
    assert same.loc[LABELS["vit"], LABELS["vit"]] == pytest.approx(100 * (first.predicted == second.predicted).mean())
    pairs = [
        (a.predicted == b.predicted).mean() for a in predictions_by_recipe(six)[LABELS["vgg"]] for b in (first, second)
    ]
    assert same.loc[LABELS["vgg"], LABELS["vit"]] == pytest.approx(100 * np.mean(pairs))
    cells = figures.agreement_between_models(six).axes[0].collections[0].get_array()
    np.testing.assert_allclose(cells, same)
    make_plan(tmp_path, models=("vgg", "vit"), seeds=1)
    single = figures.agreement_between_models(load_runs(tmp_path))
    assert np.isnan(np.ma.filled(single.axes[0].collections[0].get_array(), np.nan)).tolist() == [[1, 0], [0, 1]]
    assert "empty for one seed" in single.get_supxlabel()


def test_recipes_that_do_not_differ_are_joined(tmp_path):
    for recipe, model in (("resnet", "resnet"), ("twin", "resnet"), ("alexnet", "alexnet")):
        make_run(tmp_path / "plan" / recipe / "seed0", model, per_class=60)
    figure = figures.critical_differences(load_runs(tmp_path))
    values, joined = figure.axes
    assert [label.get_text().split(",")[0] for label in values.get_yticklabels()][2] == "plan/alexnet"
    (bar,) = joined.lines
    assert list(bar.get_ydata()) == [0, 1]
    assert len(values.lines) == 6
    assert "may not hold for other seeds: " in figure.get_supxlabel()


def test_robustness_has_a_panel_a_family_that_starts_with_the_clean_accuracy(six):
    figure = figures.corruption_curves(six)
    assert [ax.get_title() for ax in figure.axes] == ["noise", "blur", "weather", "digital"]
    noise, resnet = figure.axes[0], [run for run in six if run.recipe == "resnet"]
    content = [read_json(run.folder / "robustness.json") for run in resnet]
    line = noise.lines[2]
    assert list(line.get_xdata()) == [0, 1, 2, 3, 4, 5]
    assert line.get_ydata()[0] == pytest.approx(np.mean([about["clean_acc"] for about in content]))
    pair = ("gaussian_noise", "shot_noise")
    noises = [about["corruptions"][name]["accuracy"][4] for about in content for name in pair]
    assert line.get_ydata()[5] == pytest.approx(np.mean(noises))
    attacks = figures.attack_curves(six)
    assert [ax.get_title() for ax in attacks.axes] == ["FGSM", "PGD"]
    assert list(attacks.axes[0].lines[0].get_xdata()) == [0, 1, 2, 4, 8]


def test_missing_and_damaged_robustness_are_one_line(tmp_path):
    make_run(tmp_path / "alone", "resnet", robust=False)
    runs = load_runs(tmp_path)
    with pytest.raises(UserError, match=r"python src/test\.py --robustness"):
        figures.corruption_curves(runs)
    write_json(tmp_path / "alone" / "robustness.json", {"clean_acc": 50.0, "corruptions": {}})
    with pytest.raises(UserError, match="no attack was measured"):
        figures.attack_curves(runs)
    write_json(tmp_path / "alone" / "robustness.json", {"corruptions": {"fog": {"accuracy": [1, 2]}}})
    with pytest.warns(Notice, match=r"left out: .*robustness\.json is damaged"), pytest.raises(UserError):
        figures.corruption_curves(runs)


def test_untested_runs_are_drawn_where_no_test_is_needed(tmp_path):
    make_run(tmp_path / "alone", "resnet", robust=False)
    (tmp_path / "alone" / "test_results.json").unlink()
    runs = load_runs(tmp_path)
    assert len(figures.learning_curves(runs).axes[0].lines) == 1
    with pytest.raises(UserError, match="no run has been tested"):
        figures.accuracy_bars(runs)


@pytest.mark.parametrize("file", ["history.json", "test_results.json", "predictions.npz", "robustness.json"])
def test_a_damaged_file_of_one_run_is_named_and_left_out(tmp_path, file):
    make_plan(tmp_path, models=("vgg", "vit"), seeds=2)
    damaged = tmp_path / "plan" / "vit" / "seed1" / file
    damaged.write_bytes(b"[")
    with noticed() as lines:
        runs = load_runs(tmp_path)
        for draw in ALL.values():
            draw(runs)
    assert len(lines) == 1
    assert lines[0].startswith(f"left out: {damaged} is damaged")


def test_curves_of_averaged_weights_are_drawn_beside_the_plain_ones(tmp_path):
    make_run(tmp_path / "vit", "vit", epochs=3)
    path = tmp_path / "vit" / "history.json"
    averages = {"ema_val_acc": [10.0, 20.0, 99.0], "ema_val_loss": [3.0, 2.0, 1.0]}
    write_json(path, read_json(path) | averages | {"best_epoch": 3})
    runs = load_runs(tmp_path)
    figure = figures.learning_curves(runs)
    plain, average = figure.axes[0].lines
    assert list(average.get_ydata()) == averages["ema_val_acc"]
    assert list(plain.get_ydata()) == runs[0].history["val_acc"]
    assert "pale lines: EMA weights" in figure.get_supxlabel()
    assert "tested with EMA weights: vit (1 of 1 seed)" in figures.accuracy_bars(runs).get_supxlabel()


# ---- which runs are compared


def test_the_largest_plan_is_compared_and_others_by_name(tmp_path):
    make_plan(tmp_path, plan="large", models=("vgg", "vit"), seeds=1, robust=False)
    make_plan(tmp_path, plan="small", models=("vgg",), seeds=2, robust=False)
    make_run(tmp_path / "large" / "resnet" / "seed0", "resnet", classes=8, robust=False)  # another task
    make_run(tmp_path / "alone", "resnet", robust=False)
    runs = load_runs(tmp_path)
    assert [run.name for run in comparable_runs(runs)] == ["large/vgg/seed0", "large/vit/seed0"]
    assert [run.name for run in comparable_runs(runs, "small")] == ["small/vgg/seed0", "small/vgg/seed1"]
    assert comparable_runs([]) == []
    with pytest.raises(UsageError, match="no plan 'none' among the results; plans that are there: large, small"):
        comparable_runs(runs, "none")
