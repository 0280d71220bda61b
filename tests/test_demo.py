"""The page of demo.py: what it computes, what it refuses and leaves behind, and how it works in a browser."""

import dataclasses
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from PIL import Image
from test_testing import main_of, save

from tinybench.cli.demo import free_port, is_local
from tinybench.data import datasets
from tinybench.demo import drawing
from tinybench.demo.answers import CORRUPTIONS, STRONGEST, Answer, AskedNetwork
from tinybench.errors import UsageError
from tinybench.evaluation.robustness import corruptions
from tinybench.inference.about import Guess
from tinybench.inference.predictor import Predictor
from tinybench.recipe import Recipe
from tinybench.training.features import features_of

pytest.importorskip("gradio")

REPOSITORY = Path(__file__).resolve().parents[1]
HOPPER = REPOSITORY / "docs" / "grace_hopper.jpg"
CPU = torch.device("cpu")
DROP = "input[type=file]"


@pytest.fixture(scope="module")
def results(demo_data, tmp_path_factory):
    """Two runs: an untrained network on the demo data, and the one that comes with the repository."""
    folder = tmp_path_factory.mktemp("results")
    save(folder / "vit" / "best_model.pth", demo_data, precision="fp32")
    shutil.copytree(REPOSITORY / "results" / "pretrained" / "speednet", folder / "speednet")
    return folder


@pytest.fixture(scope="module")
def network(results, demo_data):
    """The untrained one, after its features of the training images have been kept."""
    predictor = Predictor(results / "vit" / "best_model.pth", CPU)
    images = datasets.load("demo", "train", demo_data)
    features_of(predictor.model, images, Recipe.from_dict(predictor.checkpoint["recipe"]), demo_data / "features")
    return AskedNetwork("vit", predictor, lambda: predictor, demo_data)


def start(folder, *arguments, **options):
    """The command, once the page is up, and its address; what is uploaded goes below the folder."""
    command = [sys.executable, "src/demo.py", "--port", "0", *map(str, arguments)]
    process = subprocess.Popen(
        command, cwd=REPOSITORY, env={**os.environ, "TMPDIR": str(folder)}, text=True, stdout=subprocess.PIPE, **options
    )
    for line in process.stdout:
        if address := re.search(r"http://\S+", line):
            return process, address[0]
    raise AssertionError(f"the page did not come up: {process.wait()}")


@pytest.fixture(scope="module")
def uploads(tmp_path_factory):
    return tmp_path_factory.mktemp("uploads")


@pytest.fixture(scope="module")
def address(results, demo_data, network, uploads):
    where = ("--results_dir", results, "--data_dir", demo_data, "--device", "cpu")
    process, address = start(uploads, "--run", "vit", "speednet", "--max_mb", 1, *where)
    yield address
    process.terminate()
    assert process.wait(30) == 0


def files_in(folder):
    """What Gradio has stored in the folder of the page; other libraries leave files of their own beside that."""
    (own,) = folder.glob("tinybench_demo_*")
    return [path for path in own.rglob("*") if path.is_file()]


def upload(address, content, name="x.jpg"):
    return httpx.post(f"{address}gradio_api/upload", files={"files": (name, content)})


# ---- what is computed


def test_the_corruptions_are_those_of_testing():
    assert tuple(corruptions.CORRUPTIONS) == CORRUPTIONS
    assert max(corruptions.SEVERITIES) == STRONGEST


def test_answers_are_those_of_infer(network, results):
    predictor = Predictor(results / "vit" / "best_model.pth", CPU)
    answer = network.answer(network.see(("x", HOPPER.read_bytes())), 5)
    assert answer.guesses == predictor.classify(HOPPER, 5)
    assert answer.before == [guess.probability for guess in answer.guesses]


def test_a_corruption_tells_what_the_same_classes_were_before(network):
    seen = network.see(("x", HOPPER.read_bytes()))
    before = {guess.class_id: guess.probability for guess in network.answer(seen, 10).guesses}
    answer = network.answer(seen, 5, "fog", 3)
    expected = corruptions.corrupt(torch.from_numpy(seen)[None], "fog", 3, seed=0, device=CPU)[0]
    assert (answer.pixels == expected.numpy()).all()
    assert answer.before == [before[guess.class_id] for guess in answer.guesses]
    assert answer.before != [guess.probability for guess in answer.guesses]


def test_a_training_image_is_most_similar_to_itself(network, demo_data, tmp_path):
    images = datasets.load("demo", "train", demo_data)
    kept = {path: path.read_bytes() for path in (demo_data / "features").iterdir()}
    found = network.explainer.neighbours(network.see_pixels(images.images[7].numpy()), 3)
    assert (found[0].pixels == images.images[7].numpy()).all()
    assert found[0].similarity == pytest.approx(1, abs=1e-4)
    assert found[0].class_name == images.class_names[int(images.labels[7])]
    assert 1 > found[1].similarity >= found[2].similarity
    assert kept == {path: path.read_bytes() for path in (demo_data / "features").iterdir()}  # nothing asked is kept
    elsewhere = AskedNetwork("vit", network.explainer._predictor, lambda: network.explainer._predictor, tmp_path)
    assert elsewhere.explainer.neighbours(network.see(("x", HOPPER.read_bytes())), 3) == []
    assert not elsewhere.has_data()
    assert list(tmp_path.iterdir()) == []


def test_after_the_last_test_image_of_a_class_comes_the_first(network, demo_data):
    images = datasets.load("demo", "test", demo_data)
    own = images.images[images.labels == 3].numpy()
    assert len(own) > 1
    for number in (0, 1, len(own)):
        assert (network.explainer.test_image(3, number) == own[number % len(own)]).all()


def test_names_are_escaped(network):
    nasty = "<script>alert(1)</script>"
    guess = Guess(1, nasty, "a", 0.5)
    shown = AskedNetwork(nasty, network.explainer._predictor, lambda: None, Path())
    html = drawing.card(shown, Answer(np.zeros((3, 4, 4), np.uint8), [guess], [0.5]), "a", "", "")
    assert html.count("&lt;script&gt;") == 2
    assert "<script" not in html + drawing.problem(nasty)


# ---- the command


def test_a_port_that_is_taken_leads_to_the_next():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert port < free_port("127.0.0.1", port) <= port + 100
    assert free_port("127.0.0.1", 0) > 0
    with pytest.raises(UsageError, match=r"--host no\.such\.host\.invalid"):
        free_port("no.such.host.invalid", 7860)
    assert [is_local(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "example.com")] == [True] * 3 + [
        False
    ] * 2


def test_wrong_arguments_are_one_line(monkeypatch, results):
    with pytest.raises(UsageError, match="no trained run 'nothing'"):
        main_of("src/demo.py", monkeypatch, "--results_dir", results, "--run", "vit", "nothing")
    with pytest.raises(UsageError, match="--run and --checkpoint"):
        main_of("src/demo.py", monkeypatch, "--run", "vit", "--checkpoint", "x.pth")
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.delitem(sys.modules, "tinybench.demo.page", raising=False)
    with pytest.raises(UsageError, match="pip install gradio"):
        main_of("src/demo.py", monkeypatch, "--results_dir", results, "--run", "speednet")


@pytest.mark.parametrize(("kind", "host"), [(signal.SIGINT, "127.0.0.1"), (signal.SIGTERM, "0.0.0.0")])
def test_nothing_uploaded_is_left(kind, host, tmp_path):
    process, address = start(tmp_path, "--host", host, stderr=subprocess.PIPE)
    assert upload(address, HOPPER.read_bytes()).status_code == 200  # and never asked about
    assert [path.name for path in files_in(tmp_path)] == ["x.jpg"]
    process.send_signal(kind)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert list(tmp_path.glob("tinybench_demo_*")) == []
    assert list(tmp_path.rglob("*.jpg")) == []
    assert ("whoever reaches this machine" in err) == (host == "0.0.0.0")


# ---- what is refused


def test_no_file_of_this_machine_is_served(address, results):
    for path in ("/etc/passwd", "README.md", REPOSITORY / "README.md", results / "vit" / "best_model.pth"):
        assert Path(path).exists() or (REPOSITORY / path).exists()
        assert httpx.get(f"{address}gradio_api/file={path}").status_code == 403


def test_a_file_that_is_too_large_is_refused(address, uploads):
    assert upload(address, bytes(2**20 + 1)).status_code == 413
    assert files_in(uploads) == []


def test_only_uploads_are_read_and_deleted(address, tmp_path):
    (tmp_path / "own.png").write_bytes(b"precious")
    file = {"path": str(tmp_path / "own.png"), "orig_name": "own.png", "meta": {"_type": "gradio.FileData"}}
    asked = {"data": [file, "fog", 0, False], "fn_index": 0, "session_hash": "x"}
    assert httpx.post(f"{address}gradio_api/queue/join", json=asked).status_code == 200
    with httpx.stream("GET", f"{address}gradio_api/queue/data?session_hash=x", timeout=30) as stream:
        lines = (json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: "))
        last = next(message for message in lines if message["msg"] == "process_completed")
    assert not last["success"]
    assert (tmp_path / "own.png").read_bytes() == b"precious"


# ---- the page


@pytest.fixture
def open_page(browser, address):
    """Open the page; in the end it must have asked nothing of other machines, nor raised an error."""
    contexts, complaints = [], []

    def opened(**options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: request.url.startswith((address, "data:")) or complaints.append(request.url))
        page.goto(address)
        page.wait_for_selector(DROP, state="attached")
        page.get_by_role("slider").wait_for()
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def shown(page, place):
    """The class names and the numbers of the network at that place."""
    rows = page.locator(".network").nth(place).locator(".row").all_inner_texts()
    return [tuple(re.split(r"\s*\n\s*", row)) for row in rows]


def said(guesses):
    return [(guess["name"], f"{guess['probability']:.2%}") for guess in guesses]


def test_a_dropped_image_is_answered_as_by_infer(open_page, results, uploads):
    page = open_page()
    page.set_input_files(DROP, HOPPER)
    page.wait_for_selector(".network figure:nth-child(2)")
    for place, run in enumerate(("vit", "speednet")):
        command = [sys.executable, "src/infer.py", "--image", HOPPER, "--json", "--results_dir", results, "--run", run]
        answer = json.loads(subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=True).stdout)
        assert shown(page, place) == said(answer["images"][0]["guesses"])
    captions = page.locator("figcaption").all_inner_texts()
    assert {"where it looks (attention rollout)", "where it looks (Grad-CAM)"} < set(captions)
    assert files_in(uploads) == []


def test_corruptions_change_the_answers_and_give_them_back(open_page):
    page = open_page()
    page.set_input_files(DROP, HOPPER)
    page.wait_for_selector(".network")
    clean = shown(page, 1)
    slider = page.get_by_role("slider")
    slider.fill("4")
    page.wait_for_selector(".row >> text=was")
    assert shown(page, 1) != clean
    slider.fill("0")
    page.wait_for_selector(".row >> text=was", state="detached")
    assert shown(page, 1) == clean


def test_the_keyboard_is_enough(open_page):
    page = open_page()

    def focus(label):
        for _ in range(15):
            page.keyboard.press("Tab")
            focused = page.locator(":focus")
            if focused.count() and label in (focused.get_attribute("aria-label") or focused.inner_text()):
                return
        raise AssertionError(f"Tab does not reach {label}")

    page.on("filechooser", lambda chooser: chooser.set_files(HOPPER))
    focus("Click to upload")
    page.keyboard.press("Enter")
    page.wait_for_selector(".network")
    focus("range slider")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(".row >> text=was")
    for label, keys in (("Or a test image", ("ArrowDown", "Enter")), ("Another of this class", ("Enter",))):
        before = page.locator(".network img").first.get_attribute("src")
        focus(label)
        for key in keys:
            page.keyboard.press(key)
        page.wait_for_function("src => document.querySelector('.network img').src != src", arg=before)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_scrolls_down_only(open_page, scheme):
    page = open_page(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    page.set_input_files(DROP, HOPPER)
    page.wait_for_selector(".network figure:nth-child(2)")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert (sum(map(int, re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).color"))[:3])) > 380) == (
        scheme == "dark"
    )


def test_wrong_files_get_a_sentence(open_page, uploads, tmp_path):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0))
    files = {
        "text.jpg": (b"no <b>image</b>", "text.jpg: no image"),
        "bomb.png": (b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")), "too many pixels"),
        "half.jpg": (HOPPER.read_bytes()[:9000], "damaged or truncated"),
        "empty.png": (b"", "empty.png: no image"),
    }
    page = open_page()
    for name, (content, sentence) in files.items():
        (tmp_path / name).write_bytes(content)
        page.set_input_files(DROP, tmp_path / name)
        page.wait_for_selector(f".problem >> text={sentence}")
    (tmp_path / "large.png").write_bytes(bytes(2**20 + 1))
    page.set_input_files(DROP, tmp_path / "large.png")
    page.wait_for_selector("text=exceed the maximum allowed size")
    assert "Traceback" not in page.content()
    assert files_in(uploads) == []


def test_odd_images_are_answered_as_by_infer(open_page, results, tmp_path):
    photo = Image.open(HOPPER)
    gray = np.asarray(photo.convert("L")).astype(np.uint16)
    photo.convert("CMYK").save(tmp_path / "cmyk.jpg")
    Image.fromarray(gray * 257).save(tmp_path / "deep.png")
    photo.resize((1, 1)).save(tmp_path / "dot.png")
    photo.save(tmp_path / "moving.gif", save_all=True, append_images=[photo.rotate(90)])
    predictor, page = Predictor(results / "vit" / "best_model.pth", CPU), open_page()
    seen = []
    for path in sorted(tmp_path.iterdir()):
        page.set_input_files(DROP, path)
        expected = said(map(dataclasses.asdict, predictor.classify(path, 5)))
        page.wait_for_function(
            "number => document.querySelector('.network .number')?.innerText == number", arg=expected[0][1]
        )
        assert shown(page, 0) == expected
        seen.append(expected)
    assert len(set(map(str, seen))) == len(seen) == 4
