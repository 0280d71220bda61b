"""README and docs: links lead somewhere, commands are those that there are, numbers are those of results/."""

import importlib
import json
import re
import shlex
import shutil
import sys
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from unittest.mock import patch

import pandas as pd
import pytest

from tinybench.cli import console, train
from tinybench.data.augment.operations import OPERATIONS
from tinybench.models import MODELS

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")))
SCRIPTS = [path.relative_to(ROOT).as_posix() for path in (*ROOT.glob("src/*.py"), *ROOT.glob("benchmarks/*.py"))]
# Blocks of code by their language and title; spans of code in the text between them.
BLOCK = re.compile(r'^```(\w*)(?: title="(.+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
# The recipes in the files that pages show.
RECIPE_OF = {"README.md": "my_net", "docs/adding_a_network.md": "my_net", "docs/augmentation.md": "inverted"}
# Programs of others, whose flags are theirs.
OTHERS = {
    "pip", "python3", ".", "eval", "ruff", "mypy", "mkdocs", "jupyter", "tensorboard", "wandb", "mlflow", "trackio",
    ".ci/run", "python -m",
}  # fmt: skip


def text_of(page):
    return (ROOT / page).read_text(encoding="utf-8")


def lines_of(page):
    """The commands in the blocks of a page, in their order."""
    for language, _, block in BLOCK.findall(text_of(page)):
        lines = re.sub(r"\\\n *", "", block).splitlines()
        if language == "console":
            yield from (line.removeprefix("$ ") for line in lines if line.startswith("$ "))
        elif language == "bash":
            yield from (part for line in lines for part in line.partition(" #")[0].split(" && ") if part.strip())


def spans_of(page):
    return SPAN.findall(BLOCK.sub("", text_of(page)))


@cache
def module_of(script):
    """The module with the Arguments of a script."""
    path = ROOT / script
    assert path.exists(), f"there is no {script}"
    if path.parent.name != "benchmarks":
        return importlib.import_module(f"tinybench.cli.{path.stem}")
    spec = spec_from_file_location(f"benchmark_{path.stem}", path)
    module = sys.modules[spec.name] = module_from_spec(spec)
    with pytest.MonkeyPatch.context() as context:
        context.syspath_prepend(path.parent)  # they import each other
        spec.loader.exec_module(module)
    return module


def ours(line):
    """The script of a command and its flags; None if it is another program's."""
    words = shlex.split(line)
    if words[0] == "torchrun":
        words = words[next(place for place, word in enumerate(words) if word.endswith(".py")) :]
    elif words[0] == "tinybench":
        if words[1].startswith("--"):
            return None
        words = [f"src/{words[1]}.py", *words[2:]]
    elif words[0] == "make":
        assert f"\n{words[1]}: " in text_of("Makefile")
        return None
    elif words[0] == "python" and words[1].endswith(".py"):
        words = words[1:]
    else:
        assert {words[0], " ".join(words[:2])} & OTHERS, f"{line}: what program is this?"
        return None
    return words[0], [word for word in words[1:] if word != "…"]


def our_commands(page):
    """The scripts and flags of all commands of the project, in blocks and in the text."""
    spans = [span for span in spans_of(page) if span.startswith(("python ", "torchrun ", "tinybench ", "make "))]
    return [command for line in [*lines_of(page), *spans] if (command := ours(line))]


def parse(monkeypatch, script, flags):
    monkeypatch.setattr(sys, "argv", [script, *flags])
    if script == "src/train.py":
        with patch.dict(MODELS), patch.dict(OPERATIONS):
            train.parse_arguments(None)  # its recipe must fit together too
    else:
        console.parse(module_of(script).Arguments, None)


def write_files(page, folder):
    """Write the files that a page shows with their names."""
    paths = []
    for _, title, block in BLOCK.findall(text_of(page)):
        if title:
            paths.append(folder / title)
            paths[-1].write_text(block)
    return paths


def anchors_of(page):
    """What GitHub and mkdocs call the headings of a page."""
    headings = re.findall(r"^#+ (.+)", BLOCK.sub("", text_of(page)), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = BLOCK.sub("", text_of(page))
    for target in re.findall(r'\]\(([^)]+)\)|src="([^"]+)"', text):
        path, _, anchor = "".join(target).partition("#")
        if path.startswith("https:"):
            continue
        file = (ROOT / page).parent / path if path else ROOT / page
        assert file.exists(), f"{page}: {path}"
        if anchor:
            assert anchor in anchors_of(file.resolve().relative_to(ROOT)), f"{page}: {path}#{anchor}"


def test_the_readme_is_short_and_lists_its_sections():
    text = text_of("README.md")
    assert len(text.splitlines()) <= 180
    sections = [heading for heading in re.findall(r"^## (.+)", text, re.MULTILINE) if heading != "Contents"]
    assert re.findall(r"^- \[(.+)\]\(#", text, re.MULTILINE) == sections
    pages = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/*.md")}
    assert pages <= set(re.findall(r"\]\((docs/\w+\.md)\)", text))


def test_numbers_are_those_of_the_results():
    readme, results = text_of("README.md"), text_of("docs/results.md")
    table = pd.read_csv(ROOT / "results" / "model_comparison.csv").set_index(["plan", "recipe"])
    for row in table.loc["subset10"].itertuples():
        interval = f"{row.test_acc_mean:.2f} % ({row.test_acc_low:.2f} to {row.test_acc_high:.2f})"
        costs = f"{row.parameters / 1e6:.2f} M | {row.flops / 1e9:.2f} | {row.training_seconds_mean / 60:.1f}"
        said = f"| {interval} | {row.test_top5_acc_mean:.2f} % | {row.ece_mean:.3f} | {costs} |"
        assert f"| {MODELS[row.model].title} {said}\n" in results
    for name in ("pretrained/speednet", "twohours/resnet/seed0", "twohours/alexnet/seed0", "svm"):
        run = json.loads((ROOT / "results" / name / "test_results.json").read_text())
        (line,) = re.findall(rf"^\| `{name}`.*", readme + results, re.MULTILINE)
        for key in ("test_acc", "test_top5_acc", "tta_acc", "tta_top5_acc"):
            assert key not in run or f"{run[key]:.2f} %" in line, (name, key)
        assert "tta_acc" not in run or f"{run['ece']:.3f} |" in line


@pytest.fixture(scope="module")
def clone(tmp_path_factory, demo_data):
    """The files of a fresh clone that commands read, and the demo data."""
    folder = tmp_path_factory.mktemp("clone")
    shutil.copytree(ROOT / "results" / "pretrained", folder / "results" / "pretrained")
    for name in ("subset10", "twohours"):  # without checkpoints, which only whoever has trained has
        shutil.copytree(ROOT / "results" / name, folder / "results" / name, ignore=shutil.ignore_patterns("*.pth"))
    (folder / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "grace_hopper.jpg", folder / "docs")
    (folder / "data").symlink_to(demo_data)
    return folder


@pytest.mark.parametrize("page", PAGES)
def test_commands_have_the_flags_that_pages_give_them(page, clone, monkeypatch):
    monkeypatch.chdir(clone)
    write_files(page, clone)
    for script, flags in our_commands(page):
        parse(monkeypatch, script, flags)


@cache
def known_flags():
    modules = [module_of(script) for script in SCRIPTS if script != "benchmarks/others.py"]
    # Of the command tinybench, and of torchrun.
    others = ("--help", "--version", "--completion", "--node_rank")
    return {*others, *(flag for module in modules for flag in console.flags_of(module.Arguments))}


@pytest.mark.parametrize("page", PAGES)
def test_flags_in_the_text_exist(page, clone, monkeypatch):
    monkeypatch.chdir(clone)
    of_train = set(console.flags_of(train.Arguments))
    for span in spans_of(page):
        flags = re.findall(r"--[a-z]\w*", span)
        if re.match(r"(\w+\.py )?--", span):
            assert known_flags().issuperset(flags), span
        if span.startswith("--") and of_train.issuperset(flags) and " " in span:
            parse(monkeypatch, "src/train.py", shlex.split(span))


@pytest.mark.parametrize("page", RECIPE_OF)
def test_files_that_pages_show_train(page, tmp_path, demo_data, monkeypatch):
    (path,) = write_files(page, tmp_path)
    tiny = "--dataset demo --classes 2 --images_per_class 4 --image_size 32 --batch_size 2 --epochs 1 --precision fp32"
    words = f"--recipe {RECIPE_OF[page]} --model_file {path} {tiny} --data_dir {demo_data} --results_dir {tmp_path}"
    monkeypatch.setattr(sys, "argv", ["src/train.py", *words.split()])
    with patch.dict(MODELS), patch.dict(OPERATIONS):
        train.main()
    assert (tmp_path / RECIPE_OF[page] / "best_model.pth").exists()


def works_on_a_fresh_clone(command):
    """Whether a command needs no more than a fresh clone has, and takes seconds."""
    script, *flags = command
    name = Path(script).stem
    if name == "compare":
        return "--dry_run" in flags
    if name == "train":
        return "speedrun_small" in flags and "demo" in flags
    if name in ("infer", "explain"):
        return not {"--run", "--model"} & set(flags) and "x.jpg" not in flags
    return name in ("report", "ensemble", "plot_training_loss", "plot_training_acc") and "resnet" not in flags


def test_what_a_fresh_clone_can_do_works(clone, monkeypatch, capsys):
    monkeypatch.chdir(clone)
    done = {(script, *flags) for page in PAGES for script, flags in our_commands(page)}
    shown = {}
    for script, *flags in sorted(filter(works_on_a_fresh_clone, done)):
        monkeypatch.setattr(sys, "argv", [script, *flags])
        assert not module_of(script).main(), script
        shown[(script, *flags)] = capsys.readouterr().out
    answer = shown["src/infer.py", "--image", "docs/grace_hopper.jpg"]
    assert "academic gown" in answer
    for page in ("README.md", "docs/testing.md"):  # which file answers depends on what the requirements install
        assert answer.partition("\n")[0] in text_of(page)
