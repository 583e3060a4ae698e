"""Downloads resume, are checked, and fail with one line."""

import hashlib
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from modernet.data.download import Archive, fetch
from modernet.errors import ModernetError

CONTENT = bytes(range(256)) * 40


class Server(BaseHTTPRequestHandler):
    """Serves CONTENT under every name, from the first byte asked for where `continues`."""

    def __init__(self, *arguments, requested: list[str], continues: bool) -> None:
        self.requested, self.continues = requested, continues
        super().__init__(*arguments)

    def do_GET(self) -> None:
        first = self.headers.get("Range", "")
        self.requested.append(first)
        start = int(first.removeprefix("bytes=").removesuffix("-")) if first and self.continues else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        self.wfile.write(CONTENT[start:])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(params=[True, False], ids=["continues", "restarts"])
def server(request) -> Iterator[tuple[Archive, list[str]]]:
    requested: list[str] = []
    handler = partial(Server, requested=requested, continues=request.param)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        Thread(target=http.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{http.server_port}/data.zip"
        yield Archive(url, "sha256", hashlib.sha256(CONTENT).hexdigest()), requested
        http.shutdown()


def test_a_complete_file_is_downloaded_once(server, tmp_path):
    archive, requested = server
    path = fetch(archive, tmp_path / "new")
    assert path.read_bytes() == CONTENT
    assert fetch(archive, tmp_path / "new") == path
    assert requested == [""]
    assert [file.name for file in path.parent.iterdir()] == ["data.zip"]


def test_an_interrupted_download_resumes(server, tmp_path):
    archive, requested = server
    (tmp_path / "data.zip.part").write_bytes(CONTENT[:1000])
    assert fetch(archive, tmp_path).read_bytes() == CONTENT
    assert requested == ["bytes=1000-"]


def test_a_download_that_ended_before_it_was_renamed_is_kept(server, tmp_path):
    archive, _ = server
    (tmp_path / "data.zip.part").write_bytes(CONTENT)
    assert fetch(archive, tmp_path).read_bytes() == CONTENT


def test_another_file_is_deleted_and_named(server, tmp_path):
    archive, _ = server
    other = Archive(archive.url, "md5", "0" * 32)
    with pytest.raises(ModernetError, match=r"data\.zip: its md5 is \w{32} instead of 0{32}"):
        fetch(other, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_no_internet_is_one_line_that_says_that_the_command_resumes(tmp_path):
    archive = Archive("http://127.0.0.1:9/data.zip", "md5", "0" * 32)
    with pytest.raises(ModernetError) as caught:
        fetch(archive, tmp_path, "; or ask")
    message = str(caught.value)
    assert message.startswith("http://127.0.0.1:9/data.zip cannot be downloaded (")
    assert message.endswith("it needs internet, and the same command resumes it; or ask")
    assert "\n" not in message
