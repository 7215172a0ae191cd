# SPDX-License-Identifier: Apache-2.0
from datetime import timedelta
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from voiceauth.access.certificates import NameKind, PeerName
from voiceauth.access.issuing import DevelopmentAuthority
from voiceauth.config import TlsSettings
from voiceauth.errors import SettingsError, UnauthenticatedError
from voiceauth.service.revocation import RevocationFile, revocation_file
from voiceauth.testing.fakes import EPOCH, FakeClock

AUTHORITY = DevelopmentAuthority(EPOCH)
PEER = AUTHORITY.client(PeerName(NameKind.DNS, "ivr")).certificate
HOUR = timedelta(hours=1)


class Place:
    """A directory with the authority's certificate and its lists."""

    def __init__(self, path: Path) -> None:
        self.clock = FakeClock()
        self.crl, self.ca = path / "clients.crl", path / "clients.pem"
        self.ca.write_bytes(AUTHORITY.certificate)
        self.publish()

    def publish(self, *revoked: bytes) -> None:
        """Replace the list by one made now."""
        data = AUTHORITY.revocation_list(revoked, now=self.clock.now(), holds=HOUR)
        draft = self.crl.with_suffix(".new")
        draft.write_bytes(data)
        draft.replace(self.crl)

    def file(self, *, allow_stale: bool = False) -> RevocationFile:
        """Open the lists."""
        return RevocationFile(self.crl, self.ca, allow_stale=allow_stale, clock=self.clock)

    def refused(self, file: RevocationFile) -> bool:
        """Say whether the peer is refused a moment later."""
        self.clock.advance(2.0)
        try:
            file.check(PEER, self.clock.now())
        except UnauthenticatedError:
            return True
        return False


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A place where nobody is revoked."""
    structlog.reset_defaults()
    return Place(tmp_path)


@pytest.mark.parametrize("content", [None, b"", b"garbage"])
def test_a_server_does_not_start_without_the_lists_that_it_is_told_of(
    place: Place, content: bytes | None
) -> None:
    """A missing, empty or broken file is an error, not a list that revokes nobody."""
    place.crl.unlink()
    if content is not None:
        place.crl.write_bytes(content)

    with pytest.raises(SettingsError, match="client_crl"):
        place.file()


def test_a_new_list_counts_without_a_restart(place: Place) -> None:
    """A certificate that is revoked while the server runs is refused with its next request."""
    file = place.file()
    assert not place.refused(file)
    place.publish(PEER)

    with capture_logs() as log:
        assert place.refused(file)
    assert [one["event"] for one in log] == ["new revocation lists are in use"]


def test_the_file_is_looked_at_once_a_second_at_most(place: Place) -> None:
    """Requests do not each read a file."""
    file = place.file()
    place.publish(PEER)
    file.check(PEER, place.clock.now())

    assert place.refused(file)


def test_a_broken_or_older_file_changes_nothing_and_is_told_once(place: Place) -> None:
    """The lists in use hold on: nobody is let in again by destroying or rolling back the file."""
    old = place.crl.read_bytes()
    place.clock.advance(60.0)
    place.publish(PEER)
    file = place.file()
    for content in (b"garbage", old):
        place.crl.write_bytes(content)
        with capture_logs() as log:
            assert place.refused(file)
            assert place.refused(file)
        assert [one["event"] for one in log] == ["new revocation lists are not used"]
    place.crl.unlink()
    assert place.refused(file)


def test_a_list_whose_time_is_over_refuses_everybody(place: Place) -> None:
    """The default: what cannot be checked is not believed; a new list ends it."""
    file = place.file()
    place.clock.advance(2 * HOUR.total_seconds())
    with capture_logs() as log:
        assert place.refused(file)
        assert place.refused(file)
    assert [one["event"] for one in log] == ["revocation lists are stale"]
    place.publish()
    assert not place.refused(file)


def test_a_list_whose_time_is_over_can_only_alarm(place: Place) -> None:
    """Where the settings say so, the log tells it, once each time, and calls go on."""
    file = place.file(allow_stale=True)
    with capture_logs() as log:
        for _ in range(2):
            place.clock.advance(2 * HOUR.total_seconds())
            assert not place.refused(file)
            assert not place.refused(file)
            place.publish()
            assert not place.refused(file)
    told = [one["event"] for one in log if one["log_level"] == "error"]
    assert told == ["revocation lists are stale"] * 2


def test_a_new_authority_gives_a_refused_file_another_chance(place: Place) -> None:
    """When both files are renewed one after the other, the second one settles it."""
    other = DevelopmentAuthority(EPOCH)
    file = place.file()
    both = other.revocation_list((), now=place.clock.now(), holds=HOUR)
    place.crl.write_bytes(both + AUTHORITY.revocation_list((PEER,), now=EPOCH, holds=HOUR))
    assert not place.refused(file)
    place.ca.write_bytes(AUTHORITY.certificate + other.certificate)

    assert place.refused(file)


def test_lists_need_authorities(place: Place) -> None:
    """Settings with one and not the other are refused; without both nothing is checked."""
    with pytest.raises(ValueError, match="client_ca"):
        TlsSettings(certificate=place.ca, key=place.ca, client_crl=place.crl)
    assert revocation_file(TlsSettings(), place.clock) is None
    whole = TlsSettings(
        certificate=place.ca, key=place.ca, client_ca=place.ca, client_crl=place.crl
    )
    assert revocation_file(whole, place.clock) is not None
