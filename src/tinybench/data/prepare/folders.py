"""A user's folder of images: which files are images, of which class, and of which split."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tinybench.data.prepare.listing import is_image, is_litter, list_files
from tinybench.data.prepare.packed import SPLITS, Split
from tinybench.errors import UserError, printable
from tinybench.runtime.seeds import Purpose, numpy_generator
from tinybench.words import counted

# What people call the splits, whatever the case: Train, training_set, asl_alphabet_train, train-images, val2017 …
SPLIT_WORDS: dict[Split, str] = {
    "train": "train|training|trn",
    "val": "val|valid|validation|dev|eval|evaluation",
    "test": "test|testing|tst|holdout",
}
SPLIT_NAME = r"([a-z0-9]+[_ -])*({})([_ -]?(set|data|dataset|images?|split|folder|[0-9]+(x[0-9]+)?)){{0,2}}"
SHOWN = 5  # names in a message
# Which images are held out must not depend on any run.
HOLDOUT_SEED, HOLDOUT_FRACTION = 0, 0.2

Classes = dict[str, list[Path]]


@dataclass
class Folder:
    """The images of a folder by split and class.

    Attributes:
        splits: always train and test; val where the folder has validation images of its own.
        origins: where each split comes from, in words.
        left_out: what is not used, in words.
    """

    splits: dict[Split, Classes]
    origins: dict[Split, str]
    left_out: list[str]

    def __str__(self) -> str:
        counts = {split: sum(map(len, classes.values())) for split, classes in self.splits.items()}
        lines = [
            f"{split:<5} {counts[split]:>8,} images of {len(classes)} classes, {self.origins[split]}"
            for split, classes in self.splits.items()
        ]
        lines += [f"classes: {_first(sorted(self.splits['train']))}", *(f"left out: {what}" for what in self.left_out)]
        return "\n".join("  " + printable(line) for line in lines)


def _kind(path: Path) -> str:
    """What something is that is no image, in words."""
    if path.is_file():
        return path.suffix.lower() or "without a suffix"
    return "links that lead nowhere or back" if path.is_symlink() else "pipes or devices"


def read_folder(root: Path) -> Folder:
    """Find the splits and classes of a folder.

    It holds either class folders, of which a fifth of each class is then held out as the test set, or a folder of class
    folders for each split, whatever they are called. With one split beside train, that is the test set.

    Raises:
        UserError: there are no two classes, or one has too few images; the message says which.
    """
    root = _unwrapped(root)
    folders = _folders(root)
    roles = {path: role for path in folders if (role := split_role(path.name))}
    trains = [path for path, role in roles.items() if role == "train" and _folders(path)]
    if len(trains) > 1:
        raise UserError(f"{root} has two folders of training images, {trains[0].name} and {trains[1].name}; keep one")
    # A class may bear the name of a split, such as the train beside bus and car.
    if not trains and roles and (len(roles) == len(folders) or any(map(_folders, roles))):
        raise UserError(
            f"{root} has {_first([path.name for path in roles])}, but no folder of training images with class folders "
            f"in it; put them into {root / 'train'}/CLASS/"
        )
    left_out: list[str] = []
    place = trains[0] if trains else root
    train = _classes(place, left_out)
    if len(train) < 2:
        raise UserError(f"{place} holds {len(train)} class folders with images; at least 2 are needed")
    name = place.relative_to(root).as_posix() if trains else ""
    found: dict[Split, tuple[Classes, str]] = {"train": (train, f"from {name}/" if name else "from the class folders")}
    for path in folders if trains else []:
        if path == place:
            continue
        if role := split_role(path.name):
            _take(path, role, found, left_out)
        else:
            left_out.append(f"{path.name}/, as {place.name}/ holds the classes")
    if trains and (loose := _images_in(root)):
        left_out.append(f"{counted(loose, 'image')} beside {place.name}/")
    if "test" not in found and "val" in found:
        found["test"] = found.pop("val")
    if "test" not in found:
        for label, files in train.items():
            if len(files) < 2:
                raise UserError(f"{place / label} holds {len(files)} images; at least 2 are needed, one to test on")
        kept, held_out = _hold_out(train)
        found |= {"train": (kept, found["train"][1]), "test": (held_out, "a fifth of each class, held out")}
    return Folder(
        splits={split: found[split][0] for split in SPLITS if split in found},
        origins={split: origin for split, (_, origin) in found.items()},
        left_out=left_out,
    )


def split_role(name: str) -> Split | None:
    """The split that a folder's name speaks of."""
    for split, words in SPLIT_WORDS.items():
        if re.fullmatch(SPLIT_NAME.format(words), name.lower()):
            return split
    return None


def _take(path: Path, split: Split, found: dict[Split, tuple[Classes, str]], left_out: list[str]) -> None:
    """Put the classes of a split's folder into `found`, or a line that says why not into `left_out`."""
    classes, train = _classes(path, left_out), found["train"][0]
    known = classes.keys() & train.keys()
    if split in found:
        left_out.append(f"{path.name}/, as the {split} images come {found[split][1]}")
    elif not known:
        left_out.append(f"{path.name}/, which holds no images in folders of these classes")
    elif unknown := sorted(classes.keys() - train.keys()):
        raise UserError(f"{path} has classes that the training images have not: {_first(unknown)}")
    elif len(known) == 1:
        left_out.append(f"{path.name}/, which holds a single class, {next(iter(known))}")
    else:
        found[split] = (classes, f"from {path.name}/")


def _unwrapped(root: Path) -> Path:
    """The folder itself, or the only one in it, as archives often hold one."""
    inner = _folders(root)
    while len(inner) == 1 and not _images_in(root) and _folders(inner[0]):
        root, inner = inner[0], _folders(inner[0])
    return root


def _images_in(folder: Path) -> int:
    """How many images lie in a folder itself."""
    return sum(is_image(path) and not is_litter(path.name) for path in folder.iterdir())


def _folders(root: Path) -> list[Path]:
    """The folders in a folder, sorted, without litter."""
    return sorted(path for path in root.iterdir() if path.is_dir() and not is_litter(path.name))


def _classes(root: Path, left_out: list[str]) -> Classes:
    """The images of each class folder; what else is there becomes lines of `left_out`.

    Raises:
        UserError: a class folder holds a train folder and another split.
    """
    root = _unwrapped(root)
    classes: Classes = {}
    others: Counter[str] = Counter()
    folders = {folder.name: folder for folder in _folders(root)}
    for name, folder in folders.items():
        inner = {path.name for path in _folders(folder)}
        splits = {role for path in inner if (role := split_role(path))}
        if "train" in splits and len(splits) > 1:
            raise UserError(
                f"{folder} holds splits of its own ({_first(sorted(inner))}); if it is the data set, give it with "
                f"--dataset, and if it is a class, put its images into {root / 'train' / name}/ and so on"
            )
        if len(inner & folders.keys()) > 1:
            left_out.append(f"{name}/, which holds the folders beside it once more")
            continue
        files = list(list_files(folder))
        classes[name] = sorted(path for path in files if is_image(path))
        others.update(_kind(path) for path in files if not is_image(path))
    if loose := _images_in(root):
        left_out.append(f"{counted(loose, 'image')} in {root.name}/, in no class folder")
    if others:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in others.most_common(5))
        left_out.append(f"{sum(others.values()):,} files in {root.name}/ that are no images ({kinds})")
    if empty := [name for name, files in classes.items() if not files]:
        left_out.append(f"class folders without images: {_first(empty)}")
    return {name: files for name, files in classes.items() if files}


def _first(names: list[str]) -> str:
    """The first few of some names."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _hold_out(classes: Classes) -> tuple[Classes, Classes]:
    train, test = {}, {}
    for index, (name, files) in enumerate(classes.items()):
        order = numpy_generator(HOLDOUT_SEED, Purpose.HOLDOUT, index).permutation(len(files))
        count = max(1, round(len(files) * HOLDOUT_FRACTION))
        test[name] = [files[position] for position in sorted(order[:count])]
        train[name] = [files[position] for position in sorted(order[count:])]
    return train, test
