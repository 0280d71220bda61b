"""How users of torchvision, of timm and of kornia load and train: what ours is measured beside.

All start from decoded uint8 images in memory.
"""

import time
from collections.abc import Callable, Iterable

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from tinybench.recipe import Recipe
from tinybench.runtime.device import autocast, memory_format, synchronize
from tinybench.training.optimizer import build_optimizer

try:
    import timm.data
    import timm.loss
    import timm.utils
except ImportError:
    timm = None
try:
    import kornia.augmentation as kornia
except ImportError:
    kornia = None

MEAN, STD = (0.48, 0.45, 0.40), (0.28, 0.27, 0.28)
COLOR_JITTER = (0.2, 0.2, 0.2, 0.1)


class PILImages(Dataset):
    """Images (uint8 (N, 3, H, W)) as PIL images, with their labels."""

    def __init__(self, images: Tensor, labels: Tensor, transform: Callable | None = None) -> None:
        self.images = images.permute(0, 2, 3, 1).numpy()
        self.labels = labels.tolist()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple:
        image = Image.fromarray(self.images[index])
        return (self.transform(image) if self.transform else image), self.labels[index]


def torchvision_transform(policy: str, size: int) -> Callable:
    """The policy of that name as torchvision's users write it."""
    bilinear = transforms.InterpolationMode.BILINEAR
    normalise = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    crop_and_flip = [transforms.RandomCrop(size, padding=4), transforms.RandomHorizontalFlip()]
    steps = {
        "standard": [
            *crop_and_flip,
            transforms.RandomRotation(10, bilinear),
            transforms.ColorJitter(*COLOR_JITTER),
            *normalise,
            transforms.RandomErasing(0.5, (0.02, 0.33), (0.3, 3.3)),
        ],
        "basic": [*crop_and_flip, *normalise],
        "cutout": [
            transforms.RandomAffine(15, (1 / 16, 1 / 16), (0.9, 1.1), interpolation=bilinear),
            transforms.RandomHorizontalFlip(),
            *normalise,
            transforms.RandomErasing(1.0, ((16 / size) ** 2,) * 2, (1.0, 1.0)),
        ],
        "none": normalise,
    }
    return transforms.Compose(steps[policy])


def torchvision_loader(images: Tensor, labels: Tensor, policy: str, batch_size: int, workers: int) -> DataLoader:
    data = PILImages(images, labels, torchvision_transform(policy, images.shape[-1]))
    return DataLoader(
        data, batch_size, shuffle=True, num_workers=workers, persistent_workers=workers > 0, drop_last=True
    )


def kornia_policy(policy: str, size: int, device: torch.device) -> nn.Module:
    """The policy of that name as kornia's users write it: float32 (B, 3, size, size) in [0, 1] to the like."""
    crop_and_flip = [kornia.RandomCrop((size, size), padding=4), kornia.RandomHorizontalFlip()]
    normalise = kornia.Normalize(torch.tensor(MEAN), torch.tensor(STD))
    steps = {
        "standard": [
            *crop_and_flip,
            kornia.RandomRotation(10.0, p=1.0),
            kornia.ColorJitter(*COLOR_JITTER, p=1.0),
            normalise,
            kornia.RandomErasing((0.02, 0.33), (0.3, 3.3), p=0.5),
        ],
        "basic": [*crop_and_flip, normalise],
        "cutout": [
            kornia.RandomAffine(15.0, (1 / 16, 1 / 16), (0.9, 1.1), p=1.0),
            kornia.RandomHorizontalFlip(),
            normalise,
            kornia.RandomErasing(((16 / size) ** 2,) * 2, (1.0, 1.0), p=1.0),
        ],
        "none": [normalise],
    }
    return kornia.ImageSequential(*steps[policy]).to(device)


def timm_loader(images: Tensor, labels: Tensor, batch_size: int, workers: int, device: torch.device) -> Iterable:
    """Beside `standard`, its crop is resized, and it does not rotate."""
    size = images.shape[-1]
    return timm.data.create_loader(
        PILImages(images, labels), (3, size, size), batch_size, is_training=True, scale=(0.75, 1.0), re_prob=0.5,
        color_jitter=COLOR_JITTER, mean=MEAN, std=STD, num_workers=workers, persistent_workers=workers > 0,
        device=device,
    )  # fmt: skip


def plain_epoch(model: nn.Module, loader: Iterable, recipe: Recipe, device: torch.device) -> Callable[[], float]:
    """Train as tutorials do: fp32, and the loss and the accuracy read in every step. Gives images/s of an epoch."""
    optimizer = build_optimizer(model, recipe)

    def epoch() -> float:
        started, count, loss_sum, correct = time.perf_counter(), 0, 0.0, 0
        for images, labels in loader:
            images, labels = images.to(device), labels.to(device)
            optimizer.zero_grad()
            logits = model(images)
            loss = F.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
            loss.backward()
            optimizer.step()
            loss_sum += loss.item() * len(labels)
            correct += (logits.argmax(1) == labels).sum().item()
            count += len(labels)
        return count / (time.perf_counter() - started)

    return epoch


def timm_epoch(
    model: nn.Module, loader: Iterable, recipe: Recipe, num_classes: int, device: torch.device
) -> Callable[[], float]:
    """Train as timm's train.py does: mixed precision, channels_last, its Mixup. Gives images/s of an epoch."""
    optimizer = build_optimizer(model, recipe)
    alpha = recipe.mixup_cutmix_alpha
    mixup = timm.data.Mixup(
        mixup_alpha=alpha, cutmix_alpha=alpha, prob=recipe.mix_probability, switch_prob=recipe.cutmix_share,
        label_smoothing=recipe.label_smoothing, num_classes=num_classes,
    )  # fmt: skip
    criterion = timm.loss.SoftTargetCrossEntropy()

    def epoch() -> float:
        losses = timm.utils.AverageMeter()
        started, count = time.perf_counter(), 0
        for images, labels in loader:
            images, targets = mixup(images, labels)
            images = images.contiguous(memory_format=memory_format(recipe.channels_last))
            with autocast(device, recipe.precision):
                loss = criterion(model(images), targets)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            count += len(labels)
        synchronize(device)
        losses.update(loss.item(), count)  # it logs now and then, not in every step
        return count / (time.perf_counter() - started)

    return epoch
