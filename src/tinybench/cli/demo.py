"""Ask trained networks about images on a page in the browser: `python src/demo.py`.

One drops an image on it, or takes one of the test images where they are there, and sees each run's likeliest classes,
where it looks, what corruptions change, and similar training images if it was probed. Without --run, the network is
asked that infer.py would ask. Only this machine reaches the page unless --host says otherwise.
"""

import contextlib
import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval

from tinybench.cli import console
from tinybench.cli.run_arguments import NetworkArguments
from tinybench.errors import UsageError, UserError, notice, printable
from tinybench.inference.about import summary
from tinybench.model_file import load_model_file
from tinybench.recipe import Count, Device, Positive

if TYPE_CHECKING:
    from tinybench.demo.answers import AskedNetwork

PORTS = 100  # to try


@dataclass(kw_only=True)
class Arguments:
    run: tuple[str, ...] = ()
    """Runs under results_dir to ask, one or several side by side."""
    model: tuple[str, ...] = ()
    """Networks, to ask the only run of each; or names of runs, as --run."""
    checkpoint: Path | None = None
    """Checkpoint to ask, instead of runs."""
    top_k: Count = 5
    """How many of the likeliest classes to name."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 lets all machines in that reach this one."""
    port: Annotated[int, Interval(ge=0, le=65535)] = 7860
    """Port to listen on, or the first free one after it (0: any)."""
    max_mb: Positive = 10.0
    """Largest file that is taken, in MiB."""
    open: bool = False
    """Open the page in the browser."""
    results_dir: Path = Path("results")
    """Where the folders of the runs are."""
    data_dir: Path = Path("data")
    """Where the data sets are, and the features that probe.py keeps."""
    device: Device = "auto"
    """auto takes CUDA, then MPS, then the CPU."""
    model_file: Path | None = None
    """File that adds the network to MODELS, where it is none of tinybench's own."""
    debug: bool = False
    """Show the whole traceback of an error."""


def main() -> None:
    arguments = console.parse(Arguments, __doc__)
    networks = list(asked_networks(arguments))
    try:
        from tinybench.demo.page import build, launch
    except ModuleNotFoundError as error:
        if error.name != "gradio":
            raise
        raise UsageError("the page needs a package: pip install gradio") from error
    from tinybench.runtime.signals import StopSignals

    port = free_port(arguments.host, arguments.port)
    if not is_local(arguments.host):
        notice(f"with --host {arguments.host}, whoever reaches this machine can ask the networks; there is no password")
    # Gradio writes what is uploaded there, and asks itself whether it can be reached, which no proxy should answer.
    with tempfile.TemporaryDirectory(prefix="tinybench_demo_") as uploads, StopSignals() as stop:
        os.environ |= {"GRADIO_TEMP_DIR": uploads, "NO_PROXY": "*"}
        page = build(networks, arguments.top_k)
        address = launch(page, arguments.host, port, arguments.max_mb, arguments.open)
        for network in networks:
            print(printable(f"{network.name}: {summary(network.checkpoint)}"))
        print(f"the page is at {address} until Ctrl-C", flush=True)
        threading.Thread(target=prepare, args=[networks]).start()
        while not stop.received:
            time.sleep(0.1)
        page.close(verbose=False)


def asked_networks(arguments: Arguments) -> Iterator["AskedNetwork"]:
    """The networks that are named, or the one that infer.py would ask.

    Raises:
        UsageError: as of `NetworkArguments`.
        UserError: a file is missing or damaged.
    """
    from tinybench.demo.answers import AskedNetwork

    if arguments.model_file:
        load_model_file(arguments.model_file)
    shared = NetworkArguments(
        checkpoint=arguments.checkpoint, results_dir=arguments.results_dir, device=arguments.device
    )
    named = [replace(shared, run=run) for run in arguments.run]
    named += [replace(shared, model=model) for model in arguments.model]
    for one in named or [shared]:
        one.check()
        source = one.source()
        shown = source if one.checkpoint else source.parent.relative_to(arguments.results_dir)
        answerer = one.answerer()
        yield AskedNetwork(shown.as_posix(), answerer, one.predictor, arguments.data_dir)


def prepare(networks: Sequence["AskedNetwork"]) -> None:
    """Load what answers can do without, while the page is up already; what fails is said when it is asked for."""
    for network in networks:
        with contextlib.suppress(UserError):
            network.explainer  # noqa: B018


def is_local(host: str) -> bool:
    """Whether only this machine can connect to the address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def free_port(host: str, port: int) -> int:
    """The first port from that one on that is free; 0 leaves the choice to the system.

    Raises:
        UsageError: the host is no address of this machine, or none of its ports is free.
    """
    try:
        family, *_, (address, *_) = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise UsageError(f"--host {host}: {error.strerror}") from error
    for candidate in range(port, min(port + PORTS, 65536)):
        with socket.socket(family, socket.SOCK_STREAM) as listener, contextlib.suppress(OSError):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address, candidate))
            return listener.getsockname()[1]
    raise UsageError(f"cannot listen on --host {host} --port {port}, nor on the next {PORTS} ports; give others")
