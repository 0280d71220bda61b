import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Before torch is imported: workers of pytest-xdist, and the commands that their tests start, share the cores.
if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    os.environ["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // int(workers)))

import pytest

from tinybench.data import datasets
from tinybench.models import convnext, densenet, efficientnet, mobilenet, resnet, swin, vit


@pytest.fixture(scope="session")
def demo_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder in which the demo data set is made."""
    data_dir = tmp_path_factory.mktemp("data")
    datasets.load("demo", "train", data_dir)
    return data_dir


@pytest.fixture(scope="session")
def imbalanced(demo_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of class folders, of links to the demo images: of each class fewer than of the one before."""
    root = tmp_path_factory.mktemp("imbalanced")
    for split, most, fewest in (("train", 150, 6), ("test", 50, 10)):
        classes = sorted((demo_data / "curated" / "demo" / split).iterdir())
        for place, folder in enumerate(classes):
            (root / split / folder.name).mkdir(parents=True)
            count = round(most * (fewest / most) ** (place / (len(classes) - 1)))
            for image in sorted(folder.glob("*.JPEG"))[:count]:
                (root / split / folder.name / image.name).symlink_to(image)
    return root


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What --precision auto remembered on this machine does not decide tests, nor do tests decide what it remembers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module", autouse=True)
def _imports_stay() -> None:
    """The collector of garbage need not look through torch and all the rest again and again, a fifth of some tests."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def shallow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deep networks with every kind of their layers, but fewer: for what takes as long as a network is deep."""
    monkeypatch.setattr(densenet, "BLOCKS", (2, 1, 1, 1))
    monkeypatch.setattr(efficientnet, "STAGES", tuple((e, c, 1, s, k) for e, c, _, s, k in efficientnet.STAGES))
    monkeypatch.setattr(mobilenet, "BLOCKS", mobilenet.BLOCKS[::2])
    monkeypatch.setattr(swin, "DEPTHS", (2, 1, 1, 1))
    monkeypatch.setattr(convnext, "SIZES", {size: (dims, (1, 1, 1, 1)) for size, (dims, _) in convnext.SIZES.items()})
    monkeypatch.setitem(vit.ViT.__init__.__kwdefaults__, "depth", 1)
    monkeypatch.setitem(resnet.DEPTHS, 34, (1, 1, 1, 1))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The system's Chromium, driven by Playwright."""
    sync_api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not chromium:
        pytest.skip("no Chromium on this machine")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()
