# SPDX-License-Identifier: Apache-2.0
import hashlib
import hmac
import json
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from voiceauth.errors import DeliveryError, SettingsError
from voiceauth.factors.delivery import FileDelivery, Webhook, WebhookDelivery
from voiceauth.testing.fakes import EPOCH, FakeClock
from voiceauth.types import CodeMessage

MESSAGE = CodeMessage("+49301", "123456", EPOCH, "reference")
KEY = b"secret"


@contextmanager
def receiver(status: int, **headers: str) -> Iterator[tuple[str, list[Any]]]:
    """Run a web server on this machine that answers so; yield its address and what it got."""
    got: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """Keep a request and answer."""
            length = int(self.headers["Content-Length"])
            got.append((self.headers["X-Voiceauth-Signature"], self.rfile.read(length)))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        do_GET = do_POST  # noqa: N815 - the library's name

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/codes", got
    finally:
        server.shutdown()
        server.server_close()


def posted(url: str, timeout_seconds: float = 5.0) -> None:
    """Deliver the message there."""
    WebhookDelivery(Webhook(url, KEY, timeout_seconds), FakeClock()).deliver(MESSAGE)


def test_a_code_in_a_file_is_for_this_user_alone(tmp_path: Path) -> None:
    """One line per code, in a file that nobody else can read."""
    path = tmp_path / "codes"
    for _ in range(2):
        FileDelivery(path).deliver(MESSAGE)

    lines = path.read_text().splitlines()
    assert [json.loads(one)["code"] for one in lines] == ["123456"] * 2
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """The request fails; nobody waits for a code that is nowhere."""
    with pytest.raises(DeliveryError):
        FileDelivery(tmp_path / "missing" / "codes").deliver(MESSAGE)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """Whoever can put a link in the directory does not get the codes."""
    (tmp_path / "codes").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(DeliveryError):
        FileDelivery(tmp_path / "codes").deliver(MESSAGE)


def test_a_webhook_is_signed_with_its_time() -> None:
    """Whoever receives it can tell that it is ours, and when it was sent."""
    with receiver(204) as (url, got):
        posted(url)

    ((signature, body),) = got
    moment = str(int(EPOCH.timestamp()))
    right = hmac.digest(KEY, moment.encode() + b"." + body, hashlib.sha256).hex()
    assert signature == f"t={moment},v1={right}"
    assert json.loads(body)["destination"] == "+49301"


@pytest.mark.parametrize(
    ("status", "headers"), [(500, {}), (404, {}), (302, {"Location": "http://127.0.0.1:9/"})]
)
def test_anything_but_a_success_has_failed(status: int, headers: dict[str, str]) -> None:
    """Errors and redirections deliver nothing; a code is never sent anywhere else."""
    with receiver(status, **headers) as (url, _), pytest.raises(DeliveryError):
        posted(url)


def test_a_webhook_that_is_down_has_failed() -> None:
    """Nobody there is a failed delivery."""
    with pytest.raises(DeliveryError):
        posted("http://127.0.0.1:9/codes")


@pytest.mark.parametrize("url", ["http://example.org/codes", "ftp://127.0.0.1/codes", "codes"])
def test_a_code_leaves_this_machine_encrypted(url: str) -> None:
    """Plain text beyond this machine is refused at start."""
    with pytest.raises(SettingsError):
        posted(url)


def test_the_code_does_not_show_in_messages_of_errors() -> None:
    """What is printed by accident names neither code nor destination."""
    assert "123456" not in repr(MESSAGE)
    assert "+49301" not in repr(MESSAGE)
    assert "secret" not in repr(Webhook("https://example.org", KEY))
