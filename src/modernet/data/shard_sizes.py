"""The number of images in each shard: counted once, by all processes together, and cached."""

import json
import os
import re
import tarfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from itertools import groupby
from pathlib import Path
from typing import Any

from torch.distributed import get_rank, get_world_size, is_initialized
from webdataset.gopen import gopen
from webdataset.tariterators import base_plus_ext

from modernet.data.file_lists import THREADS
from modernet.data.shard_lists import local_path
from modernet.errors import LocalMistake
from modernet.runtime.collectives import all_reduce_max
from modernet.runtime.io import write_text
from modernet.runtime.logging import logger
from modernet.runtime.text import describe

CACHE_FILE = "shards.sizes.json"
METADATA = re.compile(r"__[^/]*__($|/)")  # files that webdataset skips
TAR_BLOCK, TAR_RECORD = 512, 10_240  # bytes; a tar file ends in a record with blocks of zeros
TAR_MAGIC = slice(257, 262)  # b"ustar"


def count_images(urls: Sequence[str]) -> list[int]:
    """The number of images in each shard.

    Every process of the run must call this: each counts some of the shards. Reading an archive's headers takes seconds
    per local shard and a download per remote one. Raises UserError for a shard that is no tar file.
    """
    cache = cache_path(urls[0])
    versions = [_version(url, cache.parent) for url in urls]
    cached = _load_cache(cache)
    sizes = [all_reduce_max(cached.get(version, 0)) for version in versions]
    missing = [number for number, size in enumerate(sizes) if not size]
    if not missing:
        return sizes
    rank, world_size = (get_rank(), get_world_size()) if is_initialized() else (0, 1)
    if rank == 0:
        # The run's log is not open yet, so an info would be lost, and a download of all shards takes long.
        logger.warning(f"counting the images of {len(missing)} shards; the result is cached in {cache}")
    own = missing[rank::world_size]
    with ThreadPoolExecutor(THREADS) as executor:
        counted = dict(zip(own, executor.map(_count, [urls[number] for number in own]), strict=True))
    for number in missing:
        sizes[number] = all_reduce_max(counted.get(number, 0))
    if rank == 0:
        _save_cache(cache, cached | dict(zip(versions, sizes, strict=True)))
    return sizes


def cache_path(url: str) -> Path:
    """The file of cached sizes: beside the shard; of remote ones in the user's cache folder."""
    path = local_path(url)
    if path is not None:
        return path.with_name(CACHE_FILE)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modernet" / CACHE_FILE


def _version(url: str, folder: Path) -> str:
    """What changes when a shard is replaced: path from the folder, size, time; a remote address as it is."""
    path = local_path(url)
    if path is None:
        return url
    status = path.stat()
    return f"{os.path.relpath(path, folder)} {status.st_size} {status.st_mtime_ns}"


def check_end(url: str) -> None:
    """Raises EOFError for a local tar file that is cut between two of its files, which looks like a shorter one.

    Compressed ones have a checksum.
    """
    path = local_path(url)
    if path is None:
        return
    with path.open("rb") as file:
        if file.read(TAR_BLOCK)[TAR_MAGIC] != b"ustar":
            return
        file.seek(-min(TAR_RECORD, path.stat().st_size), os.SEEK_END)
        if bytes(TAR_BLOCK) not in file.read():
            raise EOFError("the blocks of zeros at its end are missing; copy it again, or rewrite it with tar")


def _load_cache(path: Path) -> dict[str, int]:
    with suppress(OSError, ValueError):  # missing or damaged: it is written again
        cached = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(cached, dict) and all(isinstance(size, int) for size in cached.values()):
            return cached
    return {}


def _save_cache(path: Path, sizes: dict[str, int]) -> None:
    with suppress(OSError):  # a read-only folder
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(sizes, indent=1) + "\n")


def _count(url: str) -> int:
    """Images in one shard, grouped by key as webdataset groups files."""
    try:
        check_end(url)
        with _open(url) as archive:
            names = (member.name for member in archive if member.isreg() and not METADATA.match(member.name))
            keys = (key for key, _ in map(base_plus_ext, names) if key is not None)
            return sum(1 for _ in groupby(keys))
    except (tarfile.TarError, EOFError, OSError, ValueError, ImportError) as error:  # the last three: webdataset
        raise LocalMistake(f"the shard {url} is not a readable tar file ({describe(error)})") from error


@contextmanager
def _open(url: str) -> Iterator[tarfile.TarFile]:
    path = local_path(url)
    if path is not None:
        with tarfile.open(path) as archive:
            yield archive
        return
    stream: Any = gopen(url)  # a file, or the output of a program that downloads
    with closing(stream), tarfile.open(fileobj=stream, mode="r|*") as archive:
        yield archive
