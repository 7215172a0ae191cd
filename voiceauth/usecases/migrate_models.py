# SPDX-License-Identifier: Apache-2.0
"""See how far a migration between two speaker models has come; finish it, or take it back.

A migration begins with the settings: ``models.speaker`` names the new model, ``models.previous``
the one before. Subjects move by themselves, with the calls in which they are matched; audio of
earlier calls is not kept, so there is nothing else to move them with.
"""

from collections.abc import Iterator

from voiceauth.errors import PolicyError
from voiceauth.ports import Transaction
from voiceauth.types import (
    MigrationAction,
    ModelHash,
    ModelMigration,
    Subject,
    SubjectId,
    TenantId,
)
from voiceauth.usecases.engine import Engine

_PAGE = 200
_INSTALLATION = TenantId("")


def migrate_models(
    engine: Engine, action: MigrationAction, *, drop_waiting: bool = False
) -> ModelMigration:
    """Look at a migration, finish it, or take it back; and record that.

    Args:
        engine: with a previous model.
        action: what to do.
        drop_waiting: finish although subjects wait; they have to enrol again.

    Returns:
        How it stands afterwards.

    Raises:
        PolicyError: the settings name no previous model, or subjects still wait.
        StorageError: what was done so far stays done; do it again.
    """
    previous = engine.previous
    if previous is None:
        raise PolicyError("The settings name no models.previous: there is no migration.")
    new, old = engine.embedder.model, previous.embedder.model
    standing = _standing(engine, new, old)
    if action is MigrationAction.FINISH:
        if standing.waiting and not drop_waiting:
            raise PolicyError(
                f"{standing.waiting} subjects wait for a call; drop them to finish all the same."
            )
        _forget(engine, old, only_beside=None if drop_waiting else new)
    elif action is MigrationAction.ROLL_BACK:
        _forget(engine, new, only_beside=old)
    after = _standing(engine, new, old)
    _record(engine, action, after)
    return after


def _standing(engine: Engine, new: ModelHash, old: ModelHash) -> ModelMigration:
    moved = waiting = begun = 0
    with engine.vault.read() as view:
        for subject in _everybody(engine, view):
            where = (subject.tenant, subject.subject)
            if view.voiceprints(*where, new):
                moved += 1
            elif view.voiceprints(*where, old):
                waiting += 1
                begun += bool(view.pending_segments(*where, new))
    return ModelMigration(new, old, moved, waiting, begun)


def _forget(engine: Engine, model: ModelHash, *, only_beside: ModelHash | None) -> None:
    """Delete what there is of one model; only of subjects who have the other one, if one is named.

    Short transactions, so that calls go on.
    """
    with engine.vault.read() as view:
        names = [(one.tenant, one.subject) for one in _everybody(engine, view)]
    for tenant, subject in names:
        with engine.vault.begin() as change:
            if change.subject(tenant, subject) is None:  # erased meanwhile
                continue
            stays = only_beside is None or change.voiceprints(tenant, subject, only_beside)
            if not stays:
                continue
            change.keep_latest_voiceprints(tenant, subject, model, 0)
            change.put_pending_segments(tenant, subject, model, ())
        if model == engine.embedder.model:
            engine.gallery.remove_subject(tenant, subject)


def _everybody(engine: Engine, view: Transaction) -> Iterator[Subject]:
    for tenant in engine.vault.tenants():
        if tenant == _INSTALLATION:  # the known voice of the drills is nobody's
            continue
        after: SubjectId | None = None
        while page := view.subjects(tenant, after=after, limit=_PAGE):
            yield from page
            after = page[-1].subject


def _record(engine: Engine, action: MigrationAction, found: ModelMigration) -> None:
    with engine.vault.begin() as transaction:
        transaction.append(
            at=engine.clock.now(),
            tenant=_INSTALLATION,
            event="models.migration",
            body={
                "action": action.value,
                "from": found.previous,
                "to": found.model,
                "moved": found.moved,
                "waiting": found.waiting,
            },
        )
