import os
import pickle
import resource
import zipfile

import pytest
import torch

from tinybench.errors import UserError
from tinybench.inference.checkpoint import read_checkpoint, read_tensors, write_checkpoint
from tinybench.recipe import Recipe
from tinybench.runtime.files import atomic_path, atomic_paths, read_json, write_json, write_text
from tinybench.training.checkpoint import anchored, difference


class RunsCode:
    def __init__(self, witness):
        self.witness = witness

    def __reduce__(self):
        return os.mkdir, (str(self.witness),)


@pytest.fixture
def full_disk():
    """Files cannot grow beyond 64 KiB, as on a disk that is nearly full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_small_file_that_holds_gigabytes_is_not_read(tmp_path):
    torch.save({"x": torch.zeros(10_000)}, tmp_path / "plain.pth")
    packed = zipfile.ZipFile(tmp_path / "packed.pth", "w", zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(tmp_path / "plain.pth") as plain, packed:
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    read_tensors(tmp_path / "plain.pth")
    with pytest.raises(UserError, match="would unpack to"):
        read_tensors(tmp_path / "packed.pth")
    for large in (torch.zeros(1).expand(1 << 40), torch.zeros(1 << 10).as_strided((1 << 9, 1 << 9), (1, 1))):
        torch.save({"x": large}, tmp_path / "repeated.pth")
        with pytest.raises(UserError, match="more memory than the file has bytes"):
            read_tensors(tmp_path / "repeated.pth")


@pytest.mark.parametrize("writer", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_a_pickle_that_runs_code_is_refused(tmp_path, writer):
    witness, path = tmp_path / "the_code_ran", tmp_path / "evil.pth"
    writer({"format": 1, "state_dict": RunsCode(witness)}, path)
    with pytest.raises(UserError, match=r"evil\.pth"):
        read_checkpoint(path)
    assert not witness.exists()


@pytest.mark.parametrize("damage", ["empty", "text", "truncated", "flipped", "foreign", "tensor"])
def test_damaged_and_foreign_files_are_one_line(tmp_path, damage):
    path = tmp_path / "last.pth"
    torch.save({"format": 1, "weights": torch.zeros(1000)}, path)
    whole = path.read_bytes()
    if damage == "foreign":
        torch.save({"format": 1, "state_dict": {}}, path)
    elif damage == "tensor":
        torch.save(torch.zeros(3), path)
    else:
        flipped = whole[:200] + bytes(255 - byte for byte in whole[200:600]) + whole[600:]
        path.write_bytes({"empty": b"", "text": b"hello", "truncated": whole[:-900], "flipped": flipped}[damage])
    with pytest.raises(UserError, match=r"last\.pth") as caught:
        read_checkpoint(path)
    assert "\n" not in str(caught.value)


def test_missing_checkpoint(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        read_checkpoint(tmp_path / "none.pth")


def test_a_full_disk_leaves_the_former_checkpoint(tmp_path, full_disk):
    path = tmp_path / "last.pth"
    write_checkpoint(path, {"weights": torch.ones(10)})
    with pytest.raises(UserError, match=r"cannot write .*last\.pth") as caught:
        write_checkpoint(path, {"weights": torch.ones(1_000_000)})
    assert "\n" not in str(caught.value)
    assert torch.equal(torch.load(path, weights_only=True)["weights"], torch.ones(10))
    assert [file.name for file in tmp_path.iterdir()] == ["last.pth"]


def test_files_that_belong_together_change_together(tmp_path, full_disk):
    paths = tmp_path / "a.json", tmp_path / "b.npz"
    for path in paths:
        path.write_text("old")

    def write(size):
        with atomic_paths(*paths) as temporaries:
            for temporary in temporaries:
                temporary.write_text("new" if temporary == temporaries[0] else "n" * size)

    with pytest.raises(UserError, match=r"cannot write .*a\.json, .*b\.npz"):
        write(1_000_000)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.json": "old", "b.npz": "old"}
    write(2)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.json": "new", "b.npz": "nn"}


def test_atomic_path_keeps_the_old_file_when_the_block_fails(tmp_path):
    path = tmp_path / "file.txt"
    write_text(path, "old")
    with pytest.raises(TypeError), atomic_path(path) as temporary:
        temporary.write_text(b"half")
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_path_is_the_same_however_it_is_written_and_whether_it_is_still_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set").mkdir()
    recipe = anchored(Recipe(dataset="set", pretrained="gone.pth"))
    assert (recipe.dataset, recipe.pretrained) == (str(tmp_path / "set"), "gone.pth")
    assert difference(recipe, Recipe(dataset="./set", pretrained=str(tmp_path / "gone.pth"))) == ""
    assert difference(recipe, Recipe(dataset="other", pretrained="gone.pth")).startswith("dataset ")
    (tmp_path / "demo").mkdir()  # a name goes before a folder
    assert anchored(Recipe(dataset="demo")).dataset == "demo"


def test_json_refuses_nan_and_reports_damage(tmp_path):
    path = tmp_path / "history.json"
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"loss": float("nan")})
    assert not path.exists()
    path.write_text('{"loss": [1')
    with pytest.raises(UserError, match=r"history\.json is damaged"):
        read_json(path)
