"""Write a trained network in half precision, to share: `python src/export.py --run RUN --output FILE`.

Without --run, it is the network that infer.py would ask. The file is half the size of best_model.pth, and every command
takes it as --checkpoint, or as the best_model.pth of a run.
"""

from dataclasses import dataclass
from pathlib import Path

from tinybench.cli import console
from tinybench.cli.run_arguments import RunArguments
from tinybench.errors import UsageError, printable
from tinybench.runs import find_checkpoint


@dataclass(kw_only=True)
class Arguments(RunArguments):
    output: Path
    """File to write."""


def main() -> None:
    arguments = console.parse(Arguments, __doc__)
    from tinybench.inference.checkpoint import read_checkpoint, to_half, write_checkpoint

    arguments.check()
    source = find_checkpoint(arguments.results_dir, arguments.picked())
    if arguments.output.exists():
        raise UsageError(f"{arguments.output} is there already; choose another --output")
    checkpoint = to_half(read_checkpoint(source))
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    write_checkpoint(arguments.output, checkpoint)
    size = arguments.output.stat().st_size / 1e6
    print(printable(f"{arguments.output}: {checkpoint['model']} of {source} in half precision, {size:.1f} MB"))
