from pathlib import Path

import pytest

from tinybench.data import datasets


@pytest.fixture(scope="session")
def demo_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder in which the demo data set is made."""
    data_dir = tmp_path_factory.mktemp("data")
    datasets.load("demo", "train", data_dir)
    return data_dir
