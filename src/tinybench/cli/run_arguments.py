"""The flags of all commands that take runs or use a trained network."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tinybench.errors import UsageError
from tinybench.model_file import load_model_file
from tinybench.recipe import Device
from tinybench.runs import find_checkpoint, pick_runs

if TYPE_CHECKING:
    from tinybench.inference.onnx import OnnxPredictor
    from tinybench.inference.predictor import Predictor


@dataclass(kw_only=True)
class RunArguments:
    run: str = ""
    """Run under results_dir; what happens without it stands above."""
    model: str = ""
    """Network, to take its only run; or the name of a run, as --run."""
    results_dir: Path = Path("results")
    """Where the folders of the runs are."""
    debug: bool = False
    """Show the whole traceback of an error."""

    def check(self) -> None:
        """Refuse what names two networks.

        Raises:
            UsageError: naming the flags.
        """
        if self.run and self.model:
            raise UsageError("--run and --model each name a run; give one of them")

    def picked(self) -> dict[str, Path]:
        """The folder of the run that is named, by its name; empty if none is.

        Raises:
            UsageError: there is no such run, or the network has several.
        """
        return pick_runs(self.results_dir, [self.run] if self.run else [], [self.model] if self.model else [])


@dataclass(kw_only=True)
class NetworkArguments(RunArguments):
    checkpoint: Path | None = None
    """Checkpoint to use, instead of a run."""
    device: Device = "auto"
    """auto takes CUDA, then MPS, then the CPU."""
    model_file: Path | None = None
    """File that adds the network to MODELS, where it is none of tinybench's own."""

    def check(self) -> None:
        """As of `RunArguments`; and load the model file.

        Raises:
            UsageError: both a run and a checkpoint are given, or the model file cannot be loaded.
        """
        super().check()
        if self.checkpoint and (self.run or self.model):
            raise UsageError(
                f"--{'run' if self.run else 'model'} and --checkpoint each name a network; give one of them"
            )
        if self.model_file:
            load_model_file(self.model_file)

    def predictor(self) -> "Predictor":
        """The network that is named, on the device; where none is, see `find_checkpoint`.

        Raises:
            UsageError: there is no such run, or none at all.
            UserError: the checkpoint is missing or damaged.
        """
        from tinybench.inference.predictor import Predictor
        from tinybench.runtime.device import pick_device

        return Predictor(self.source(), pick_device(self.device))

    def answerer(self) -> "Predictor | OnnxPredictor":
        """As `predictor`, or the network that export.py wrote beside the checkpoint, which answers without torch."""
        from tinybench.inference.onnx import OnnxPredictor, exported_beside

        source = self.source()
        if source.suffix == ".onnx":
            if self.device not in ("auto", "cpu"):
                raise UsageError(f"{source} runs on the CPU; --device {self.device} needs the checkpoint")
            return OnnxPredictor(source)
        may_be_exported = not self.checkpoint and self.device in ("auto", "cpu")
        return (exported_beside(source) if may_be_exported else None) or self.predictor()

    def source(self) -> Path:
        """The file of the network that is named; where none is, see `find_checkpoint`.

        Raises:
            UsageError: there is no such run, or none at all.
        """
        return self.checkpoint or find_checkpoint(self.results_dir, self.picked())
