"""Downloading the published archive: with a progress bar, resumed where it broke off, verified."""

import base64
import hashlib
import http.client
import shlex
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from tqdm import tqdm

from tinybench.errors import UserError

ARCHIVE_URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
ARCHIVE_FILE = "tiny-imagenet-200.zip"
ARCHIVE_BYTES = 248_100_043
ARCHIVE_MD5 = "90528d7ca1a48142e341f4ef8d21d0de"
TIMEOUT_SECONDS = 30
LARGEST = 2_000_000_000  # bytes of a file whose size is not known beforehand
LEAST_RATE, RATE_SECONDS = 1_000, 60  # bytes a second, over the time that a slow start is given
BLOCK = 1 << 18


def download(url: str, path: Path, *, size: int | None = None, md5: str | None = None) -> Path:
    """Download `url` to `path`, unless it is there already; a broken download goes on where it ended.

    Args:
        size: bytes that the file must have.
        md5: digest that the file must have.

    Raises:
        UserError: no network, or the file is not the one that was asked for.
    """
    if path.exists():
        if difference := _difference(path, size, md5):
            raise UserError(
                f"{path} {difference}; delete it, or take it as it is with --source {shlex.quote(str(path))}"
            )
        return path
    part = path.with_name(f"{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        url, login = _without_login(url)
        _fetch(url, part, size, login)
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise UserError(
            f"cannot download {url}: {reason}; run the same command again to go on, or get the file elsewhere, put it "
            f"at {path} and run it again"
        ) from error
    if difference := _difference(part, size, md5):
        part.unlink()
        raise UserError(f"{url} brought a file that {difference}; it was deleted, run the same command again")
    part.replace(path)
    return path


def is_published(path: Path) -> bool:
    """Whether a file is the published archive, byte for byte."""
    return _difference(path, ARCHIVE_BYTES, ARCHIVE_MD5) is None


def _without_login(url: str) -> tuple[str, str]:
    """The address without user and password, which no message may show, and the header that stands for them."""
    parts = urllib.parse.urlsplit(url)
    login, _, host = parts.netloc.rpartition("@")
    if not login or parts.scheme == "ftp":  # which has no headers
        return url, ""
    header = base64.b64encode(urllib.parse.unquote(login).encode(errors="surrogateescape")).decode()
    return parts._replace(netloc=host).geturl(), f"Basic {header}"


def _fetch(url: str, part: Path, size: int | None, login: str = "") -> None:
    done = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})
    if login:
        request.add_unredirected_header("Authorization", login)  # not for where the server may send us
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not done:
            raise
        # Nothing follows what is there: the file is whole, or it is another one's part. The MD5 will tell.
        if error.headers.get("Content-Range", "") != f"bytes */{done}":
            part.unlink()
            _fetch(url, part, size, login)
        return
    with response:
        if done and response.status != 206:  # the server knows no ranges: from the start
            done = 0
        left = response.headers.get("Content-Length")
        total = done + int(left) if left else None
        if None not in (size, total) and size != total:  # known before the first byte; what is there may be right
            raise OSError(f"the server's file has {total:,} bytes, not {size:,}")
        if (total or 0) > (size or LARGEST):
            raise OSError(f"the server's file has {total:,} bytes; more than {size or LARGEST:,} are not taken")
        bar = tqdm(total=total, initial=done, desc="downloading", unit="B", unit_scale=True, disable=None)
        before, started = done, time.monotonic()
        with bar, part.open("ab" if done else "wb") as file:
            while block := response.read1(BLOCK):
                file.write(block)
                done += len(block)
                bar.update(len(block))
                if done > (size or LARGEST):
                    raise OSError(f"the server sends more than {size or LARGEST:,} bytes")
                seconds = time.monotonic() - started
                if seconds > RATE_SECONDS and done - before < LEAST_RATE * seconds:
                    raise OSError(f"the server sends less than {LEAST_RATE:,} bytes a second")
    if total is not None and done < total:
        raise OSError(f"the connection broke after {done:,} of {total:,} bytes")


def _difference(path: Path, size: int | None, md5: str | None) -> str | None:
    """What tells a file from the one that was asked for."""
    found = path.stat().st_size
    if size is not None and found != size:
        return f"has {found:,} bytes, not {size:,}"
    if md5 is not None and (digest := _md5(path)) != md5:
        return f"has the MD5 {digest}, not {md5}"
    return None


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
