"""Training on images that stay in their packed file, for a data set that fits neither the device nor the memory.

A disk is fast where it reads neighbours, and a batch has to be a mixture. So an epoch takes blocks of neighbouring
images in a random order and shuffles the images within a window of many blocks:

- A block is 96 KiB (8 images of 64×64): an eighth of the reads that single images would take, each of neighbours, and
  in a file sorted by class still only a few images of one class.
- A window is 1,024 blocks, 96 MiB (8,192 images), read in the order of the file. Of the 200 classes of Tiny ImageNet,
  128 of its images hold 91 on average, where a shuffle of the whole set gives 95.

The window in use and the next one, which a thread reads meanwhile, are in memory: 192 MiB. Each image also takes 24
bytes for its label, its row in the file and its place in the epoch's order; at the end of an epoch 32.
"""

from __future__ import annotations

import functools
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tinybench.data.imageset import ImageSet
from tinybench.errors import UserError
from tinybench.runtime.seeds import Purpose, torch_generator

BLOCK_BYTES = 96 * 2**10
WINDOW_BLOCKS = 1024


@dataclass(frozen=True, kw_only=True)
class StreamedSet(ImageSet):
    """Some of the images of a packed file, read when they are asked for.

    Plain reads, not the mapping: what is read through a mapping counts as the process's memory until it is let go.

    Attributes:
        images: all images of the file, mapped and never touched; `pixels` reads those of this set.
        labels: int64 (N,), on the device, of the images of this set.
        rows: int64 (N,), where in the file they are.
        header: bytes of the file before the first image.
    """

    rows: Tensor
    header: int

    @classmethod
    def of(cls, images: ImageSet) -> StreamedSet:
        """All images of a packed file.

        Raises:
            UserError: they are in memory already.
        """
        if images.file is None:
            raise UserError(f"the images of {images.name} are in memory, not in a packed file; train without --stream")
        header = images.file.stat().st_size - images.images.nbytes
        return cls(**vars(images), rows=torch.arange(len(images)), header=header)

    def pixels(self, which: Tensor | slice) -> Tensor:
        """Read the images at those indices: uint8 (n, 3, H, W) on the CPU. Neighbours in the file are read at once.

        Raises:
            UserError: the file cannot be read, or has become shorter.
        """
        rows = self.rows[which]
        pixels = torch.empty((len(rows), *self.images.shape[1:]), dtype=torch.uint8)
        self.read(rows, pixels)
        return pixels

    def read(self, rows: Tensor, pixels: Tensor) -> None:
        """Read those rows of the file into `pixels`: uint8 (n, 3, H, W), on the CPU and contiguous; see `pixels`."""
        assert self.file is not None  # see `of`
        size = self.images[0].nbytes
        buffer = pixels.numpy().reshape(-1).data
        begins = torch.cat((torch.zeros(1, dtype=torch.int64), torch.nonzero(rows.diff() != 1).flatten() + 1))
        ends = [*begins[1:].tolist(), len(rows)]  # of runs of neighbours
        try:
            with self.file.open("rb", buffering=0) as file:
                for row, first, end in zip(rows[begins].tolist(), begins.tolist(), ends, strict=True):
                    file.seek(self.header + row * size)
                    if file.readinto(buffer[first * size : end * size]) != (end - first) * size:
                        raise UserError(f"{self.file} is shorter than it was when the run started")
        except OSError as error:
            raise UserError(f"cannot read {self.file}: {error.strerror}") from error

    def select(self, indices: Tensor | slice) -> StreamedSet:
        """The images at `indices`; nothing of them is read."""
        return replace(self, rows=self.rows[indices], labels=self.labels[indices])

    def to(self, device: torch.device | str) -> StreamedSet:
        """The labels on that device; the images stay in the file."""
        return replace(self, labels=self.labels.to(device))


class WindowReader:
    """The order of the images in an epoch, and the images of a step from the window that is in memory.

    Both are functions of (images, batch, seed, epoch, step): any step may be asked for at any time, but only neighbours
    in the order are quick.
    """

    def __init__(self, images: StreamedSet, batch: int, seed: int) -> None:
        """For steps of `batch` images."""
        self.images = images
        self.batch = batch
        self.seed = seed
        self.block = max(1, BLOCK_BYTES // images.images[0].nbytes)  # images
        self.window = max(1, WINDOW_BLOCKS * self.block // batch) * batch  # images, for a whole number of steps
        self.order = functools.lru_cache(maxsize=2)(self._order)  # of this epoch and, at its end, of the next
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._windows: dict[int, Future[tuple[Tensor, Tensor]]] = {}  # counted over all epochs
        # Memory that is used again need not be mapped and cleared again, a third of the reader's work.
        self._buffers = [torch.empty((self.window, *images.images.shape[1:]), dtype=torch.uint8) for _ in range(2)]

    def _order(self, epoch: int) -> Tensor:
        """The order of the images in that epoch: int64 (N,) on the CPU."""
        generator = torch_generator("cpu", self.seed, Purpose.SHUFFLE, epoch)
        count = len(self.images)
        starts = torch.randperm(-(-count // self.block), generator=generator) * self.block
        order = (starts[:, None] + torch.arange(self.block)).flatten()
        windows = order[order < count].split(self.window)  # the last block may be shorter
        return torch.cat([window[torch.randperm(len(window), generator=generator)] for window in windows])

    def pixels(self, epoch: int, step: int, indices: Tensor) -> Tensor:
        """The images at `indices`, which are some of that step's: uint8 (n, 3, H, W) on the CPU, pinned for CUDA.

        Raises:
            UserError: the file cannot be read.
        """
        windows = max(1, -(-(len(self.images) // self.batch * self.batch) // self.window))  # that an epoch uses
        current = epoch * windows + step * self.batch // self.window
        # First let go of the former window, then read the next one in its place.
        wanted = (current, current + 1)
        self._windows = {number: self._windows[number] for number in wanted if number in self._windows}
        for number in wanted:
            if number not in self._windows:
                its_epoch, place = divmod(number, windows)
                members = self.order(its_epoch)[place * self.window : (place + 1) * self.window]
                self._windows[number] = self._thread.submit(self._read, members, self._buffers[number % 2])
        members, pixels = self._windows[current].result()
        shape, pinned = (len(indices), *pixels.shape[1:]), self.images.labels.is_cuda
        chosen = torch.empty(shape, dtype=torch.uint8, pin_memory=pinned)  # kept by torch until it has been copied
        return torch.index_select(pixels, 0, torch.searchsorted(members, indices), out=chosen)

    def _read(self, members: Tensor, buffer: Tensor) -> tuple[Tensor, Tensor]:
        """The members of a window in ascending order, and their images in the buffer."""
        members, pixels = members.sort().values, buffer[: len(members)]
        self.images.read(self.images.rows[members], pixels)
        return members, pixels
