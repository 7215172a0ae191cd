# SPDX-License-Identifier: Apache-2.0
"""Which process does which chore, where several share a vault."""

from voiceauth.usecases.engine import Chore
from voiceauth.usecases.follow_changes import (
    FOLLOW_SECONDS,
    TIDY_SECONDS,
    ChangeTidier,
    GalleryFollower,
)

OF_EVERY_PROCESS = frozenset({"voiceprints", "gallery", "troubles"})
"""What looks after this process's own gallery, or tells of its own trouble; everything else looks
after the vault."""


def shared_out(
    chores: tuple[Chore, ...],
    worker: int,
    follower: GalleryFollower | None,
    tidier: ChangeTidier,
) -> tuple[Chore, ...]:
    """Return the chores of one process.

    Args:
        chores: of an engine that is alone.
        worker: number of the process; the first one looks after the vault.
        follower: of its gallery; None where no other process writes to the vault.
        tidier: of the vault's list of changes.
    """
    mine = tuple(one for one in chores if worker == 0 or one.name in OF_EVERY_PROCESS)
    if worker == 0:
        mine += (Chore("old changes", TIDY_SECONDS, tidier.run),)
    if follower is not None:
        mine += (Chore("changes", FOLLOW_SECONDS, follower.run),)
    return mine
