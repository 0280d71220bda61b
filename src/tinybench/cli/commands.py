"""The commands by name: `tinybench train …` when installed, `python src/train.py …` in a checkout."""

import difflib
import sys
from collections.abc import Iterator
from importlib import import_module

from tinybench import __version__
from tinybench.cli import console
from tinybench.errors import UsageError
from tinybench.runtime.allocator import start_again
from tinybench.runtime.processes import end_quickly

# In the order of the work.
COMMANDS = {
    "curate_data": "download, sort, verify and pack Tiny ImageNet-200, or another archive or folder",
    "models": "list the networks that there are, timm's and torchvision's too",
    "explore_data": "look at a data set before training on it",
    "train": "train a network",
    "test": "test trained networks on the test images",
    "infer": "ask a trained network about images",
    "explain": "show where a trained network looks",
    "demo": "ask trained networks about images on a page in the browser",
    "ensemble": "average the predictions of tested runs",
    "probe": "train a linear head on a frozen network, and ask the nearest images",
    "compare": "train, test and measure many networks with many seeds",
    "search": "search for a better recipe of a network",
    "watch": "show where every run stands, as they go",
    "report": "write all results on one page that opens from disk",
    "plot_training_loss": "draw the losses of runs",
    "plot_training_acc": "draw the accuracies of runs",
    "plot_comparison": "draw every figure of a comparison",
    "plot_search": "draw what a search tried",
    "export": "write a trained network as ONNX, safetensors, int8, …",
    "profile_step": "show where a training step's time and memory go",
    "doctor": "look at this machine, and say what is missing or broken",
}


# For bash, and for zsh with bashcompinit: asks the command itself, which takes 0.2 s.
COMPLETION = """\
_tinybench() { COMPREPLY=($(compgen -W "$(tinybench --words "${COMP_WORDS[1]}" "$COMP_CWORD")" -- "$2")); }
complete -o default -F _tinybench tinybench"""

# What computes for long enough to start again for it.
LONG = {"train", "test", "probe", "compare", "search", "profile_step", "doctor"}


def start(name: str) -> None:
    """Run a command with the flags in sys.argv, and exit with its status.

    Its modules are imported here and not above, so that Ctrl-C and missing packages end in one line then too.
    """
    if name in LONG:
        start_again()
    end_quickly()
    console.run(lambda: import_module(f"tinybench.cli.{name}").main())


def main() -> None:
    """The command `tinybench`: its first word names the command, the others are that one's flags."""
    word = sys.argv[1] if len(sys.argv) > 1 else "--help"
    name = word.replace("-", "_")  # as in the names of flags
    if name in COMMANDS:
        sys.argv[:2] = [f"tinybench {name}"]
        start(name)
    console.run(lambda: _answer(word))


def _answer(word: str) -> None:
    """Answer what is no command: --help, --version, --completion and what that asks, or a slip of the pen."""
    if word == "--completion":
        print(COMPLETION)
    elif word == "--words":
        print(*(_flags(sys.argv[2]) if len(sys.argv) > 3 and int(sys.argv[3]) > 1 else COMMANDS))
    elif word == "--version":
        print(f"tinybench {__version__}")
    elif word in ("-h", "--help"):
        print("usage: tinybench COMMAND [FLAGS]; tinybench COMMAND --help lists the flags\n")
        for name, about in COMMANDS.items():
            print(f"  {name:<20}{about}")
    else:
        closest = difflib.get_close_matches(word, COMMANDS, n=1, cutoff=0)[0]
        raise UsageError(f"there is no command {word}; the closest is {closest}, and tinybench --help lists all")


def _flags(name: str) -> Iterator[str]:
    """The flags of a command."""
    if name in COMMANDS:
        yield from ("--help", *console.flags_of(import_module(f"tinybench.cli.{name}").Arguments))
