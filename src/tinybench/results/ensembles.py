"""Ensembles of tested runs and their results as files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinybench.errors import UsageError
from tinybench.results.predictions import ensemble, read_predictions, scores
from tinybench.runtime.files import check_output, has_keys, update_json

FOLDER = "ensembles"
LONGEST_NAME = 200  # file systems allow 255 bytes


def write_ensemble(
    results_dir: Path, runs: Sequence[str], name: str = "", *, force: bool = False
) -> tuple[Path, dict[str, Any]]:
    """Average the probabilities of tested runs; write and return results_dir/ensembles/<name>.json and its content.

    The content: name; test_acc and test_top5_acc in percent, nll in nats, ece; the same of every member, with the name
    of its run; the numbers of classes and test images. Without a name, those of the runs are joined by +; a slash
    becomes an underscore.

    Args:
        force: replace whatever file is there.

    Raises:
        UsageError: fewer than two runs, one given twice, or a name that is no file name or that of another file.
        UserError: a run was not tested, its file is damaged, or the runs were tested on different classes or images.
    """
    if len(runs) < 2 or len(set(runs)) < len(runs):
        raise UsageError("--run needs at least two runs, each once, such as --run resnet vit")
    if "/" in name or "\\" in name or name.startswith("."):
        raise UsageError(f"--name {name}: a name has no slash and does not begin with a dot")
    name = name or "+".join(runs).replace("/", "_")
    if len(name.encode()) > LONGEST_NAME:
        raise UsageError("the names of the runs joined are too long for the name of a file; give a shorter --name")
    members = [read_predictions(results_dir, run) for run in runs]
    together = ensemble(members)
    results = {
        "name": name,
        **scores(together),
        "members": [{"run": member.name, **scores(member)} for member in members],
        "classes": len(together.class_ids),
        "test_images": len(together.labels),
    }
    path = results_dir / FOLDER / f"{name}.json"
    check_output(path, force, has_keys("name", "test_acc"))
    update_json(path, results)
    return path, results
