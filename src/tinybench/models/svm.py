"""The multi-class linear support vector machine (Weston and Watkins 1999, Support Vector Machines for Multi-Class
Pattern Recognition, https://www.esann.org/sites/default/files/proceedings/legacy/es1999-461.pdf), on raw pixels.

One linear layer. What makes it a support vector machine is how it is trained: with a hinge loss, and an L2 penalty.
"""

from torch import Tensor, nn


class SVM(nn.Module):
    """Linear classifier: float32 (B, 3, image_size, image_size) to scores (B, num_classes).

    Args:
        image_size: side of the images in pixels.
        dropout: probability of dropping a pixel.
    """

    def __init__(self, *, num_classes: int, image_size: int = 64, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(3 * image_size**2, num_classes)

    def forward(self, x: Tensor) -> Tensor:  # (B, 3, 64, 64)
        return self.head(self.dropout(x.flatten(1)))  # of (B, 12288)
