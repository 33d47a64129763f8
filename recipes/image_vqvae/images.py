"""Images of 32 x 32 pixels: CIFAR-10 in its public binary layout or as image files, or drawn ones."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from codec.errors import CodecError
from codec.extras import require

_SIDE = 32
_KINDS = (".jpg", ".jpeg", ".png")
_BATCHES = {"train": [f"data_batch_{number}.bin" for number in range(1, 6)], "test": ["test_batch.bin"]}


@dataclass(frozen=True)
class Images:
    """``train`` and ``test`` images, uint8 ``[N, 3, 32, 32]``, and a word on what they are."""

    train: Tensor
    test: Tensor
    source: str


def load_images(path: Path) -> Images:
    """Read a data set whole, which takes 184 MB for CIFAR-10.

    Args:
        path: the folder ``cifar-10-batches-bin`` of the public binary archive, or a folder or zip with
            ``train/`` and ``test/`` that hold JPEG or PNG files, in folders of any depth.

    Raises:
        CodecError: it is none of these, or a file is damaged or of another size.
    """
    if (path / "data_batch_1").exists():
        raise CodecError(
            f"{path} is the pickled form of CIFAR-10, which is not read: take the binary version"
            " (cifar-10-binary.tar.gz)"
        )
    if (path / _BATCHES["test"][0]).exists():
        parts = {part: _read_batches(path, names) for part, names in _BATCHES.items()}
        return Images(parts["train"], parts["test"], "CIFAR-10, binary version")
    if zipfile.is_zipfile(path) or path.is_dir():
        parts = {part: _read_files(path, part) for part in ("train", "test")}
        return Images(parts["train"], parts["test"], path.name)
    raise CodecError(f"{path} is neither a folder nor a zip file of images")


def drawn_images(train: int, test: int, seed: int = 0) -> Images:
    """Smooth random colour fields with an edge each, for trying things out without data."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(train + test, 3, 4, 4, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, _SIDE, mode="bicubic").clamp(0, 1)
    angle = 2 * torch.pi * torch.rand(train + test, 1, 1, 1, generator=generator)
    across = torch.linspace(-1, 1, _SIDE)
    side = angle.cos() * across.view(1, 1, 1, -1) + angle.sin() * across.view(1, 1, -1, 1) > 0
    pixels = (255 * torch.where(side, smooth, 1 - smooth)).byte()
    return Images(pixels[:train], pixels[train:], "drawn")


def _read_batches(folder: Path, names: list[str]) -> Tensor:
    batches = []
    for name in names:
        try:
            rows = np.fromfile(folder / name, dtype=np.uint8)
        except OSError as error:
            raise CodecError(f"cannot read {folder / name}: {error}") from error
        if len(rows) == 0 or len(rows) % (1 + 3 * _SIDE**2):
            raise CodecError(f"{folder / name} is cut off: unpack the archive again")
        # Each row starts with the label.
        batches.append(rows.reshape(-1, 1 + 3 * _SIDE**2)[:, 1:].reshape(-1, 3, _SIDE, _SIDE))
    return torch.from_numpy(np.concatenate(batches))


def _read_files(path: Path, part: str) -> Tensor:
    image = require("PIL.Image", extra="train")
    pictures = []
    for name, data in _files(path, part):
        try:
            with image.open(io.BytesIO(data)) as opened:
                picture = np.asarray(opened.convert("RGB"))
        # Pillow tells some kinds of damage by SyntaxError.
        except (OSError, SyntaxError) as error:
            raise CodecError(f"{name} is no readable image: remove it") from error
        if picture.shape != (_SIDE, _SIDE, 3):
            raise CodecError(f"{name} must be {_SIDE} x {_SIDE} pixels")
        pictures.append(picture.transpose(2, 0, 1))
    if not pictures:
        raise CodecError(f"{path} has no JPEG or PNG files in {part}/")
    return torch.from_numpy(np.stack(pictures))


def _files(path: Path, part: str) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the image files of one part, by name."""
    if path.is_dir():
        for file in sorted((path / part).rglob("*")):
            if file.suffix.lower() in _KINDS:
                yield str(file), file.read_bytes()
        return
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if name.startswith(f"{part}/") and name.lower().endswith(_KINDS):
                try:
                    yield f"{path}: {name}", archive.read(name)
                except zipfile.BadZipFile as error:
                    raise CodecError(f"{path} is damaged at {name}: fetch it again") from error
