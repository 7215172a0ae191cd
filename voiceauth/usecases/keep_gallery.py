# SPDX-License-Identifier: Apache-2.0
"""Fill the gallery from the vault, and keep its indexes at the size of what they hold.

(1) Pages of voiceprints, in the vault's order, each read in a view of its own.
(2) Subjects that changed meanwhile are read again, until none did: then searches are open.
(3) From then on: tenants that outgrew their index get another one, beside running searches.

A vault of a few thousand voiceprints is filled in before the start is over; a larger one goes on
beside the calls, as a chore, and 1:1 verification does not wait for it.
"""

import threading

from voiceauth.ports import Gallery, Vault
from voiceauth.types import ModelHash
from voiceauth.usecases.filling_gallery import FillingGallery, Place

PAGE = 500
FILLED_AT_START = 2_000
"""Voiceprints that a start waits for: a fraction of a second."""
CHORE_SECONDS = 10.0


class GalleryKeeper:
    """Fills and tends one gallery. One thread at a time.

    Args:
        vault: the record.
        gallery: to fill.
        model: whose voiceprints are searched.
    """

    def __init__(self, vault: Vault, gallery: FillingGallery, model: ModelHash) -> None:
        self._vault = vault
        self._gallery = gallery
        self._model = model
        self._after = 0
        self._stopped = threading.Event()

    def start(self) -> None:
        """Fill in what a start waits for. Errors as ``run``."""
        self._fill(FILLED_AT_START)

    def run(self) -> None:
        """Fill in what is left, then tend. Blocking, for minutes where there is much.

        Raises:
            IntegrityError: a row was changed; searches stay closed.
            StorageError, KeyServiceError: to be tried again; it goes on where it was.
        """
        self._fill(None)
        if self._gallery.ready:
            self._gallery.tend(self._stopped.is_set)

    def stop(self) -> None:
        """Have a running ``run`` come to its end soon, and every later one at once."""
        self._stopped.set()

    def _fill(self, most: int | None) -> None:
        """Add pages, at least ``most`` voiceprints of them; with None, all."""
        left = most
        while not self._gallery.ready and not self._stopped.is_set():
            with self._vault.read() as view:  # (1)
                page = view.voice_page(self._model, after=self._after, limit=PAGE)
            for voices in page.voices:
                self._gallery.inner.add_many(voices)
            self._after = page.last
            if len(page) < PAGE:
                self._settle()
                return
            if left is not None:
                left -= len(page)
                if left <= 0:
                    return

    def _settle(self) -> None:
        while places := self._gallery.settle():  # (2)
            for place in places:
                self._read_again(place)

    def _read_again(self, place: Place) -> None:
        tenant, subject = place
        with self._vault.read() as view:
            found = view.subject(tenant, subject)
            prints = view.voiceprints(tenant, subject, self._model) if found else ()
        self._gallery.inner.remove_subject(tenant, subject)
        for one in prints:
            groups = frozenset() if found is None else found.groups
            self._gallery.inner.add(tenant, subject, one.voiceprint, one.embedding, groups)


def fill_gallery(vault: Vault, gallery: Gallery, model: ModelHash) -> int:
    """Add every voiceprint of a model to a gallery of one's own; return how many. Blocking."""
    GalleryKeeper(vault, FillingGallery(gallery), model).run()
    return len(gallery)
