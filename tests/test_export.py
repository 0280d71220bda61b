"""Exporting: what is written answers as the checkpoint does, in every format, or is not kept."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import yaml
from PIL import Image

from tinybench.data import datasets
from tinybench.errors import UsageError, UserError
from tinybench.evaluation.evaluate import EvalOptions, evaluate_checkpoint
from tinybench.export import parity, write
from tinybench.export.write import ExportOptions, check_target, default_output, export
from tinybench.inference.checkpoint import network_checkpoint, network_options, read_checkpoint, write_checkpoint
from tinybench.inference.onnx import OnnxPredictor, exported_beside
from tinybench.inference.predictor import Predictor
from tinybench.models import MODELS, build_model
from tinybench.recipe import Recipe

REPOSITORY = Path(__file__).resolve().parents[1]
CPU = torch.device("cpu")
OTHERS = {"timm/resnet10t": {}, "timm/mobilenetv3_small_050": {}, "timm/vit_tiny_patch16_224": {"depth": 1}}


def make_checkpoint(folder, data_dir, image_size=32, **fields):
    """A network with random weights, its norms' statistics and all, that tells the demo data's classes."""
    recipe = Recipe(dataset="demo", image_size=image_size, **fields)
    images = datasets.load("demo", "train", data_dir)
    torch.manual_seed(0)
    options = network_options(recipe)
    model = build_model(recipe.model, num_classes=images.num_classes, image_size=image_size, **options)
    with torch.no_grad():  # so that the statistics are not those of the constructor, and logits differ
        model.train()(torch.randn(16, 3, image_size, image_size))
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    checkpoint = network_checkpoint(recipe, images, epoch=1, val_acc=10.0, weights="model", model=model.eval())
    write_checkpoint(folder / "best_model.pth", checkpoint)
    return folder / "best_model.pth"


@pytest.fixture(scope="module")
def source(demo_data, tmp_path_factory):
    return make_checkpoint(tmp_path_factory.mktemp("run"), demo_data, model="speednet", model_options={"width": 16})


def options(data_dir, **changes):
    return ExportOptions(device=CPU, data_dir=data_dir, parity_images=24, calibration_images=32, **changes)


@pytest.mark.usefixtures("shallow")
@pytest.mark.parametrize("model", [*MODELS, *OTHERS])
def test_every_network_gives_the_same_logits_as_onnx(model, demo_data, tmp_path):
    image_size, model_options = 64 if model == "alexnet_stock" else 32, OTHERS.get(model, {})
    source = make_checkpoint(tmp_path, demo_data, image_size, model=model, model_options=model_options)
    found = export(source, tmp_path / "network.onnx", options(demo_data))
    assert found.images == 24
    assert found.agreement == 100
    assert found.difference <= 1e-3 * found.largest
    onnx.checker.check_model(tmp_path / "network.onnx", full_check=True)


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "onnx", "half": True},
        {"format": "onnx", "layout": "nhwc"},
        {"format": "torch_export"},
        {"format": "torch_export", "layout": "nhwc"},
        {"format": "safetensors"},
        {"format": "safetensors", "half": True},
        {"format": "pth", "half": True},
    ],
    ids=lambda changes: "-".join(map(str, changes.values())),
)
def test_every_format_answers_as_the_checkpoint(changes, source, demo_data, tmp_path):
    asked = options(demo_data, **changes)
    output = tmp_path / default_output(source, asked).name
    found = export(source, output, asked)
    assert found.agreement >= parity.TOLERANCES[asked.arithmetic].agreement
    assert (output.stat().st_size < 0.7 * source.stat().st_size) == asked.half
    assert str(REPOSITORY).encode() not in output.read_bytes()  # where it was made is told nobody
    if asked.format in ("safetensors", "pth"):  # whatever takes a checkpoint takes these
        assert read_checkpoint(output)["class_ids"] == read_checkpoint(source)["class_ids"]


def test_int8_is_smaller_and_nearly_the_same(source, demo_data, tmp_path, monkeypatch):
    # Random weights tell classes by differences that 8 bits do not resolve; trained ones are held to the real bound.
    monkeypatch.setitem(parity.TOLERANCES, "int8", parity.Tolerance(0.5, 50))
    for layout in ("nchw", "nhwc"):
        output = tmp_path / layout / "network_int8.onnx"
        found = export(source, output, options(demo_data, int8=True, layout=layout))
        assert 0 < found.difference < 0.5 * found.largest
        assert output.stat().st_size < 0.5 * source.stat().st_size
        assert "QuantizeLinear" in {node.op_type for node in onnx.load(output).graph.node}
        assert OnnxPredictor(output).precision == "int8"


def test_a_folder_that_cannot_be_written_is_refused_before_the_work(source, demo_data, tmp_path, monkeypatch):
    monkeypatch.setattr(write, "Predictor", lambda *_: pytest.fail("the work began"))
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write .*folder: Not a directory"):
        export(source, tmp_path / "file" / "folder" / "network.onnx", options(demo_data))


def test_what_answers_otherwise_is_not_kept(source, demo_data, tmp_path, monkeypatch):
    honest = write.logits_of
    monkeypatch.setattr(write, "logits_of", lambda *arguments: honest(*arguments).flip(1))
    with pytest.raises(UserError, match="is not the checkpoint's, and is not kept"):
        export(source, tmp_path / "network.onnx", options(demo_data))
    assert not list(tmp_path.iterdir())


def test_other_programs_find_all_they_need_in_the_onnx_file(source, demo_data, tmp_path):
    output = tmp_path / "network.onnx"
    export(source, output, options(demo_data, layout="nhwc"))
    session = onnxruntime.InferenceSession(output, providers=["CPUExecutionProvider"])
    said = session.get_modelmeta().custom_metadata_map
    assert json.loads(said["class_names"]) == read_checkpoint(source)["class_names"]
    (taken,) = session.get_inputs()
    assert (taken.type, taken.shape[1:]) == ("tensor(uint8)", [32, 32, 3])
    images = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
    logits, probabilities = session.run(["logits", "probabilities"], {taken.name: images})
    with torch.inference_mode():
        predictor = Predictor(source, CPU)
        expected = predictor.model(predictor.preprocess(torch.from_numpy(images).permute(0, 3, 1, 2)))
    np.testing.assert_allclose(logits, expected, atol=1e-3)
    np.testing.assert_allclose(probabilities, expected.softmax(1), atol=1e-4)


def test_a_test_of_an_exported_network_is_that_of_its_checkpoint(source, demo_data, tmp_path):
    run = tmp_path / "run"
    write_checkpoint(run / "best_model.pth", read_checkpoint(source))
    export(run / "best_model.pth", run / "network.onnx", options(demo_data))
    foreign = sorted((demo_data / "curated" / "demo" / "train").glob("*/*.JPEG"))[:20]
    asked = EvalOptions(device=CPU, data_dir=demo_data, tta=True, calibrate=True, foreign=tuple(foreign))
    one, other = (evaluate_checkpoint(run / name, asked) for name in ("best_model.pth", "network.onnx"))
    for key in ("test_acc", "nll", "tta_loss", "temperature", "error_auroc"):
        assert one[key] == pytest.approx(other[key], rel=1e-3), key
    assert one["foreign"]["energy"]["auroc"] == pytest.approx(other["foreign"]["energy"]["auroc"], abs=0.01)
    assert {"test_results_network.json", "predictions_network.npz"} <= {path.name for path in run.iterdir()}
    assert json.loads((run / "test_results.json").read_text())["weights"] == "best"


def test_images_of_another_size_than_the_networks_are_resized_before_it(source, demo_data, tmp_path):
    """The demo images have 64 pixels a side, the network takes 32; a round to 8 bits lies between."""
    export(source, tmp_path / "network.onnx", options(demo_data))
    images = replace(datasets.load("demo", "test", demo_data, 64)).select(slice(8))
    assert images.images.shape[-1] == 64
    found, expected = OnnxPredictor(tmp_path / "network.onnx").logits(images), Predictor(source, CPU).logits(images)
    torch.testing.assert_close(found, expected, rtol=0, atol=0.02 * float(expected.abs().max()))


def infer(*arguments):
    command = [sys.executable, "src/infer.py", "--json", *map(str, arguments)]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)


def test_infer_answers_from_the_file_beside_the_checkpoint_without_torch(source, demo_data, tmp_path):
    run = tmp_path / "results" / "run"
    write_checkpoint(run / "best_model.pth", read_checkpoint(source))
    image = tmp_path / "x.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)).save(image)
    asked = ("--image", image, "--run", "run", "--results_dir", tmp_path / "results")
    plain = json.loads(infer(*asked).stdout)
    export(run / "best_model.pth", run / "network.onnx", options(demo_data))
    exported = json.loads(infer(*asked).stdout)
    assert exported["checkpoint"].endswith("network.onnx")
    (one,), (other,) = plain["images"], exported["images"]
    assert [guess["name"] for guess in one["guesses"]] == [guess["name"] for guess in other["guesses"]]
    code = (
        "import sys, tinybench.cli.infer as infer; sys.argv[1:] = sys.argv[2:]; infer.main(); "
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "src/infer.py", *map(str, asked)], cwd=REPOSITORY / "src", capture_output=True
    )
    assert done.returncode == 0, done.stderr

    write_checkpoint(run / "best_model.pth", {**read_checkpoint(source), "epoch": 2})  # it was trained on
    done = infer(*asked)
    assert json.loads(done.stdout)["checkpoint"].endswith("best_model.pth")
    assert "was made of other weights" in done.stderr
    (run / "network.onnx").write_bytes(b"no network")
    done = infer(*asked)
    assert json.loads(done.stdout)["checkpoint"].endswith("best_model.pth")
    assert "network.onnx is damaged" in done.stderr


def test_files_that_are_no_exported_network_are_one_line(source, demo_data, tmp_path):
    path = tmp_path / "network.onnx"
    with pytest.raises(UserError, match="No such file"):
        OnnxPredictor(path)
    path.write_bytes(b"\x08\x07 no network")
    with pytest.raises(UserError, match="is damaged or no ONNX file"):
        OnnxPredictor(path)
    export(source, path, options(demo_data))
    model = onnx.load(path)
    said = json.loads(next(prop.value for prop in model.metadata_props if prop.key == "tinybench"))
    for changes, words in (
        (None, "was not written by export.py"),
        ({"class_names": ["one"]}, "not as many names as classes"),
        ({"layout": "hwcn"}, "layout"),
        ({"image_size": "32"}, "image_size"),
    ):
        onnx.helper.set_model_props(model, {} if changes is None else {"tinybench": json.dumps(said | changes)})
        onnx.save(model, path)
        with pytest.raises(UserError, match=words):
            OnnxPredictor(path)
    with pytest.raises(UserError, match=r"here, its checkpoint is needed"):
        read_checkpoint(path)
    assert exported_beside(tmp_path / "best_model.pth") is None


def test_a_folder_for_a_hub_holds_weights_graph_and_a_card_of_what_is_known(source, demo_data, tmp_path):
    run = tmp_path / "run"
    write_checkpoint(run / "best_model.pth", read_checkpoint(source))
    write.export_folder(run / "best_model.pth", tmp_path / "untested", options(demo_data))
    assert "Not tested on the test images." in (tmp_path / "untested" / "README.md").read_text()
    results = evaluate_checkpoint(run / "best_model.pth", EvalOptions(device=CPU, data_dir=demo_data))
    write.export_folder(run / "best_model.pth", tmp_path / "hub", options(demo_data))
    names = {path.name for path in (tmp_path / "hub").iterdir()}
    assert names == {"README.md", "network.safetensors", "network.json", "network.onnx"}
    card = (tmp_path / "hub" / "README.md").read_text()
    head = yaml.safe_load(card.split("---")[1])
    assert (head["pipeline_tag"], head["datasets"]) == ("image-classification", ["demo"])
    assert f"| Top-1 | {results['test_acc']:.2f} % |" in card
    assert "100.00 % have the same first class" in card
    for name in ("network.safetensors", "network.onnx"):
        again = evaluate_checkpoint(tmp_path / "hub" / name, EvalOptions(device=CPU, data_dir=demo_data))
        assert again["test_acc"] == results["test_acc"]


def test_a_target_that_is_there_or_of_another_format_is_refused(source, demo_data, tmp_path):
    asked = options(demo_data, format="safetensors")
    with pytest.raises(UsageError, match=r"does not end in \.safetensors"):
        check_target(tmp_path / "x.onnx", asked, overwrite=False)
    (tmp_path / "x.json").write_text("{}")  # the other half of it
    with pytest.raises(UsageError, match=r"x\.json is there already"):
        check_target(tmp_path / "x.safetensors", asked, overwrite=False)
    check_target(tmp_path / "x.safetensors", asked, overwrite=True)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--format", "torch_export", "--half"), "--half goes with"),
        (("--format", "pth", "--int8"), "--int8 goes with"),
        (("--half", "--int8"), "--int8 goes with"),
        (("--format", "pth", "--layout", "nhwc"), "--layout goes with"),
        (("--calibration_images", "5"), "--calibration_images goes with"),
    ],
)
def test_flags_that_would_do_nothing_are_refused(flags, words):
    command = [sys.executable, "src/export.py", *flags]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 2
    assert words in done.stderr
