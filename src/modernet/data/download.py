"""Downloads of archives: resumed where they were interrupted, and checked before they are used."""

import hashlib
import shutil
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from modernet.errors import ModernetError
from modernet.runtime.text import describe

TIMEOUT = 60  # seconds without a byte
BLOCK = 1 << 20  # bytes


@dataclass(frozen=True)
class Archive:
    """A file on the internet and its checksum."""

    url: str
    algorithm: str  # of hashlib: md5 or sha256
    checksum: str  # hexadecimal

    @property
    def name(self) -> str:
        return Path(urlsplit(self.url).path).name


def fetch(archive: Archive, folder: Path, advice: str = "") -> Path:
    """The archive in `folder`, downloaded where it is not complete yet; an interrupted download resumes.

    Raises ModernetError where the server cannot be reached, or where the file is not the published one, which is
    deleted then. `advice` ends the message of a failed download.
    """
    path, part = folder / archive.name, folder / f"{archive.name}.part"
    folder.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        try:
            _download(archive.url, part)
        except (OSError, HTTPException) as error:
            raise ModernetError(
                f"{archive.url} cannot be downloaded ({describe(error)}); it needs internet, and the same command "
                f"resumes it{advice}"
            ) from error
        part.rename(path)
    found = _checksum(path, archive.algorithm)
    if found != archive.checksum:
        path.unlink()
        raise ModernetError(
            f"{archive.url}: its {archive.algorithm} is {found} instead of {archive.checksum}, so the download is "
            "damaged or another file; it was deleted, and the same command downloads it again"
        )
    return path


def _download(url: str, part: Path) -> None:
    """Append what is missing of the file to `part`; start again where the server does not continue files."""
    done = part.stat().st_size if part.exists() else 0
    request = Request(url, headers={"Range": f"bytes={done}-"} if done else {})
    try:
        connection = urlopen(request, timeout=TIMEOUT)
    except HTTPError as error:
        if done and error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:  # nothing is missing
            return
        raise
    with connection as response, part.open("ab") as file:
        if done and response.status != HTTPStatus.PARTIAL_CONTENT:
            file.truncate(0)
            done = 0
        expected = response.headers.get("Content-Length")
        shutil.copyfileobj(response, file, BLOCK)
        written = file.tell() - done
    if expected is not None and written != int(expected):
        raise OSError(f"the connection ended after {written:,} of {int(expected):,} bytes")


def _checksum(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
