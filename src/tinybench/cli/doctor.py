"""Look at this machine: `python src/doctor.py` measures it and says what is there, what is missing, what is broken."""

import json
from dataclasses import dataclass
from pathlib import Path

from tinybench.cli import console
from tinybench.recipe import Device


@dataclass(kw_only=True)
class Arguments:
    device: Device = "auto"
    """auto takes CUDA, then MPS, then the CPU."""
    data_dir: Path = Path("data")
    """Where the data sets are."""
    verify: bool = False
    """Read all images again and compare their fingerprints."""
    check: bool = False
    """Compare a training step of every network, policy and optimizer on the device with the CPU; takes a minute."""
    json: bool = False
    """Print everything as JSON."""
    debug: bool = False
    """Show the whole traceback of an error."""


def main() -> int:
    arguments = console.parse(Arguments, __doc__)
    from tinybench.profiling.doctor import examine, is_well, report
    from tinybench.runtime.device import pick_device

    found = examine(pick_device(arguments.device), arguments.data_dir, arguments.verify, arguments.check)
    print(json.dumps(found, indent=2) if arguments.json else report(found))
    return 0 if is_well(found) else 1
