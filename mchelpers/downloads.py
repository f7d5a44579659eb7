"""Files of public data and weights: found in the data folder, or downloaded and checked.

``registry.csv`` lists each file with its sha256 and the address of one pinned version. Files are
looked for in the folder named by ``MCHELPERS_DATA`` (else in the user's cache) and downloaded only
when they are not there.
"""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from importlib import resources
from pathlib import Path, PureWindowsPath

__all__ = [
    "DataError",
    "data_folder",
    "fetch",
    "fetch_all",
    "fetch_record",
    "is_file_name",
    "registry",
    "stays_inside",
]


class DataError(RuntimeError):
    """A data file is missing, damaged or unreadable; the message says what to do."""


@cache
def registry() -> dict[str, tuple[str, int, str]]:
    """Read the list of files: path -> (sha256, bytes, url)."""
    text = resources.files("mchelpers").joinpath("registry.csv").read_text()
    rows = csv.DictReader(text.splitlines())
    return {r["path"]: (r["sha256"], int(r["bytes"]), r["url"]) for r in rows}


def data_folder() -> Path:
    """Return the folder of real data: ``MCHELPERS_DATA``, else the user's cache."""
    chosen = os.environ.get("MCHELPERS_DATA")
    if chosen:
        return Path(chosen).expanduser().resolve()
    import pooch

    return Path(pooch.os_cache("mchelpers"))


def stays_inside(name: str) -> bool:
    """Tell whether a file of this name lies below the folder that it is put in."""
    path = PureWindowsPath(name)  # knows both slashes, and drives
    return not path.anchor and ".." not in path.parts


def is_file_name(name: str) -> bool:
    """Tell whether a file of this name, ending aside, lies in the very folder it is put in."""
    return PureWindowsPath(name).name == name not in ("", "..") and "\0" not in name


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def _downloading(source: str, target: Path) -> Iterator[None]:
    """Turn what goes wrong in a download into a :class:`DataError` that says what to do."""
    import pooch

    logger = pooch.get_logger()
    before = logger.level
    logger.setLevel("WARNING")  # its notes would stand on a chapter's page
    try:
        yield
    except PermissionError as error:
        raise DataError(
            f"{target} is missing and its folder cannot be written; set MCHELPERS_DATA to a folder "
            "of your own"
        ) from error
    except (OSError, ValueError, KeyError) as error:  # an answer that is none, a proxy that is none
        if "known hash" in str(error):
            raise DataError(
                f"{source} came down damaged or cut short (wrong checksum), nothing was kept; run "
                f"again, and if it stays so download it by hand to {target}"
            ) from error
        raise DataError(
            f"{target} is not on this machine and could not be downloaded from {source}: {error}. "
            "Check the network and the proxy settings, download it by hand, or set MCHELPERS_DATA "
            "to a folder that holds it"
        ) from error
    finally:
        logger.setLevel(before)


def fetch(path: str, folder: Path | None = None, files: dict | None = None) -> Path:
    """Find one registered file, downloading it if it is not there yet.

    Parameters
    ----------
    path
        Path as the registry spells it.
    folder
        Where to look and to save. By default :func:`data_folder`.
    files
        A registry to use in place of the package's own; a sha256 of None takes any content.

    Returns
    -------
    Path
        The file on this machine, its hash checked.

    Raises
    ------
    DataError
        If the path is not registered or leads out of the folder, the file has the wrong
        hash, the folder cannot be written, or the download fails or is cut short.
    """
    import pooch

    files = registry() if files is None else files
    folder = data_folder() if folder is None else Path(folder)
    if path not in files:
        raise DataError(f"{path!r} is not in the registry; see mchelpers.data.registry()")
    if not stays_inside(path):
        raise DataError(f"{path!r} leads out of {folder}; mend the registry")
    sha256, size, url = files[path]
    target = folder / path
    if target.exists():
        if sha256 is not None and (found := _sha256(target)) != sha256:
            raise DataError(
                f"{target} is not the registered file: sha256 {found[:12]}..., expected "
                f"{sha256[:12]}... ({target.stat().st_size} bytes, expected {size}). Delete it and "
                f"run again to download it from {url}"
            )
        return target
    with _downloading(url, target):
        target.parent.mkdir(parents=True, exist_ok=True)
        quiet = pooch.HTTPDownloader(progressbar=False, timeout=30)
        known = sha256 and f"sha256:{sha256}"
        pooch.retrieve(url, known, target.name, target.parent, downloader=quiet)
    return target


def fetch_all(paths: list[str]) -> list[Path]:
    """Find registered files, eight at a time; see :func:`fetch`."""
    from tqdm.auto import tqdm

    folder = data_folder()
    missing = sum(not (folder / p).exists() for p in paths)
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(fetch, paths)
        return list(tqdm(found, total=len(paths), desc="download", disable=not missing))


def fetch_record(doi: str, folder: Path, names: Sequence[str] = ()) -> list[Path]:
    """Find files of a published record, downloading by its DOI what is not there.

    Parameters
    ----------
    doi
        Such as ``"10.5281/zenodo.3755011"``.
    folder
        Where to look and to save.
    names
        Files of the record; none means all. One that is there is used without network and
        without a hash; a download is checked against the sum that the host names.

    Returns
    -------
    list of Path

    Raises
    ------
    DataError
        If the record cannot be read, lacks a file, or a download comes down damaged.
    """
    import pooch

    folder = Path(folder)
    if names and all((folder / name).exists() for name in names):
        return [folder / name for name in names]
    source = f"https://doi.org/{doi}"
    with _downloading(source, folder):
        record = pooch.create(folder, f"doi:{doi}/")
        record.load_registry_from_doi()
        names = names or sorted(record.registry)
        for name in names:
            if name not in record.registry or not stays_inside(name):
                found = ", ".join(sorted(record.registry)) or "nothing"
                raise DataError(f"{source} holds no {name} to take; it has {found}")
            if not (folder / name).exists():
                record.fetch(name, downloader=pooch.DOIDownloader(progressbar=True))
    return [folder / name for name in names]
