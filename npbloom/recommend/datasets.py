"""`fetch_movielens`: a fixed release of MovieLens, from a local folder or from GroupLens."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Final, NamedTuple

from npbloom import _check
from npbloom.recommend.files import read_ratings
from npbloom.recommend.interactions import Interactions

BASE_URL: Final = "https://files.grouplens.org/datasets/movielens/"


class Release(NamedTuple):
    """
    A release of MovieLens.

    It has a folder, which is also the name of the zip file, a file of ratings, and the MD5 sum that
    GroupLens publishes.
    """

    folder: str
    ratings: str
    md5: str | None


# Sources of the sums: BASE_URL + "ml-100k.zip.md5" and BASE_URL + "ml-1m.zip.md5". GroupLens
# publishes no sum for ml-latest-small, which changes over time: it is read from a local folder and
# never fetched.
RELEASES: Final = {
    "100k": Release("ml-100k", "u.data", "0e33842e24a9c977be4e0107933c0723"),
    "1m": Release("ml-1m", "ratings.dat", "c4d9eecfca2ab87c1945afe126590906"),
    "latest-small": Release("ml-latest-small", "ratings.csv", None),
}


def fetch_movielens(
    release: str = "100k", *, base_url: str = BASE_URL, cache_dir: str | os.PathLike[str] | None = None
) -> Interactions:
    """
    Return the ratings of a MovieLens release.

    Parameters
    ----------
    release : {"100k", "1m", "latest-small"}
        100,000 ratings of 1998, a million of 2003, or the hundred thousand of ml-latest-small,
        which is not fetched.
    base_url : str, optional
        Address of the archives, instead of that of GroupLens.
    cache_dir : str or path-like, optional
        Folder of fetched archives; by default the folder ``npbloom`` of the user's cache.

    Returns
    -------
    Interactions
        Ratings and timestamps, as `read_ratings` returns them.

    Raises
    ------
    ValueError
        The release is unknown, or is never fetched and not found, or the MD5 sum of the archive is
        not the published one.
    ModuleNotFoundError
        An archive must be fetched and pooch is not installed.
    OSError
        The archive cannot be fetched.

    Notes
    -----
    A file in the folder that the environment variable ``NPBLOOM_DATA_DIR`` names, such as
    ``ml-100k/u.data``, comes before the cache and is read without a check of its sum. The terms of
    use are in each release's README: research, no redistribution.

    References
    ----------
    .. [1] Harper and Konstan (2015), The MovieLens datasets: history and context, ACM Transactions
       on Interactive Intelligent Systems 5(4). https://grouplens.org/datasets/movielens/

    Examples
    --------
    >>> import tempfile
    >>> from unittest import mock
    >>> lines = "196\\t242\\t3\\t881250949\\n186\\t302\\t3\\t891717742\\n"
    >>> folder = tempfile.TemporaryDirectory()
    >>> with folder as path, mock.patch.dict(os.environ, NPBLOOM_DATA_DIR=path):
    ...     Path(path, "ml-100k").mkdir()
    ...     _ = Path(path, "ml-100k", "u.data").write_text(lines)
    ...     fetch_movielens("100k")
    <Interactions: 2 users x 2 items, 2 interactions>
    """
    wanted = RELEASES[_check.choice(release, "release", tuple(RELEASES))]
    own = os.environ.get("NPBLOOM_DATA_DIR")
    if own:
        path = Path(own, wanted.folder, wanted.ratings)
        if path.is_file():
            return read_ratings(path)
    if wanted.md5 is None:
        raise ValueError(
            f"MovieLens {release} changes over time and is not fetched: unzip it into the folder that NPBLOOM_DATA_DIR names."
        )
    return read_ratings(_fetched(wanted, base_url, cache_dir))


def _fetched(release: Release, base_url: str, cache_dir: str | os.PathLike[str] | None) -> Path:
    """Return the path of the ratings, from the cache or from the fetched archive."""
    try:
        import pooch
    except ModuleNotFoundError:
        raise ModuleNotFoundError('Fetching MovieLens needs pooch: python -m pip install "npbloom[data]"') from None
    archive = pooch.retrieve(
        f"{base_url.rstrip('/')}/{release.folder}.zip",
        known_hash=f"md5:{release.md5}",
        fname=f"{release.folder}.zip",
        path=pooch.os_cache("npbloom") if cache_dir is None else cache_dir,
    )
    member = f"{release.folder}/{release.ratings}"
    target = Path(archive).parent / member
    if not target.is_file():  # under another name first: an interrupted copy is not taken for the file
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f"{target.name}.{os.getpid()}")
        try:
            with zipfile.ZipFile(archive) as contents:
                partial.write_bytes(contents.read(member))
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)  # it is gone where all went well
    return target
