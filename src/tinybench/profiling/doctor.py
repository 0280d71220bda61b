"""The machine in one screen: what there is, how fast it is, and what is broken."""

import os
import platform
from pathlib import Path
from typing import Any

import torch
import torchvision

from tinybench.configuration import config_file
from tinybench.data.prepare.packed import METADATA, SPLITS, is_unchanged, load_packed
from tinybench.errors import UsageError, UserError, command
from tinybench.profiling.device_check import check_device
from tinybench.profiling.peaks import copy_bytes, matmul_flops
from tinybench.runtime.device import PRECISIONS, check_precision, describe_environment
from tinybench.training.numerics import remembered

USES = {"train": "to train", "val": "to validate", "test": "to test"}  # what images are for


def examine(device: torch.device, data_dir: Path, verify: bool = False, check: bool = False) -> dict[str, Any]:
    """What doctor.py shows.

    Args:
        verify: read all images again and compare their fingerprints.
        check: compare what the device computes with the CPU.

    Raises:
        UsageError: the device to check is the CPU.
    """
    if check and device.type == "cpu":
        raise UsageError("--check compares device mps or cuda with the CPU, and here is only a CPU")
    checks = check_device(device) if check else ()
    return {
        "environment": {
            **describe_environment(device),
            "torchvision": torchvision.__version__,
            "cuda": torch.version.cuda if device.type == "cuda" else None,
            "cores": os.cpu_count(),
            "system": platform.system(),
            "memory_gib": _memory(device) / 2**30,
        },
        "teraflops": {name: _teraflops(device, name) for name in PRECISIONS},
        "gigabytes_per_second": copy_bytes(device) / 1e9,
        "datasets": [_dataset(path.parent, verify) for path in sorted((data_dir / "curated").glob(f"*/{METADATA}"))],
        "precision_auto": remembered(device),
        "config": str(config_file()),
        "checks": [vars(result) | {"agrees": result.agrees, "line": str(result)} for result in checks],
    }


def report(found: dict[str, Any]) -> str:
    """What was found, in lines."""
    machine = found["environment"]
    cuda = f", CUDA {machine['cuda']}" if machine["cuda"] else ""
    lines = [
        f"machine     {machine['platform']}, {machine['cores']} cores",
        f"software    Python {machine['python']}, torch {machine['torch']}, torchvision {machine['torchvision']}{cuda}",
        f"device      {machine['device']}: {machine['device_name']}, {machine['memory_gib']:.1f} GiB, "
        f"{machine['threads']} threads",
    ]
    fp32 = found["teraflops"]["fp32"]
    for name, rate in found["teraflops"].items():
        about = "not supported" if rate is None else f"{rate:.3g} TFLOP/s in a matrix product"
        if rate is not None and rate < fp32 / 2:
            about += ", emulated: slower than fp32"
        lines.append(f"{name:<12}{about}")
    lines.append(f"memory      {found['gigabytes_per_second']:.3g} GB/s")
    lines.append(f"allocator   {machine['allocator']}")
    lines.append(f"recipes     {found['config']}")
    for data in found["datasets"]:
        lines.append(f"data        {data['name']}: {data['problem'] or data['about']}")
    if not found["datasets"]:
        lines.append(f"data        none yet; type: {command('src/curate_data.py')}")
    for network, choice in found["precision_auto"].items():
        lines.append(f"auto        {network}: {choice}")
    if not found["precision_auto"]:
        lines.append("auto        nothing tried yet; the first run of a network finds out what is fastest")
    lines += [f"check       {result['line']}" for result in found["checks"]]
    return "\n".join(lines)


def is_well(found: dict[str, Any]) -> bool:
    """Whether nothing is broken."""
    return not any(data["problem"] for data in found["datasets"]) and all(each["agrees"] for each in found["checks"])


def _teraflops(device: torch.device, precision: str) -> float | None:
    try:
        check_precision(device, precision)
        return matmul_flops(device, PRECISIONS[precision] or torch.float32) / 1e12
    except (UserError, RuntimeError):  # torch has no such product for this device
        return None


def _memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _dataset(folder: Path, verify: bool) -> dict[str, str]:
    """The name of a packed data set, and either what is in it or what is wrong with it."""
    try:
        train = load_packed(folder, "train")
        splits = {
            split: load_packed(folder, split) for split in SPLITS if split != "val" or "val" in train.split_fingerprints
        }
        counts = " and ".join(f"{len(images):,}" for images in splits.values())
        uses = " and ".join(USES[split] for split in splits)
        about = f"{train.num_classes} classes, {counts} images {uses} on"
        if verify:
            if not all(is_unchanged(images) for images in splits.values()):
                raise UserError(f"{folder} is not what was curated; delete it and curate again")
            about += ", verified"
        return {"name": folder.name, "about": about, "problem": ""}
    except UserError as error:
        return {"name": folder.name, "about": "", "problem": str(error)}
