import os
from pathlib import Path

# Before torch is imported: workers of pytest-xdist, and the commands that their tests start, share the cores.
if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    os.environ["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // int(workers)))

import pytest

from tinybench.data import datasets


@pytest.fixture(scope="session")
def demo_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder in which the demo data set is made."""
    data_dir = tmp_path_factory.mktemp("data")
    datasets.load("demo", "train", data_dir)
    return data_dir
