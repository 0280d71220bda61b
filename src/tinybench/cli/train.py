"""Train a network: `python src/train.py --model resnet --epochs 80 --mixup_cutmix_alpha 0.4`.

--model takes the recipe that the network has in config.py, --recipe any entry of it; every other flag overrides a
field of that recipe. With --resume, the recipe is the one in the checkpoint. Several GPUs share the work when torchrun
starts it: `torchrun --nproc_per_node=4 src/train.py --model resnet`.
"""

import argparse
import dataclasses
import shlex
from dataclasses import dataclass
from pathlib import Path

from tinybench.cli import console
from tinybench.configuration import get_recipe, load_augmentations, load_recipes
from tinybench.errors import UsageError, UserError
from tinybench.model_file import load_model_file
from tinybench.recipe import CountOrNone, Device, Draft, Recipe, RunOptions, TrackerName, changes, check_run_name


@dataclass(kw_only=True)
class Arguments:
    fields: Draft
    recipe: str = ""
    """Entry of config.py to start from (default: the one of --model)."""
    run_name: str = ""
    """Folder of the run below results_dir (default: the recipe's name; the checkpoint's folder with --resume PATH)."""
    resume: tuple[Path, ...] | None = None
    """Go on with this run from its last checkpoint, or from the one given."""
    overwrite: bool = False
    """Replace the run that is already in the folder."""
    download: bool = False
    """Download the data set first, if that has not been done."""
    data_dir: Path = RunOptions.data_dir
    """Where the data sets are."""
    results_dir: Path = RunOptions.results_dir
    """Where the folders of the runs are."""
    device: Device = RunOptions.device
    """auto takes CUDA, then MPS, then the CPU."""
    checkpoint_minutes: float = RunOptions.checkpoint_minutes
    """Also write last.pth within an epoch, when so many minutes have passed since the last one."""
    save_every: CountOrNone = RunOptions.save_every
    """Keep checkpoint_epoch_N.pth every so many epochs (0: none)."""
    track: tuple[TrackerName, ...] | None = None
    """Hand recipe, values of every epoch, loss of each step and files to experiment trackers (no name: tensorboard)."""
    verbose: bool = False
    """Print every field of the recipe, not only what differs from the defaults."""
    model_file: Path | None = None
    """File that adds a network to MODELS and holds its RECIPES."""
    debug: bool = False
    """Show the whole traceback of an error."""

    def options(self) -> RunOptions:
        return RunOptions(
            run_name=self.run_name,
            data_dir=self.data_dir,
            results_dir=self.results_dir,
            device=self.device,
            checkpoint_minutes=self.checkpoint_minutes,
            save_every=self.save_every,
            track=() if self.track is None else tuple(dict.fromkeys(self.track or ("tensorboard",))),
            verbose=self.verbose,
            model_file=self.model_file,
        )


def main() -> None:
    recipe, arguments = parse_arguments(__doc__)
    from tinybench.data.datasets import download
    from tinybench.runtime.distributed import process_group
    from tinybench.training.trainer import train

    options = arguments.options()
    if arguments.download:
        download(recipe.dataset, options.data_dir)
    with process_group(options.device):
        history = train(
            recipe,
            options,
            resume=arguments.resume[0] if arguments.resume else None,
            overwrite=arguments.overwrite,
        )
    epoch, accuracy, _ = history.best()
    print(f"best epoch {epoch}: {accuracy:.2f} % on the validation images; the files are in {options.folder}")
    print(f"next: {options.command('src/test.py', '--run', options.run_name)}")


def parse_arguments(description: str | None) -> tuple[Recipe, Arguments]:
    """Parse sys.argv. Afterwards `run_name` is set, and `resume` is None or holds one existing checkpoint.

    Any flag of the recipe may be stated alone: the others follow, see Recipe.changed.

    The defaults of the recipe's flags depend on other flags: with --resume they come from the checkpoint, otherwise
    from the entry of config.py, or of --model_file, that --recipe or --model names.

    Returns:
        The recipe, with what stands on the command line, and the arguments.

    Raises:
        UsageError: an unknown recipe or network, a bad run name, more than one checkpoint, flags that do not fit.
    """
    first = _first_look()
    recipes = load_recipes()
    if first.model_file:
        recipes |= load_model_file(first.model_file)
    name = first.recipe or entry_of(first.model or Recipe.model, recipes)
    given = _run_of(first.resume[0], first.results_dir) if first.resume else ""
    run_name = first.run_name or given or name
    check_run_name(run_name, "run_name")
    checkpoint = _checkpoint(first.resume, first.results_dir / run_name)
    base, begun = _saved_recipe(checkpoint) if checkpoint else (get_recipe(name, recipes), False)
    arguments = console.parse(
        Arguments,
        description,
        default=Arguments(fields=Draft(**base.as_dict())),
        more=known_names(recipes),
    )
    arguments.run_name = run_name
    if first.resume is not None and checkpoint is None:
        if arguments.overwrite:
            raise UsageError("--resume goes on with a run, --overwrite replaces it; give one of them")
        print(f"{first.results_dir / run_name} holds no checkpoint yet: starting from the first step")
    arguments.resume = (checkpoint,) if checkpoint else None
    return with_stated(base, arguments.fields, begun), arguments


def with_stated(base: Recipe, fields: Draft, begun: bool = False) -> Recipe:
    """A recipe with the fields that stand on the command line; what follows from them is printed.

    Args:
        begun: the recipe is that of epochs already run, from which nothing else may change.
    """
    names = console.stated([spec.name for spec in dataclasses.fields(Recipe)])
    flags = {name: getattr(fields, name) for name in names}
    if begun:
        if flags.get("precision") == "auto":
            del flags["precision"]  # what it came to
        return dataclasses.replace(base, **flags)
    recipe = base.changed(**flags)
    if followed := changes(base, recipe, but=names):
        print(f"the flags entail {', '.join(followed)}; state these too to have others", flush=True)
    return recipe


def known_names(recipes: dict[str, Recipe]) -> dict[str, str]:
    """What the help of a recipe's fields adds: the networks, recipes and augmentations that there are."""
    models = sorted({recipe.model for recipe in recipes.values()})
    return {
        "model": f" Known: {', '.join(models)}.",
        "recipe": f" Known: {', '.join(recipes)}.",
        "augment": f" Known: {', '.join(load_augmentations())}.",
    }


def entry_of(model: str, recipes: dict[str, Recipe]) -> str:
    """The entry of config.py for a network: the one of its name; where there is none, its registration says."""
    if model in recipes:
        return model
    from tinybench.models import recipe_of  # torch, which is slow to import

    return recipe_of(model)


def _first_look() -> argparse.Namespace:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--recipe", default="")
    parser.add_argument("--model", default="")
    parser.add_argument("--run_name", default="")
    parser.add_argument("--results_dir", type=Path, default=RunOptions.results_dir)
    parser.add_argument("--model_file", type=Path, default=None)
    parser.add_argument("--resume", type=Path, nargs="*", default=None)
    try:
        return parser.parse_known_args(console.words())[0]
    except argparse.ArgumentError as error:
        raise UsageError(str(error)) from error


def _run_of(checkpoint: Path, results_dir: Path) -> str:
    """The run that a checkpoint belongs to; one from elsewhere goes on in a folder of its own folder's name."""
    folder, root = checkpoint.resolve().parent, results_dir.resolve()
    return folder.relative_to(root).as_posix() if root in folder.parents else folder.name


def _saved_recipe(path: Path) -> tuple[Recipe, bool]:
    """The recipe of a checkpoint, and whether a step has been done with it."""
    from tinybench.inference.checkpoint import read_checkpoint
    from tinybench.training.state import has_begun

    try:
        checkpoint = read_checkpoint(path)
        return Recipe.from_dict(checkpoint["recipe"]), has_begun(checkpoint)
    except UserError as error:
        others = sorted(path.parent.glob("checkpoint_epoch_*.pth"), key=lambda path: path.stat().st_mtime)
        hint = f"; an earlier one is --resume {shlex.quote(str(others[-1]))}" if others and others[-1] != path else ""
        raise UserError(f"{error}{hint}") from error


def _checkpoint(resume: list[Path] | None, folder: Path) -> Path | None:
    """The checkpoint to go on from; None for a run that starts, also one that was lost before its first checkpoint."""
    if resume is None:
        return None
    if len(resume) > 1:
        raise UsageError("--resume takes one checkpoint")
    if resume:
        return resume[0]
    last = folder / "last.pth"
    return last if last.exists() else None
