"""`fetch_movielens`: from a local folder, or once from a server on localhost, with a checksum."""

from __future__ import annotations

import hashlib
import io
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from npbloom.recommend import datasets, fetch_movielens

U_DATA = "196\t242\t3\t881250949\n186\t302\t3\t891717742\n22\t242\t1\t878887116\n"


def archive() -> bytes:
    """Return a zip file with the layout of ml-100k.zip."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as target:
        target.writestr("ml-100k/README", "terms of use")
        target.writestr("ml-100k/u.data", U_DATA)
    return content.getvalue()


class Server:
    """A server of one archive on localhost, which counts requests."""

    def __init__(self, content: bytes) -> None:
        """Start the server."""
        requests: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            """Handler of GET requests."""

            def do_GET(self) -> None:
                """Send the archive under its name, and 404 for other names."""
                requests.append(self.path)
                found = self.path == "/movielens/ml-100k.zip"
                self.send_response(200 if found else 404)
                self.send_header("Content-Length", str(len(content) if found else 0))
                self.end_headers()
                self.wfile.write(content if found else b"")

            def log_message(self, format: str, *args: object) -> None:
                """Write no log."""

        self.requests = requests
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/movielens/"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the server and wait for its thread."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Return a server whose archive has the published checksum."""
    content = archive()
    release = datasets.RELEASES["100k"]._replace(md5=hashlib.md5(content).hexdigest())
    monkeypatch.setitem(datasets.RELEASES, "100k", release)
    monkeypatch.delenv("NPBLOOM_DATA_DIR", raising=False)
    running = Server(content)
    yield running
    running.close()


def test_fetched_once_then_cached(server: Server, tmp_path: Path) -> None:
    for _ in range(2):
        ratings = fetch_movielens("100k", base_url=server.url, cache_dir=tmp_path)
        assert repr(ratings) == "<Interactions: 3 users x 2 items, 3 interactions>"
    assert server.requests == ["/movielens/ml-100k.zip"]
    assert ratings.user_labels is not None
    assert ratings.user_labels[ratings.user_ids].tolist() == [196, 186, 22]
    assert ratings.timestamps is not None
    assert ratings.timestamps.tolist() == [881250949, 891717742, 878887116]


def test_a_wrong_checksum_is_refused(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(datasets.RELEASES, "100k", datasets.RELEASES["100k"]._replace(md5="0" * 32))
    with pytest.raises(ValueError, match="does not match the known hash"):
        fetch_movielens("100k", base_url=server.url, cache_dir=tmp_path)
    assert not list(tmp_path.rglob("*.zip"))
    assert not list(tmp_path.rglob("u.data"))


def test_an_interrupted_copy_leaves_nothing(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(path: Path, target: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetch_movielens("100k", base_url=server.url, cache_dir=tmp_path)
    assert list((tmp_path / "ml-100k").iterdir()) == []
    assert len(fetch_movielens("100k", base_url=server.url, cache_dir=tmp_path)) == 3


def test_a_missing_archive_is_an_os_error(server: Server, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="404"):
        fetch_movielens("1m", base_url=server.url, cache_dir=tmp_path)


def test_the_users_own_folder_comes_first(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own" / "ml-100k"
    own.mkdir(parents=True)
    (own / "u.data").write_text("1\t2\t3\t4\n")
    monkeypatch.setenv("NPBLOOM_DATA_DIR", str(own.parent))
    assert len(fetch_movielens("100k", base_url=server.url, cache_dir=tmp_path)) == 1
    assert server.requests == []
    monkeypatch.setenv("NPBLOOM_DATA_DIR", str(tmp_path / "elsewhere"))
    assert len(fetch_movielens("100k", base_url=server.url, cache_dir=tmp_path)) == 3


def test_the_published_checksums() -> None:
    assert datasets.RELEASES["100k"].md5 == "0e33842e24a9c977be4e0107933c0723"
    assert datasets.BASE_URL == "https://files.grouplens.org/datasets/movielens/"


def test_what_is_not_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NPBLOOM_DATA_DIR", raising=False)
    with pytest.raises(ValueError, match="MovieLens latest-small changes over time and is not fetched: unzip it into the folder"):
        fetch_movielens("latest-small")
    with pytest.raises(ValueError, match="`release` must be one of '100k', '1m', 'latest-small', not '25m'"):
        fetch_movielens("25m")
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(ModuleNotFoundError, match=r'needs pooch: python -m pip install "npbloom\[data\]"'):
        fetch_movielens("100k", cache_dir=tmp_path)


@pytest.mark.data
def test_latest_small_from_the_folder(data_dir: Path) -> None:
    assert repr(fetch_movielens("latest-small")) == "<Interactions: 610 users x 9724 items, 100836 interactions>"
    assert data_dir.is_dir()
