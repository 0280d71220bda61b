"""The flags of all commands that use a trained network."""

from dataclasses import dataclass
from pathlib import Path

from tinybench.errors import UsageError
from tinybench.model_file import load_model_file
from tinybench.recipe import Device


@dataclass(kw_only=True)
class NetworkArguments:
    model: str = ""
    """Run under results_dir; what happens without it stands above."""
    checkpoint: Path | None = None
    """Checkpoint to use, instead of a run."""
    results_dir: Path = Path("results")
    """Where the folders of the runs are."""
    device: Device = "auto"
    """auto takes CUDA, then MPS, then the CPU."""
    model_file: Path | None = None
    """File that adds the network to MODELS, where it is none of tinybench's own."""
    debug: bool = False
    """Show the whole traceback of an error."""

    def check(self) -> None:
        """Refuse what names two networks, and load the model file.

        Raises:
            UsageError: both a run and a checkpoint are given, or the model file cannot be loaded.
        """
        if self.model and self.checkpoint:
            raise UsageError("--model and --checkpoint each name a network; give one of them")
        if self.model_file:
            load_model_file(self.model_file)
