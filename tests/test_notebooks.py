"""The notebooks: each runs on nothing, on a run and on a plan, draws what there is, and says what it skips."""

import os
from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import KernelManager
from made_up import NETWORKS, make_plan, make_run
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
ABOUT_RUNS = [name for name in NAMES if name != "data_exploration"]
SECONDS_A_CELL = 120


def test_there_are_four():
    assert NAMES == ["data_exploration", "error_analysis", "results_analysis", "training_dynamics"]


def kernel(results_dir, data_dir):
    """One process for several notebooks, since starting it and importing torch takes longer than most of them."""
    manager = KernelManager()
    folders = {"RESULTS_DIR": str(results_dir), "DATA_DIR": str(data_dir), "PLAN": ""}
    manager.start_kernel(cwd=str(FOLDER), env=os.environ | folders)
    return manager


@pytest.fixture(scope="module")
def kernels(tmp_path_factory, demo_data):
    folders = {name: tmp_path_factory.mktemp(name) for name in ("empty", "filled", "meagre", "damaged")}
    make_plan(folders["filled"], plan="demo", models=("alexnet", "resnet", "vit"), seeds=2)
    make_run(folders["meagre"] / "alone", "vgg", epochs=2, robust=False)
    for name in ("test_results.json", "predictions.npz", "measurements.json"):
        (folders["meagre"] / "alone" / name).unlink()
    make_plan(folders["damaged"], plan="demo", models=("alexnet", "vit"), seeds=2)
    (folders["damaged"] / "demo" / "vit" / "seed0" / "history.json").write_text("{")
    (folders["damaged"] / "demo" / "vit" / "seed1" / "predictions.npz").write_text("{")
    managers = {name: kernel(folder, demo_data) for name, folder in folders.items()}
    yield managers
    for manager in managers.values():
        manager.shutdown_kernel(now=True)


def execute(name, manager):
    """The outputs of a notebook that ends well, as text, and how many pictures it shows."""
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    reset = nbformat.v4.new_code_cell("%reset -f")  # names of the notebook before would hide that one is missing here
    notebook.cells.insert(0, reset)
    NotebookClient(notebook, km=manager, timeout=SECONDS_A_CELL).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not any(output.get("name") == "stderr" for output in outputs), "something warned"
    data = [output.get("data", {}) for output in outputs]
    shown = [content.get("text/markdown", content.get("text/plain", "")) for content in data]
    printed = [output.get("text", "") for output in outputs]
    return "\n".join([*shown, *printed]), sum("image/png" in content for content in data)


@pytest.mark.parametrize("name", NAMES)
def test_on_no_results_it_runs_and_says_what_to_type(name, kernels):
    text, pictures = execute(name, kernels["empty"])
    if name == "data_exploration":
        assert "**Skipped:** no data set has been explored yet; python src/explore_data.py does it." in text
        assert pictures == 4  # of the demo data
        assert "1500 training images" in text
    else:
        assert "**Skipped:** no run has an epoch yet; train one with python src/train.py --model resnet." in text
        assert pictures == 0


@pytest.mark.parametrize(("name", "pictures"), list(zip(ABOUT_RUNS, (4, 5, 4), strict=True)))
def test_on_the_runs_of_a_plan_it_draws_and_concludes(name, pictures, kernels):
    text, shown = execute(name, kernels["filled"])
    concludes = {
        "error_analysis": "All 6 runs are right on",
        "results_analysis": "Most accurate: demo/resnet, ResNet-18 with",
        "training_dynamics": "6 runs, 72 epochs",
    }
    assert concludes[name] in text
    assert shown == pictures
    skipped = [line for line in text.splitlines() if "**Skipped:**" in line]
    assert len(skipped) == (name == "results_analysis")
    assert all("published" in line for line in skipped)


@pytest.mark.parametrize("name", ABOUT_RUNS)
def test_on_an_untested_run_it_shows_what_there_is(name, kernels):
    text, pictures = execute(name, kernels["meagre"])
    assert pictures == (4 if name == "training_dynamics" else 0)
    assert ("**Skipped:** no run has been tested yet" in text) is (name != "training_dynamics")


def test_damaged_files_are_named_and_left_out(kernels):
    text, pictures = execute("error_analysis", kernels["damaged"])
    for file in ("demo/vit/seed0/history.json", "demo/vit/seed1/predictions.npz"):
        (line,) = (line for line in text.splitlines() if file in line)
        assert line.startswith("**Note:** left out: ")
    assert pictures == 4
    assert "WordNet does not know its classes" in text


def test_the_networks_that_come_with_the_repository_are_in_them():
    """Readers without an accelerator see these results without running anything."""
    for name in ABOUT_RUNS:
        text = (FOLDER / f"{name}.ipynb").read_text()
        assert all(f"subset10/{network}" in text for network in NETWORKS)
        assert "pretrained/speednet" in text


@pytest.mark.parametrize("name", NAMES)
def test_what_is_committed_was_run_in_order_and_is_small(name):
    path = FOLDER / f"{name}.ipynb"
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not any(output.output_type == "error" or output.get("name") == "stderr" for output in outputs)
    assert "**Skipped:**" not in path.read_text()
    assert path.stat().st_size < 1_000_000
    assert "/home/" not in path.read_text()
