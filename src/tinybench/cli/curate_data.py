"""Make the data set: `python src/curate_data.py` downloads Tiny ImageNet-200, sorts, verifies and packs it.

Run it again after an interruption: a broken download goes on, and an unfinished folder is made anew.
"""

from dataclasses import dataclass
from pathlib import Path

from tinybench.cli import console


@dataclass(kw_only=True)
class Arguments:
    source: str | None = None
    """Zip, extracted folder or address to take instead of the published archive."""
    skip_damaged: bool = False
    """Leave out the images that cannot be read, instead of naming them and stopping."""
    data_dir: Path = Path("data")
    """Where to put everything."""
    debug: bool = False
    """Show the whole traceback of an error."""


def main() -> None:
    arguments = console.parse(Arguments, __doc__)
    from tinybench.data.prepare.curate import NAME, curate, is_published_source
    from tinybench.data.prepare.packed import is_intact, summarize

    folder = arguments.data_dir / "curated" / NAME
    if arguments.source is None and is_intact(folder):
        print("already curated; --source makes it anew")
    else:
        curate(arguments.source, arguments.data_dir, skip_damaged=arguments.skip_damaged)
        if not is_published_source(arguments.source):
            print("the source is not the published archive byte for byte; its counts and image sizes are the same")
    print(summarize(folder))
