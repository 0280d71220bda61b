"""Whether an exported network answers as its checkpoint does."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from tinybench import metrics
from tinybench.errors import UserError

Arithmetic = Literal["fp32", "half", "int8"]


@dataclass(frozen=True)
class Tolerance:
    """How far an exported network may be from its checkpoint.

    Attributes:
        difference: of any two logits, as a share of the largest logit.
        agreement: percent of the images for which both put the same class first, at least.
    """

    difference: float
    agreement: float


TOLERANCES: dict[Arithmetic, Tolerance] = {
    "fp32": Tolerance(1e-3, 99.9),
    "half": Tolerance(1e-2, 99.0),
    "int8": Tolerance(0.5, 90.0),
}


@dataclass(frozen=True)
class Parity:
    """An exported network beside its checkpoint, on held-out validation images.

    Attributes:
        images: how many.
        difference: the largest, of any two logits.
        largest: logit of the checkpoint's, by its amount.
        agreement: percent of the images for which both put the same class first.
        accuracy, exported_accuracy: top-1 in percent.
    """

    images: int
    difference: float
    largest: float
    agreement: float
    accuracy: float
    exported_accuracy: float

    def __str__(self) -> str:
        return (
            f"on {self.images:,} validation images: logits up to {self.largest:.1f} differ by {self.difference:.2g} at "
            f"most, {self.agreement:.2f} % have the same first class, top-1 {self.exported_accuracy:.2f} % "
            f"(checkpoint: {self.accuracy:.2f} %)"
        )


def compare(logits: Tensor, exported: Tensor, labels: Tensor) -> Parity:
    """Put two networks' logits, (N, classes) on the CPU, beside each other."""
    return Parity(
        images=len(labels),
        difference=float((logits - exported).abs().max()),
        largest=float(logits.abs().max()),
        agreement=100 * float((logits.argmax(1) == exported.argmax(1)).float().mean()),
        accuracy=metrics.topk_accuracy(logits, labels, 1),
        exported_accuracy=metrics.topk_accuracy(exported, labels, 1),
    )


def require(parity: Parity, arithmetic: Arithmetic) -> None:
    """Refuse what differs by more than its arithmetic explains.

    Raises:
        UserError: naming what does.
    """
    allowed = TOLERANCES[arithmetic]
    if not parity.difference <= allowed.difference * parity.largest or parity.agreement < allowed.agreement:
        raise UserError(
            f"the exported network is not the checkpoint's, and is not kept: {parity}; {arithmetic} may differ by "
            f"{allowed.difference:g} of the largest logit, and has to agree on {allowed.agreement:g} %"
        )
