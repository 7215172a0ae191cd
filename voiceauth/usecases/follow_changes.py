# SPDX-License-Identifier: Apache-2.0
"""Keep the gallery of this process as other processes' changes to the vault make it.

(1) ``GalleryFollower`` notes the newest change before the gallery is filled.
(2) ``run``, several times a second, reads whose voiceprints or groups changed since, and takes
    those subjects from the vault again: enrolments, erasures and new groups of any process.
(3) ``ChangeTidier``, in one process, deletes changes that every process has had time to read.

Changes of this process come by as well; to take them again changes nothing. The record stays the
vault: what a gallery proposes in the meantime is looked up there.
"""

from voiceauth.ports import Gallery
from voiceauth.types import ModelHash, SubjectId, TenantId
from voiceauth.units import Seconds
from voiceauth.vault.store import SqliteVault

FOLLOW_SECONDS: Seconds = 0.25
"""A change is in every gallery within a second, a slow moment included."""
TIDY_SECONDS: Seconds = 60.0
_PAGE = 500


class GalleryFollower:
    """Follows the vault. One thread at a time.

    Args:
        vault: the record, shared with other processes.
        gallery: of this process; what is added while it is being filled is for it to sort out.
        model: whose voiceprints are searched.
    """

    def __init__(self, vault: SqliteVault, gallery: Gallery, model: ModelHash) -> None:
        self._vault = vault
        self._gallery = gallery
        self._model = model
        with vault.read() as view:
            self._seen = view.newest_change()  # (1)

    def run(self) -> None:
        """Take over what changed since the last time. Blocking.

        Raises:
            StorageError, KeyServiceError: to be tried again.
            IntegrityError: a row was changed; to be tried again as well, and told each time.
        """
        with self._vault.read() as view:
            found = view.changes_behind(self._seen)
        if found.missed:  # this process was stopped for long: look at everybody
            self._everybody()
        for tenant, subject in found.places:
            self._again(tenant, subject)
        self._seen = found.last

    def _everybody(self) -> None:
        for tenant in self._vault.tenants():
            after: SubjectId | None = None
            while True:
                with self._vault.read() as view:
                    page = view.subjects(tenant, after=after, limit=_PAGE)
                if not page:
                    break
                for one in page:
                    self._again(tenant, one.subject)
                after = page[-1].subject

    def _again(self, tenant: TenantId, subject: SubjectId) -> None:
        with self._vault.read() as view:
            found = view.subject(tenant, subject)
            prints = view.voiceprints(tenant, subject, self._model) if found else ()
        self._gallery.remove_subject(tenant, subject)
        for one in prints:
            groups = frozenset() if found is None else found.groups
            self._gallery.add(tenant, subject, one.voiceprint, one.embedding, groups)


class ChangeTidier:
    """Deletes old changes. One thread at a time.

    Args:
        vault: the record.
    """

    def __init__(self, vault: SqliteVault) -> None:
        self._vault = vault
        self._old = 0

    def run(self) -> None:
        """Delete what was there already at the last time, and is so older than that. Blocking."""
        with self._vault.read() as view:
            newest = view.newest_change()
        if self._old:
            with self._vault.begin() as transaction:
                transaction.forget_changes(self._old)
        self._old = newest
