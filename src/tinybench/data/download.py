"""Downloading the published archive: with a progress bar, resumed where it broke off, verified."""

import hashlib
import http.client
import urllib.error
import urllib.request
from pathlib import Path

from tqdm import tqdm

from tinybench.errors import UserError

ARCHIVE_URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
ARCHIVE_BYTES = 248_100_043
ARCHIVE_MD5 = "90528d7ca1a48142e341f4ef8d21d0de"
TIMEOUT_SECONDS = 30
BLOCK = 1 << 18


def download(url: str, folder: Path, *, published: bool, md5: str = ARCHIVE_MD5) -> Path:
    """Download `url` into `folder`, unless it is there already; a broken download goes on where it ended.

    Args:
        published: the file must have the MD5 of the published archive.

    Raises:
        UserError: no network, or the file is not the one that was published.
    """
    name = url.rstrip("/").rsplit("/", 1)[-1] or "archive.zip"
    path, part = folder / name, folder / f"{name}.part"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        try:
            _fetch(url, part)
        except (urllib.error.URLError, OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise UserError(
                f"cannot download {url}: {reason}; run the same command again to go on, or get the file elsewhere and "
                f"type: python src/curate_data.py --source {name}"
            ) from error
        part.replace(path)
    if published and (found := _md5(path)) != md5:
        path.unlink()
        raise UserError(f"{url} brought a file of MD5 {found}, not {md5}; it was deleted, run the same command again")
    return path


def _fetch(url: str, part: Path) -> None:
    done = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not done:
            raise
        # Nothing follows what is there: the file is whole, or it is another one's part. The MD5 will tell.
        if error.headers.get("Content-Range", "") != f"bytes */{done}":
            part.unlink()
            _fetch(url, part)
        return
    with response:
        if done and response.status != 206:  # the server knows no ranges: from the start
            done = 0
        left = response.headers.get("Content-Length")
        total = done + int(left) if left else None
        bar = tqdm(total=total, initial=done, desc="downloading", unit="B", unit_scale=True, disable=None)
        with bar, part.open("ab" if done else "wb") as file:
            while block := response.read(BLOCK):
                file.write(block)
                done += len(block)
                bar.update(len(block))
    if total is not None and done < total:
        raise OSError(f"the connection broke after {done:,} of {total:,} bytes")


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
