# SPDX-License-Identifier: Apache-2.0
import http.server
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from issuer import AUDIENCE, ISSUER, document, token
from secured import to_the_present, write_server

from voiceauth.access.doorkeeper import Shown
from voiceauth.access.issuing import DevelopmentAuthority
from voiceauth.access.keysets import LARGEST_BYTES
from voiceauth.access.roles import Role, View
from voiceauth.config import (
    AccessSettings,
    PrincipalSettings,
    ServerSettings,
    Settings,
    TlsSettings,
    TokenSettings,
)
from voiceauth.errors import DependencyError, EngineError, SettingsError, UnauthenticatedError
from voiceauth.service.address import listening_address
from voiceauth.service.door import make_door
from voiceauth.service.issuer import fetch, token_checker
from voiceauth.service.logging import Pseudonymiser
from voiceauth.service.masks import FREE_TEXTS, HARMLESS, IDENTIFIERS, masked
from voiceauth.service.transport import server_credentials
from voiceauth.testing.fakes import EPOCH, FakeClock
from voiceauth.v1 import subjects_pb2, verification_pb2

ENCRYPTED = TlsSettings(certificate=Path("c"), key=Path("k"), client_ca=Path("a"))
TOKENS = TokenSettings(issuer=ISSUER, audience=AUDIENCE, jwks_file=Path("j"))


def roles_of_whoever(settings: Settings) -> set[Role]:
    """Return what a peer may do that shows nothing."""
    try:
        return set(make_door(settings, FakeClock()).keeper.identify(Shown(), EPOCH).roles)
    except UnauthenticatedError:
        return set()


def test_on_loopback_in_plain_text_whoever_comes_is_the_operator() -> None:
    """The defaults work without any set-up, and only this machine can reach them."""
    assert roles_of_whoever(Settings()) == set(Role)


@pytest.mark.parametrize(
    "settings",
    [
        Settings(tls=ENCRYPTED),
        Settings(tokens=TOKENS),
        Settings(access=AccessSettings(anonymous_roles=())),
        Settings(server=ServerSettings(host="0.0.0.0", allow_plaintext_beyond_loopback=True)),  # noqa: S104
    ],
    ids=["tls", "tokens", "switched-off", "beyond-loopback"],
)
def test_elsewhere_whoever_shows_nothing_is_nobody(settings: Settings) -> None:
    """With TLS, with tokens, or within reach of other machines, something has to be shown."""
    assert roles_of_whoever(settings) == set()


def test_a_proxy_may_be_given_the_roles_of_what_it_lets_through() -> None:
    """Behind a proxy that checks certificates, the settings say what all of it may do."""
    settings = Settings(
        server=ServerSettings(host="0.0.0.0", allow_plaintext_beyond_loopback=True),  # noqa: S104
        access=AccessSettings(anonymous_roles=(Role.IVR,)),
    )

    assert roles_of_whoever(settings) == {Role.IVR}


@pytest.mark.parametrize(
    "settings",
    [
        Settings(tls=ENCRYPTED, access=AccessSettings(anonymous_roles=(Role.IVR,))),
        Settings(
            access=AccessSettings(
                principals={
                    name: PrincipalSettings(san="DNS:a", roles=(Role.IVR,), tenants=("t",))
                    for name in ("one", "two")
                }
            )
        ),
        Settings(
            access=AccessSettings(
                principals={"one": PrincipalSettings(san="a", roles=(Role.IVR,), tenants=("t",))}
            )
        ),
        Settings(
            tokens=TokenSettings(
                issuer=ISSUER, audience="a", jwks_url="https://x", jwks_ca=Path("/none")
            )
        ),
    ],
    ids=["open-beside-tls", "one-name-twice", "no-name", "no-authorities"],
)
def test_settings_that_contradict_themselves_refuse_to_start(settings: Settings) -> None:
    """A door that nobody can have meant is not opened."""
    with pytest.raises(SettingsError):
        make_door(settings, FakeClock())


@pytest.mark.parametrize(
    "section",
    [
        {"tls": {"certificate": "c"}},
        {"tls": {"key": "k"}},
        {"tls": {"client_ca": "a"}},
        {"tokens": {"issuer": "i"}},
        {"tokens": {"issuer": "i", "audience": "a"}},
        {"tokens": {"issuer": "i", "audience": "a", "jwks_file": "f", "jwks_url": "https://x"}},
        {"tokens": {"issuer": "i", "audience": "a", "jwks_url": "http://x"}},
        {"tokens": {"algorithms": ["HS256"]}},
        {"tokens": {"algorithms": []}},
        {"tokens": {"leeway_seconds": 3600}},
        {"access": {"principals": {"x": {"san": "DNS:a", "roles": ["root"], "tenants": ["t"]}}}},
        {"access": {"principals": {"x": {"san": "DNS:a", "roles": [], "tenants": ["t"]}}}},
        {"access": {"principals": {"x": {"san": "DNS:a", "roles": ["ivr"], "tenants": []}}}},
    ],
)
def test_half_a_setting_refuses_to_start(section: dict[str, Any]) -> None:
    """What belongs together has to be there together, and within its bounds."""
    with pytest.raises(ValueError, match="validation error"):
        Settings(**section)


def test_other_machines_are_served_over_tls_without_a_flag() -> None:
    """TLS is what the refusal to listen beyond loopback waits for."""
    limits = ServerSettings(host="0.0.0.0")  # noqa: S104

    assert listening_address(limits, encrypted=True) == "0.0.0.0:50051"
    with pytest.raises(SettingsError, match="tls"):
        listening_address(limits)


@pytest.mark.parametrize("broken", ["server.pem", "server.key", "ca.pem"])
@pytest.mark.parametrize("content", [None, b"nonsense"])
def test_tls_files_that_cannot_be_used_refuse_to_start(
    tmp_path: Path, broken: str, content: bytes | None
) -> None:
    """A missing or damaged file is told at start, with the setting's name."""
    write_server(tmp_path, DevelopmentAuthority(EPOCH))
    (tmp_path / broken).unlink()
    if content is not None:
        (tmp_path / broken).write_bytes(content)
    settings = TlsSettings(
        certificate=tmp_path / "server.pem",
        key=tmp_path / "server.key",
        client_ca=tmp_path / "ca.pem",
    )

    with pytest.raises(SettingsError, match="tls"):
        server_credentials(settings, FakeClock())


# An issuer behind HTTPS.


class Issuer(http.server.BaseHTTPRequestHandler):
    """Serves the key document, and what an issuer should not answer."""

    def do_GET(self) -> None:
        """Answer by the path."""
        body = {"/keys": document(), "/large": b" " * (LARGEST_BYTES + 1)}.get(self.path, b"")
        status = {"/moved": 302, "/gone": 404}.get(self.path, 200)
        self.send_response(status)
        self.send_header("Location", "/keys")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def https_issuer(directory: Path, authority: DevelopmentAuthority) -> Iterator[str]:
    """Serve on loopback and return the address."""
    write_server(directory, authority)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.pem", directory / "server.key")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Issuer)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"https://localhost:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_an_issuers_keys_are_fetched_over_https(tmp_path: Path) -> None:
    """With the issuer's authority in the settings, its keys check its tokens."""
    clock = FakeClock()
    authority = DevelopmentAuthority(to_the_present(clock))
    with https_issuer(tmp_path, authority) as address:
        settings = TokenSettings(
            issuer=ISSUER,
            audience=AUDIENCE,
            jwks_url=f"{address}/keys",
            jwks_ca=tmp_path / "ca.pem",
        )
        checker = token_checker(settings, clock)
        assert checker is not None
        principal = checker.principal(token(clock.now()), clock.now(), None)

    assert principal.name == "jo@bank.example"


@pytest.mark.parametrize("path", ["/moved", "/gone", "/large"])
def test_what_is_no_plain_answer_is_an_issuer_that_is_down(tmp_path: Path, path: str) -> None:
    """Redirects are not followed, errors and endless documents are not read as keys."""
    with https_issuer(tmp_path, DevelopmentAuthority(to_the_present(FakeClock()))) as address:
        trust = ssl.create_default_context(cafile=tmp_path / "ca.pem")
        with pytest.raises(DependencyError):
            fetch(address + path, trust)


def test_an_issuer_that_nobody_vouches_for_is_down(tmp_path: Path) -> None:
    """Keys from a server whose certificate does not hold are not taken."""
    with (
        https_issuer(tmp_path, DevelopmentAuthority(to_the_present(FakeClock()))) as address,
        pytest.raises(EngineError),
    ):
        fetch(f"{address}/keys", ssl.create_default_context())


# What leaves.


def test_own_view_shows_what_was_named_and_masks_others() -> None:
    """The enrolment machine sees the person that it asked about, and nobody else."""
    message = subjects_pb2.ListSubjectsResponse(
        subjects=[subjects_pb2.Subject(subject_id=one) for one in ("own-123456", "two-123456")]
    )

    told = masked(message, View.OWN, "own-123456")

    assert [one.subject_id for one in told.subjects] == ["own-123456", "****56"]


def test_nothing_was_named_means_everything_is_masked() -> None:
    """An empty name does not match anybody."""
    message = verification_pb2.IdentifyResponse(
        candidates=[verification_pb2.Candidate(subject_id="someone-1")]
    )

    assert masked(message, View.OWN, "").candidates[0].subject_id == "****-1"


def test_a_field_has_one_kind() -> None:
    """No field is both masked and harmless."""
    assert not (IDENTIFIERS | FREE_TEXTS) & HARMLESS


def test_the_log_holds_stand_ins() -> None:
    """Fields that name somebody, and numbers in any other, become keyed hashes; ours stay."""
    hide = Pseudonymiser(lambda text: f"~{len(text)}")

    told = hide(
        None,
        "info",
        {
            "event": "no voiceprint for +447700900123",
            "subject": "4711",
            "detail": ["card 4111111111111111", {"jo@bank.example": 3.5}],
            "peer": "ipv4:192.168.100.200:51234",
            "level": "info",
            "seconds": 0.25,
        },
    )

    assert told == {
        "event": "no voiceprint for ~13",
        "subject": "~4",
        "detail": ["card ~16", {"~15": 3.5}],
        "peer": "ipv4:192.168.100.200:51234",
        "level": "info",
        "seconds": 0.25,
    }
