# SPDX-License-Identifier: Apache-2.0
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from noted import made_up_alert

from voiceauth.access.issuing import DevelopmentAuthority
from voiceauth.alerts.syslog import Collector, SyslogSink, Transport, syslog_message
from voiceauth.errors import SettingsError, SinkError

MESSAGE = syslog_message(made_up_alert(), "here")
FRAMED = b"%d %s" % (len(MESSAGE), MESSAGE)


@contextmanager
def listener(context: ssl.SSLContext | None = None) -> Iterator[tuple[int, list[bytes]]]:
    """Take one connection on loopback and keep what it brings."""
    got: list[bytes] = []
    server = socket.create_server(("127.0.0.1", 0))

    def take() -> None:
        plain, _ = server.accept()
        try:
            connection = plain if context is None else context.wrap_socket(plain, server_side=True)
            while part := connection.recv(4096):
                got.append(part)
            if isinstance(connection, ssl.SSLSocket):
                connection.unwrap()
            connection.close()
        except OSError:
            plain.close()

    thread = threading.Thread(target=take)
    thread.start()
    try:
        yield server.getsockname()[1], got
    finally:
        thread.join()
        server.close()


def test_a_datagram_is_one_message() -> None:
    """Over UDP, a message travels without framing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)
        port = server.getsockname()[1]
        SyslogSink(Collector("127.0.0.1", port, Transport.UDP), host="here").send(made_up_alert())

        assert server.recv(65_536) == MESSAGE


def test_a_stream_counts_its_octets() -> None:
    """Over TCP, a message is framed by its length."""
    with listener() as (port, got):
        SyslogSink(Collector("127.0.0.1", port, Transport.TCP), host="here").send(made_up_alert())

    assert b"".join(got) == FRAMED


@pytest.mark.parametrize("transport", [Transport.TCP, Transport.TLS])
def test_nobody_there_is_told(transport: Transport) -> None:
    """A refused connection is one to try again."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(SinkError):
        SyslogSink(Collector("127.0.0.1", port, transport), host="here").send(made_up_alert())


@pytest.mark.parametrize("host", ["no.such.host.invalid", "x" * 300, ".."])
def test_a_name_that_leads_nowhere_is_told(host: str) -> None:
    """Neither a resolver's nor an encoder's error comes out."""
    for transport in (Transport.UDP, Transport.TCP):
        with pytest.raises(SinkError):
            SyslogSink(Collector(host, 9, transport), host="here").send(made_up_alert())


def test_authorities_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    """A typing mistake does not make every certificate good."""
    with pytest.raises(SettingsError):
        SyslogSink(Collector("127.0.0.1", 6514, Transport.TLS, tmp_path / "none.pem"))


def tls_server(directory: Path, authority: DevelopmentAuthority) -> ssl.SSLContext:
    """Return the server side of a collector with a certificate of an authority."""
    issued = authority.server(["127.0.0.1"])
    (directory / "server.pem").write_bytes(issued.certificate)
    (directory / "server.key").write_bytes(issued.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.pem", directory / "server.key")
    return context


def test_a_collector_with_a_strangers_certificate_gets_nothing(tmp_path: Path) -> None:
    """Alerts are for the collector that the authorities vouch for."""
    ours, strangers = (DevelopmentAuthority(datetime.now(UTC)) for _ in range(2))
    (tmp_path / "ca.pem").write_bytes(ours.certificate)
    with listener(tls_server(tmp_path, strangers)) as (port, got):
        collector = Collector("127.0.0.1", port, Transport.TLS, tmp_path / "ca.pem")
        with pytest.raises(SinkError):
            SyslogSink(collector, host="here").send(made_up_alert())

    assert got == []


def test_a_message_travels_encrypted(tmp_path: Path) -> None:
    """Over TLS, the same framing (RFC 5425)."""
    authority = DevelopmentAuthority(datetime.now(UTC))
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    with listener(tls_server(tmp_path, authority)) as (port, got):
        collector = Collector("127.0.0.1", port, Transport.TLS, tmp_path / "ca.pem")
        SyslogSink(collector, host="here").send(made_up_alert())

    assert b"".join(got) == FRAMED
