"""search: what it may choose from, a study that is killed and goes on, and what it ends with."""

import json
import math
import subprocess
import sys
import time
from pathlib import Path

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from tinybench import figures
from tinybench.cli import compare
from tinybench.cli import search as search_command
from tinybench.cli.search import entry_text, gain_line, summary
from tinybench.configuration import get_recipe, load_recipes, load_searches
from tinybench.errors import UsageError, UserError
from tinybench.recipe import Recipe
from tinybench.results.runs import load_runs
from tinybench.results.searches import best_so_far, read_search, saved_epochs, stopped_early
from tinybench.runs import find_runs
from tinybench.runtime.files import write_json
from tinybench.sweep.gain import Gain, measure_gain
from tinybench.sweep.launchers import CALLED_OFF
from tinybench.sweep.run_one import HELD, RunPaths, run_one_logged
from tinybench.sweep.search import Search, SearchStudy, carry_out_search
from tinybench.sweep.space import distributions, read_space, recipe_with, values_of
from tinybench.training.saving import DIVERGED, Stopped
from tinybench.words import counted

ROOT = Path(__file__).resolve().parents[1]
RECIPE = Recipe(model="alexnet", epochs=4, lr=0.1, augment="none")
SPACE = {"lr": "1e-3..1:log", "label_smoothing": "0..0.2"}
JITTER = "shift(2)|jitter(0.1,0.1,0.1,0)"
SMALL = (
    "--dataset", "demo", "--image_size", "32", "--images_per_class", "10", "--precision", "fp32", "--device", "cpu",
)  # fmt: skip


@pytest.fixture
def paths(tmp_path):
    return RunPaths(results_dir=tmp_path / "results", device="cpu")


def small_search(**changes):
    return Search(**{"name": "found", "recipe": RECIPE, "space": SPACE, "trials": 12} | changes)


def accuracies(recipe):
    """Of each epoch: the nearer lr is to 0.01, the better."""
    top = 80 - 30 * abs(2 + math.log10(recipe.lr))
    return [top * (epoch + 1) / recipe.epochs for epoch in range(recipe.epochs)]


def write_history(folder, recipe, values):
    lists = {name: [1.0] * len(values) for name in ("train_loss", "train_acc", "val_loss", "lr", "epoch_seconds")}
    about = {"config": recipe.as_dict(), "best_epoch": len(values)}
    write_json(folder / "history.json", {**lists, "val_acc": values, **about})
    (folder / "best_model.pth").touch()


def launch(runs, paths, watch, *, killed_in=None, outcome=None):
    """Carries runs out without training; killed in the run of that number, or with that outcome for all."""
    for count, run in enumerate(runs):
        folder, values = paths.results_dir / run.name, accuracies(run.recipe)
        for epoch in range(1, len(values) + 1):
            write_history(folder, run.recipe, values[:epoch])
            if count == killed_in:
                raise Stopped("killed")
            if watch(run):
                yield run, CALLED_OFF
                break
        else:
            yield run, outcome


def in_this_process(runs, paths, watch):
    for run in runs:
        reason = run_one_logged(run, paths)
        watch(run)
        yield run, reason


# ---- what is chosen from


@pytest.mark.parametrize(
    ("field", "text", "expected"),
    [
        ("lr", "1e-4..1e-1:log", FloatDistribution(1e-4, 1e-1, log=True)),
        ("lr", "x0.5..x2", FloatDistribution(0.05, 0.2)),
        ("dropout", "0..0.5", FloatDistribution(0, 0.5)),
        ("batch_size", "64..x4:log", IntDistribution(64, 512, log=True)),
        ("augment", f"basic,{JITTER}", CategoricalDistribution(["basic", JITTER])),
        ("nesterov", "true,false", CategoricalDistribution([True, False])),
        ("mixup_cutmix_alpha", "0,0.4", CategoricalDistribution([0, 0.4])),
    ],
)  # fmt: skip
def test_ranges_and_values_as_text(field, text, expected):
    assert distributions({field: text}, RECIPE) == {field: expected}


@pytest.mark.parametrize(
    ("space", "named"),
    [
        ({}, "at least one field"),
        ({"learning_rate": "1..2"}, "'learning_rate' cannot be searched; fields that can: model"),
        ({"epochs": "1..2"}, "'epochs' cannot be searched"),
        ({"betas": "0.9,0.99"}, "'betas' cannot be searched"),
        ({"lr": "1..0.1"}, r"lr=1..0.1: "),
        ({"lr": "0..1:log"}, r"lr=0..1:log: "),
        ({"lr": "fast"}, "lr=fast: lr must be a valid number"),
        ({"lr": "1e-3..1e9"}, "less than or equal to"),
        ({"dropout": "0.1,1.0"}, "dropout=0.1,1.0: dropout must be less than 1"),
        ({"dropout": "x0.5..x2"}, "of which there are no multiples"),
        ({"dropout": "0.1,0.1"}, "stands there twice"),
        ({"augment": "1..2"}, "list its values"),
        ({"augment": "basic,blur"}, "no known operation"),
        ({"scheduler": "cosine,sine"}, "'cosine', 'onecycle'"),
        ({"mix_probability": "0.1..0.9"}, "mix_probability goes with a mixup_cutmix_alpha above 0"),
    ],
)
def test_a_wrong_space_is_one_line(space, named):
    with pytest.raises(UsageError, match=named) as caught:
        distributions(space, RECIPE)
    assert "\n" not in str(caught.value)


def test_a_field_may_act_by_another_one_of_the_space():
    space = {"mix_probability": "0.1..0.9", "mixup_cutmix_alpha": "0,0.4"}
    assert set(distributions(space, RECIPE)) == set(space)
    assert recipe_with(RECIPE, {"mix_probability": 0.25, "mixup_cutmix_alpha": 0.4}).mix_probability == 0.25
    assert recipe_with(RECIPE, {"mix_probability": 0.25, "mixup_cutmix_alpha": 0.0}) == RECIPE


def test_names_of_config_and_single_fields_add_up():
    space = read_space(["usual", "lr=1..2"])
    assert space == {**load_searches()["usual"], "lr": "1..2"}
    with pytest.raises(UsageError, match="'all' is neither FIELD=RANGE"):
        read_space(["all"])


@pytest.mark.parametrize("name", load_searches())
@pytest.mark.parametrize("entry", ["resnet", "vit"])
def test_the_searches_of_config_fit_its_recipes(name, entry):
    recipe = get_recipe(entry)
    for field, distribution in distributions(load_searches()[name], recipe).items():
        ends = getattr(distribution, "choices", None) or (distribution.low, distribution.high)
        assert [recipe_with(recipe, {field: end}) for end in ends]


def test_the_start_is_what_would_be_drawn_for_it_if_it_can_be():
    among = distributions({"lr": "0.01..1:log", "augment": "basic,none"}, RECIPE)
    assert values_of(RECIPE, among) == {"lr": 0.1, "augment": "none"}
    assert values_of(RECIPE.changed(lr=2.0), among) is None
    basic = recipe_with(RECIPE, {"augment": "basic"})
    assert basic.augment == "shift(4)|flip"
    assert values_of(basic, among)["augment"] == "basic"


# ---- the study


def test_a_search_finds_the_better_recipe_and_stops_bad_ones_early(paths):
    lines = []
    study = carry_out_search(small_search(), paths, launch, lines.append)
    found = read_search(paths.results_dir, "found")
    trials = found["trials"]
    assert [trial["number"] for trial in trials] == list(range(12))
    assert trials[0]["start"]
    assert trials[0]["val_acc"] == pytest.approx(50)  # lr 0.1
    best = trials[found["best"]]
    assert best["val_acc"] == max(trial["val_acc"] for trial in trials if trial["state"] == "complete") > 50
    assert study.best_recipe().lr == pytest.approx(best["values"]["lr"], rel=0.01)
    stopped = [trial for trial in trials if trial["state"] == "pruned"]
    assert stopped
    assert all(1 < trial["epochs"] < 4 for trial in stopped)  # the first says little
    assert saved_epochs(found) == (sum(4 - trial["epochs"] for trial in stopped), pytest.approx(saved_epochs(found)[0]))
    assert best_so_far(found)[-1] == best["val_acc"]
    assert len(lines) == 12
    assert sum("stopped after" in line for line in lines) == len(stopped)
    assert not list(paths.results_dir.rglob("*.pth"))


def test_trials_are_not_among_the_trained_runs(paths):
    for folder in ("own", "found/trials/000"):
        write_history(paths.results_dir / folder, RECIPE, [1.0])
    assert list(find_runs(paths.results_dir)) == [run.name for run in load_runs(paths.results_dir)] == ["own"]
    assert "found/trials/000" in find_runs(paths.results_dir, "history.json")


@pytest.mark.parametrize("killed_in", [0, 7])
def test_a_search_that_is_killed_goes_on_to_the_same_trials(paths, tmp_path, killed_in):
    whole = RunPaths(results_dir=tmp_path / "whole")
    carry_out_search(small_search(), whole, launch, len)

    def killed(*arguments):
        return launch(*arguments, killed_in=killed_in)

    with pytest.raises(Stopped):
        carry_out_search(small_search(), paths, killed, len)
    carry_out_search(small_search(), paths, launch, len)
    assert read_search(paths.results_dir, "found") == read_search(whole.results_dir, "found")


def test_more_trials_go_on_and_none_is_repeated(paths):
    carry_out_search(small_search(trials=2), paths, launch, len)
    before = read_search(paths.results_dir, "found")["trials"]
    lines = []
    carry_out_search(small_search(trials=4), paths, launch, lines.append)
    assert read_search(paths.results_dir, "found")["trials"][:2] == before
    assert len(lines) == 2


def test_minutes_of_training_end_a_search(paths):
    carry_out_search(small_search(minutes=5 / 60), paths, launch, len)  # an epoch takes a second
    assert len(read_search(paths.results_dir, "found")["trials"]) == 2


def test_what_was_trained_already_is_not_trained_again(paths):
    trained = []

    def counting(runs, *others):
        return launch((trained.append(run) or run for run in runs), *others)

    carry_out_search(small_search(space={"nesterov": "true,false"}, trials=6, pruner="none"), paths, counting, len)
    assert len(trained) == 2
    assert {trial["epochs"] for trial in read_search(paths.results_dir, "found")["trials"]} == {4, 0}


def test_a_trial_that_diverges_is_a_bad_one_and_one_that_does_not_fit_is_left_out(paths):
    outcomes = {}

    def diverging(runs, *others):
        for run, reason in launch(runs, *others):
            yield run, f"{DIVERGED} in epoch 3" if run.recipe.lr > 0.5 else reason

    space = {"lr": "0.1,0.9", "min_lr": "1e-6,0.5"}
    search = small_search(space=space, trials=8, pruner="none")
    carry_out_search(search, paths, diverging, lambda line: outcomes.setdefault(line.split("; ")[-1][:8], line))
    assert {"diverged", "left out"} <= outcomes.keys()
    assert "min_lr 0.5 is above lr 0.1" in outcomes["left out"]
    found = read_search(paths.results_dir, "found")
    assert "diverged" in {trial["state"] for trial in found["trials"]}
    assert saved_epochs(found)[0] == 0


@pytest.mark.parametrize(("pruner", "names"), [("hyperband", {"complete", "pruned"}), ("none", {"complete"})])
def test_other_pruners(paths, pruner, names):
    carry_out_search(small_search(pruner=pruner, trials=10), paths, launch, len)
    assert {trial["state"] for trial in read_search(paths.results_dir, "found")["trials"]} == names


def test_what_fails_time_after_time_ends_the_search_and_says_where_to_look(paths):
    def failing(*arguments):
        return launch(*arguments, outcome="out of memory")

    with pytest.raises(UserError, match=r"trials/000 failed: out of memory; .*log.txt says more"):
        carry_out_search(small_search(), paths, failing, len)
    carry_out_search(small_search(trials=2), paths, launch, len)
    with pytest.raises(UserError, match="trials/004 failed"):  # the third in a row
        carry_out_search(small_search(), paths, failing, len)


def test_a_trial_that_another_process_carries_out_is_left_to_it(paths):
    here, there = (SearchStudy(small_search(trials=3), paths, len) for _ in range(2))
    mine, its = next(here.runs()), next(there.runs())
    assert [Path(run.name).name for run in (mine, its)] == ["000", "001"]
    list(launch([its], paths, there.watch))
    there.end(its, None)
    assert [Path(run.name).name for run in there.runs()] == ["002"]  # and nothing more: mine is held
    here.end(mine, HELD)
    assert next(there.runs()).name == mine.name  # nobody's any more


def test_a_study_of_another_search_is_refused(paths):
    SearchStudy(small_search(), paths)
    for changes, named in (
        ({"space": {"lr": "1..2"}}, "holds a search over"),
        ({"recipe": RECIPE.changed(dropout=0.5)}, "holds a search with dropout 0.0, not 0.5"),
        ({"storage": "sqlite:////nowhere/study.db"}, "cannot open the study in sqlite"),
        ({"storage": "none://secret:word@there/db"}, r"cannot open the study in none://\*\*\*@there/db"),
    ):
        with pytest.raises(UsageError, match=named):
            SearchStudy(small_search(**changes), paths)
    (paths.results_dir / "found" / "study.db").write_bytes(b"no database" * 1000)
    with pytest.raises(UsageError, match=r"cannot open the study in .*study\.db"):
        SearchStudy(small_search(), paths)


# ---- what it ends with


def test_the_entry_for_config_is_the_recipe_that_was_found(tmp_path):
    recipe = recipe_with(get_recipe("vit"), {"lr": 0.00123456, "augment": "basic"})
    text = entry_text("vit_found", recipe)
    assert 'augment="basic"' in text
    path = tmp_path / "config.py"
    path.write_text(f"from tinybench.recipe import Recipe\nRECIPES = {{\n{text}\n}}\n")
    (found,) = load_recipes(path).values()
    assert recipe_with(found, {}) == recipe


def test_summary_and_gain_in_words(paths):
    carry_out_search(small_search(trials=20), paths, launch, len)
    found = read_search(paths.results_dir, "found")
    lines = summary(found)
    assert lines[0].startswith(f"best of 20 trials: {found['best']}, ")
    assert f"{counted(len(stopped_early(found)), 'trial')} stopped early, which saved" in "\n".join(lines)
    assert any(line.startswith("what mattered: lr ") for line in lines)
    line = gain_line(Gain([40.0, 41.0], [42.0, 44.0]), 7)
    assert line.startswith(
        "with other seeds: 40.50 % for the start, 43.00 % for trial 7: +2.50 points (95 % interval -3.85"
    )


def test_the_gain_is_measured_with_seeds_of_its_own(paths, capsys):
    found = RECIPE.changed(lr=0.01)
    gain = measure_gain("found", RECIPE, found, 7, 2, paths, launch)
    assert gain == ([pytest.approx(50)] * 2, [pytest.approx(80)] * 2)
    names = {path.parent.relative_to(paths.results_dir).as_posix() for path in paths.results_dir.rglob("history.json")}
    assert names == {f"found/{what}/seed{seed}" for what in ("start", "trial007") for seed in (1, 2)}
    assert measure_gain("found", RECIPE, found, 7, 2, paths, None) == gain  # nothing is left to do


def test_figures_of_a_search(paths):
    space = {**SPACE, "augment": "none,basic", "batch_size": "32..64"}
    carry_out_search(small_search(space=space), paths, launch, len)
    search = read_search(paths.results_dir, "found")
    figure = figures.search_fields(search)
    assert {ax.get_xlabel().split()[0] for ax in figure.axes} == set(space)
    (ax,) = figures.search_trials(search).axes
    drawn = sum(len(line.get_xdata()) for line in ax.lines if line.get_label() in ("finished", "stopped early"))
    assert drawn == 12


def test_a_search_that_is_missing_or_damaged_is_one_line(paths):
    with pytest.raises(UserError, match="search first"):
        read_search(paths.results_dir, "found")
    path = paths.results_dir / "found" / "search.json"
    write_json(path, {"name": "found"})
    with pytest.raises(UserError, match="is damaged"):
        read_search(paths.results_dir, "found")


# ---- the command


def command(*words, paths):
    folders = ("--results_dir", paths.results_dir, "--data_dir", paths.data_dir)
    return [sys.executable, str(ROOT / "src" / "search.py"), *map(str, (*words, *SMALL, *folders))]


def test_two_workers_of_which_one_is_killed_share_a_search(tmp_path, demo_data):
    """On real trainings: every trial once, and the test images never."""
    paths = RunPaths(data_dir=demo_data, results_dir=tmp_path / "results", device="cpu")
    words = ("--model", "svm", "--epochs", "2", "--name", "shared", "--trials", "2", "--retrain", "0")
    words += ("--space", "lr=x0.1..x10:log", "--output_dir", tmp_path / "plots")
    both = [
        subprocess.Popen(command(*words, paths=paths), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    folder = paths.results_dir / "shared" / "trials"
    until = time.monotonic() + 120
    while not list(folder.glob("*/history.json")):
        assert time.monotonic() < until
        time.sleep(0.05)
    both[0].kill()
    both[0].communicate()
    out, errors = both[1].communicate(timeout=300)
    assert both[1].returncode == 0, errors
    found = read_search(paths.results_dir, "shared")
    assert [trial["number"] for trial in found["trials"]] == [0, 1]
    assert {path.name for path in folder.iterdir()} == {"000", "001"}
    assert "best of 2 trials" in out
    for trial in found["trials"]:
        history = json.loads((folder / f"{trial['number']:03d}" / "history.json").read_text())
        assert len(history["val_acc"]) == trial["epochs"]
    assert not list(paths.results_dir.rglob("test_results*.json"))
    assert not [run.name for run in load_runs(paths.results_dir) if "trials" in run.name]
    assert (tmp_path / "plots" / "shared" / "search_fields.png").exists()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--space", "lr=fast"), "lr=fast"),
        (("--model", "lenet"), "lenet"),
        (("--name", "../x"), "--name '../x' must name a folder"),
        (("--trials", "0"), "--trials"),
        (("--cpus_per_run", "2"), "goes with --executor ray"),
    ],
)
def test_wrong_commands_are_one_line(words, named, paths, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["search.py", *words, *SMALL, "--results_dir", str(paths.results_dir)])
    with pytest.raises(UsageError, match=named):
        search_command.main()


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(search_command.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["search.py"])
    with pytest.raises(UsageError, match="pip install optuna"):
        search_command.main()


# ---- before a comparison


def test_a_plan_searches_with_as_many_trials_for_each_network(tmp_path, demo_data, monkeypatch, capsys):
    results_dir = tmp_path / "results"
    monkeypatch.setattr("tinybench.profiling.inference.SECONDS", 0.05)
    monkeypatch.setattr(compare.Arguments, "launcher", lambda _: in_this_process)
    flags = ["--models", "svm", "mnist_svm", "--seeds", "1", "--epochs", "2", "--name", "fair", *SMALL]
    flags += ["--search_trials", "2", "--search_space", "lr=x0.1..x10:log", "--data_dir", str(demo_data)]
    argv = ["compare.py", *flags, "--results_dir", str(results_dir)]
    for flag, lines in (("--dry_run", 2), ("--status", 2)):
        monkeypatch.setattr(sys, "argv", [*argv, flag])
        compare.main()
        assert len(capsys.readouterr().out.splitlines()) == lines
    monkeypatch.setattr(sys, "argv", argv)
    assert compare.main() == 0
    shown = capsys.readouterr().out
    assert [line.split()[-1] for line in shown.splitlines() if line.startswith(("svm ", "mnist_svm "))] == ["2", "2"]
    runs = load_runs(results_dir, "fair")
    assert [run.recipe for run in runs] == ["mnist_svm", "svm"]
    for run in runs:
        found = read_search(results_dir / "fair", f"search_{run.recipe}")
        assert found["recipe"]["seed"] == 1 != run.history["config"]["seed"]
        best = found["trials"][found["best"]]
        expected = found["recipe"]["lr"] if best["start"] else best["values"]["lr"]
        assert run.history["config"]["lr"] == pytest.approx(expected, rel=0.01)
    (ax,) = figures.accuracy_by_trials(runs).axes
    assert [len(line.get_xdata()) for line in ax.lines] == [2, 2]
    monkeypatch.setattr(sys, "argv", [*argv, "--status"])
    compare.main()
    assert capsys.readouterr().out.count("finished") == 2
