# SPDX-License-Identifier: Apache-2.0
import base64
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from noted import made_up_alert

from voiceauth.access.issuing import DevelopmentAuthority
from voiceauth.alerts.webhook import (
    Address,
    WebhookSink,
    is_genuine,
    signed_headers,
    webhook_key,
)
from voiceauth.errors import SettingsError, SinkError, SinkRefusedError
from voiceauth.testing.fakes import FakeClock

SECRET = b"whsec_" + base64.b64encode(bytes(range(32)))
KEY = bytes(range(32))


@dataclass
class Receiver:
    """A web server on loopback that answers as told and keeps what it gets."""

    url: str = ""
    status: int = 204
    location: str = ""
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A running receiver."""
    with running() as told:
        yield told


@contextmanager
def running(context: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """Serve on loopback for the time of the block, encrypted where there is a context."""
    told = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            told.got.append(({name.lower(): one for name, one in self.headers.items()}, body))
            self.send_response(told.status)
            if told.location:
                self.send_header("location", told.location)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    scheme = "http" if context is None else "https"
    told.url = f"{scheme}://127.0.0.1:{server.server_port}/alerts?from=voiceauth"
    yield told
    server.shutdown()
    thread.join()
    server.server_close()


def sink(url: str, clock: FakeClock | None = None) -> WebhookSink:
    """Return a sink towards a receiver, impatient."""
    return WebhookSink(Address(url, timeout_seconds=2.0), SECRET, clock or FakeClock())


@pytest.mark.parametrize(
    "url",
    [
        "http://alerts.example/x",
        "http://10.0.0.1/x",
        "ftp://127.0.0.1/x",
        "https://",
        "nonsense",
        "https://user:word@alerts.example/x",
    ],
)
def test_an_address_that_would_leak_is_refused(url: str) -> None:
    """Alerts leave this machine encrypted, or not at all; passwords do not stand in addresses."""
    with pytest.raises(SettingsError):
        sink(url)


@pytest.mark.parametrize("secret", [b"", b"short", b"whsec_", b"whsec_!!!", b"whsec_c2hvcnQ="])
def test_a_weak_secret_is_refused(secret: bytes) -> None:
    """A signature that can be guessed is none."""
    with pytest.raises(SettingsError):
        webhook_key(secret)


def test_authorities_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    """A typing mistake does not make every certificate good."""
    with pytest.raises(SettingsError):
        WebhookSink(Address("https://a.example", tmp_path / "none.pem"), SECRET, FakeClock())


def test_nobody_there_is_told_as_down() -> None:
    """A refused connection is one to try again."""
    with pytest.raises(SinkError) as caught:
        sink("http://127.0.0.1:9/x").send(made_up_alert())
    assert not isinstance(caught.value, SinkRefusedError)


@pytest.mark.parametrize("status", [301, 302, 307, 408, 425, 429, 500, 503])
def test_faults_and_redirects_are_tried_again(receiver: Receiver, status: int) -> None:
    """A server's fault passes, and an alert goes nowhere but where the settings say."""
    receiver.status, receiver.location = status, receiver.url
    with pytest.raises(SinkError) as caught:
        sink(receiver.url).send(made_up_alert())

    assert not isinstance(caught.value, SinkRefusedError)
    assert len(receiver.got) == 1


@pytest.mark.parametrize("status", [400, 401, 404, 413])
def test_a_refusal_is_told_as_one(receiver: Receiver, status: int) -> None:
    """What the receiver does not take does not hold up the others."""
    receiver.status = status
    with pytest.raises(SinkRefusedError):
        sink(receiver.url).send(made_up_alert())


def test_an_alert_is_posted_and_its_signature_holds(receiver: Receiver) -> None:
    """The receiver gets the alert as JSON, and can check who sent it and when."""
    clock = FakeClock()
    sink(receiver.url, clock).send(made_up_alert())
    (headers, body) = receiver.got[0]

    assert json.loads(body)["id"] == headers["webhook-id"] == made_up_alert().alert
    assert headers["content-type"] == "application/json"
    assert is_genuine(KEY, headers, body, clock.now())


def encrypted(directory: Path) -> ssl.SSLContext:
    """Return a receiver's side of TLS; the authority's certificate lies beside it."""
    authority = DevelopmentAuthority(datetime.now(UTC))
    issued = authority.server(["127.0.0.1"])
    (directory / "ca.pem").write_bytes(authority.certificate)
    (directory / "server.pem").write_bytes(issued.certificate)
    (directory / "server.key").write_bytes(issued.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.pem", directory / "server.key")
    return context


def test_an_alert_goes_only_to_whom_the_authorities_vouch_for(tmp_path: Path) -> None:
    """Over TLS, a receiver that the authorities do not know gets nothing."""
    with running(encrypted(tmp_path)) as receiver:
        with pytest.raises(SinkError):
            sink(receiver.url).send(made_up_alert())
        known = Address(receiver.url, tmp_path / "ca.pem", timeout_seconds=2.0)
        WebhookSink(known, SECRET, FakeClock()).send(made_up_alert())

    assert len(receiver.got) == 1


def test_every_attempt_has_its_own_time(receiver: Receiver) -> None:
    """An alert that waited for a day is not refused as old."""
    clock = FakeClock()
    post = sink(receiver.url, clock)
    post.send(made_up_alert())
    clock.advance(86_400)
    post.send(made_up_alert())

    first, second = (headers for headers, _ in receiver.got)
    assert first["webhook-id"] == second["webhook-id"]
    assert int(second["webhook-timestamp"]) - int(first["webhook-timestamp"]) == 86_400


def test_the_signature_is_that_of_the_published_example() -> None:
    """The example that the form's authors give for their libraries."""
    key = webhook_key(b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    at = datetime.fromtimestamp(1614265330, tz=UTC)
    headers = signed_headers(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, b'{"test": 2432232314}')

    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


NOW = FakeClock().now()
GOOD = signed_headers(KEY, "id", NOW, b"{}")


@pytest.mark.parametrize(
    ("headers", "body", "late"),
    [
        (GOOD, b"{ }", 0),
        (GOOD, b"{}", 301),
        (GOOD, b"{}", -301),
        ({**GOOD, "webhook-id": "other"}, b"{}", 0),
        ({**GOOD, "webhook-timestamp": str(int(NOW.timestamp()) + 1)}, b"{}", 0),
        ({**GOOD, "webhook-timestamp": "\u0661"}, b"{}", 0),
        ({**GOOD, "webhook-timestamp": "9" * 400}, b"{}", 0),
        ({**GOOD, "webhook-signature": "v1,ä"}, b"{}", 0),
        ({**GOOD, "webhook-signature": GOOD["webhook-signature"][3:]}, b"{}", 0),
        ({}, b"", 0),
    ],
)
def test_a_message_that_was_changed_or_is_old_is_not_genuine(
    headers: dict[str, str], body: bytes, late: int
) -> None:
    """Body, id and time are all signed, and old messages are none."""
    assert not is_genuine(KEY, headers, body, NOW + timedelta(seconds=late))


def test_one_good_signature_among_several_is_enough() -> None:
    """So a secret can be replaced without a gap."""
    headers = {**GOOD, "webhook-signature": f"v1,AAAA {GOOD['webhook-signature']}"}

    assert is_genuine(KEY, headers, b"{}", NOW)
