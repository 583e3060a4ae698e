"""The shards of a data set: paths or addresses of tar files. Nothing here imports torch."""

from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from urllib.parse import urlsplit

from modernet.config.schema import DataConfig
from modernet.data.file_paths import required_root
from modernet.errors import MissingData, UserError

SHARD_SCHEMES = ("file", "http", "https", "gs", "ais", "hf")  # of addresses; data.allow_pipe adds pipe:


def list_shards(data: DataConfig) -> tuple[list[str], list[str]]:
    """Paths or addresses of the shards of train and of val; of train alone for data.split=train/val.

    data.root is a folder of train-*.tar and val-*.tar, or an address with {split} and a range in braces:
    https://HOST/{split}-{000000..000146}.tar. Raises UserError where there are none, and for an address that neither
    is a file nor in an object store.
    """
    if find_spec("webdataset") is None:
        raise MissingData("data=shards needs the package webdataset: pip install 'modernet[shards]'")
    required_root(data, "a folder of train-*.tar and val-*.tar, or an address with {split} in it")
    if data.train_images is None:
        raise UserError(f"data={data.name} needs data.train_images=N, the number of images in the shards of train")
    splits = _list_shards(data, "train"), _list_shards(data, "val") if data.split == "train/test" else []
    schemes = (*SHARD_SCHEMES, "pipe") if data.allow_pipe else SHARD_SCHEMES
    for url in chain(*splits):
        if (scheme := _scheme(url)) and scheme not in schemes:
            allowed = ", ".join(f"{name}:" for name in schemes)
            hint = "; data.allow_pipe=true allows pipe:, which runs a shell command" if scheme == "pipe" else ""
            raise UserError(f"data.root: {scheme}: is no address of shards; allowed: a path, or {allowed}{hint}")
    return splits


def local_path(url: str) -> Path | None:
    """The file of a shard; None for a remote one."""
    if _scheme(url) not in ("", "file"):
        return None
    if not _scheme(url):
        return Path(url)
    from urllib.request import url2pathname  # imports ssl, which few data sets need

    return Path(url2pathname(urlsplit(url).path))


def _scheme(url: str) -> str:
    """http, s3, ...; empty for a path. One letter is a drive. webdataset finds the scheme in the same way."""
    scheme = urlsplit(url).scheme
    return scheme if len(scheme) > 1 else ""


def _list_shards(data: DataConfig, split: str) -> list[str]:
    assert data.root is not None
    if "{split}" in data.root:
        from braceexpand import braceexpand  # webdataset installs it

        urls = data.root.replace("{split}", split).split("::")  # webdataset joins several patterns by ::
        try:
            return [url for pattern in urls for url in braceexpand(pattern)]
        except ValueError as error:
            raise UserError(
                f"data.root: {data.root} has braces that do not match; a range is {{000000..000146}}"
            ) from error
    paths = sorted(map(str, Path(data.root).glob(f"{split}-*.tar")))
    if not paths:
        raise MissingData(
            f"there is no {split}-*.tar in {data.root}; data.root may also be an address with {{split}} in it"
        )
    return paths
