# SPDX-License-Identifier: Apache-2.0
"""Put an engine together from its settings: the one place where rooms meet their adapters.

Steps, in an order in which each failure stops the start and nothing half-open stays behind:

(1) Keys: load them, or create them if there is no vault yet. A vault without keys is refused.
(2) Models, calibration and cohort: hashes are checked against the manifest.
(3) Vault: opened with the keys; a wrong key or a damaged file is refused.
(4) Gallery: rebuilt from the vault's voiceprints of the current model, in the tenants' secret
    spaces; a large one goes on being filled while calls are taken.
(5) The start is recorded in the ledger with the versions in use.
(6) The ledger is held against its last checkpoint and its second place: a rewritten one is refused.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial

from voiceauth import __version__
from voiceauth.adapters import SystemClock, SystemRandom
from voiceauth.config import Settings
from voiceauth.errors import StorageError
from voiceauth.gallery.faiss_gallery import FaissGallery
from voiceauth.gallery.protected import ProtectedGallery
from voiceauth.models.bundle import ModelBundle, load_bundle
from voiceauth.ports import Clock, ManagedKeys, Random, Recognizer
from voiceauth.scoring.scorer import CalibratedScorer
from voiceauth.types import TenantId
from voiceauth.usecases.alert_setup import alert_desk, failed_voices
from voiceauth.usecases.attempt_desk import attempt_desk
from voiceauth.usecases.backup_chores import backup_desk
from voiceauth.usecases.canary import Hearing
from voiceauth.usecases.doctor import diagnose
from voiceauth.usecases.engine import Chore, Engine, EnrolmentRules
from voiceauth.usecases.engine_desks import Desks, chores_of
from voiceauth.usecases.engine_parts import (
    challenge_desk,
    key_desk,
    policies_of,
    replay_guard,
    retention_rules,
)
from voiceauth.usecases.filling_gallery import FillingGallery
from voiceauth.usecases.follow_changes import ChangeTidier, GalleryFollower
from voiceauth.usecases.instruments import continuity_of, speech_options, spoof_layer
from voiceauth.usecases.keep_checkpoints import CheckpointDesk, signing_key
from voiceauth.usecases.keep_gallery import GalleryKeeper
from voiceauth.usecases.key_services import VAULT_FILE, open_keys
from voiceauth.usecases.rekey_voiceprints import RekeyDesk
from voiceauth.usecases.second_person import approval_rules
from voiceauth.usecases.shared_challenges import forget_all_challenges
from voiceauth.usecases.step_up_desk import step_up_desk
from voiceauth.usecases.sweep_retention import sweep_everybody
from voiceauth.usecases.troubles import TroubleBook
from voiceauth.usecases.two_models import previous_world
from voiceauth.usecases.worker_chores import shared_out
from voiceauth.vault.open import open_vault
from voiceauth.vault.store import SqliteVault

__all__ = ["assemble", "assembled", "retention_rules"]


@dataclass(frozen=True, slots=True, eq=False)
class _Opened:
    """What steps (1) to (3) opened, and what the rest shares."""

    keys: ManagedKeys
    bundle: ModelBundle
    vault: SqliteVault
    scorer: CalibratedScorer
    clock: Clock
    random: Random
    troubles: TroubleBook = field(default_factory=TroubleBook)


@contextmanager
def assembled(settings: Settings, *, worker: int = 0) -> Iterator[Engine]:
    """Open an engine and close its files afterwards. Arguments and errors as ``assemble``."""
    engine = assemble(settings, worker=worker)
    try:
        yield engine
    finally:
        engine.vault.close()


def assemble(
    settings: Settings,
    *,
    clock: Clock | None = None,
    random: Random | None = None,
    recogniser: Recognizer | None = None,
    worker: int = 0,
) -> Engine:
    """Open everything that a running engine needs.

    Args:
        settings: checked settings.
        clock: for tests; default the system's.
        random: for tests; default the system's.
        recogniser: of challenges, instead of the one that the settings name.
        worker: number of this process among those that share the vault; the first does the chores
            that one process has to do.

    Returns:
        An engine whose vault the caller closes.

    Raises:
        KeyServiceError: a vault is there, but its keys are not.
        WrongKeyError: the keys are another installation's.
        ModelHashMismatchError: a model file differs from its manifest.
        StorageError: the data directory cannot be used.
        ChainBrokenError: the ledger is not the one that was signed or copied before.
    """
    clock, random = clock or SystemClock(), random or SystemRandom()
    keys = open_keys(settings, clock=clock, random=random)  # (1)
    bundle = load_bundle(  # (2)
        settings.models.directory,
        settings.models.speaker,
        device=settings.models.device,
        precision=settings.models.precision,
        synthetic=settings.liveness.synthetic == "auto",
        batches=settings.models.most_in_a_batch,
    )
    vault = open_vault(  # (3)
        settings.storage.data_dir / VAULT_FILE, keys, clock=clock, random=random
    )
    try:
        scorer = CalibratedScorer(bundle.calibration, bundle.cohort, bundle.speaker.model)
        opened = _Opened(keys, bundle, vault, scorer, clock, random)
        spaces = ProtectedGallery(
            partial(FaissGallery, bundle.speaker.dimension), vault.voice_transform
        )
        gallery = FillingGallery(spaces)
        follower = GalleryFollower(vault, gallery, bundle.speaker.model)
        desks = _desks(settings, opened, spaces, gallery)
        engine = _engine(settings, opened, gallery, desks, recogniser)
        engine = with_previous(settings, engine, vault)
        every = settings.retention.sweep_seconds
        # Not at the end: a command that opens an engine for a moment must not erase anybody.
        sweeping = Chore("retention", every, partial(sweep_everybody, engine), at_end=False)
        others = follower if settings.server.workers > 1 else None
        chores = shared_out((*engine.chores, sweeping), worker, others, ChangeTidier(vault))
        engine = replace(engine, chores=chores)
        _record_start(engine)  # (5)
        if worker == 0 and settings.server.workers > 1:
            forget_all_challenges(vault)
        if worker == 0:
            with suppress(StorageError):  # (6) a second place that is away stops no call
                desks.checkpoints.run()
    except BaseException:
        vault.close()
        raise
    return engine


def _desks(
    settings: Settings, opened: _Opened, spaces: ProtectedGallery, gallery: FillingGallery
) -> Desks:
    """Set up what looks after the records, and fill in what a start waits for."""
    vault, keys, bundle, clock = opened.vault, opened.keys, opened.bundle, opened.clock
    checkpoints = CheckpointDesk(vault, signing_key(keys), clock, settings.ledger.export_dir)
    keeper = key_desk(settings, vault, keys, clock)
    filling = GalleryKeeper(vault, gallery, bundle.speaker.model)
    filling.start()  # (4)
    return Desks(
        checkpoints=checkpoints,
        keys=keeper,
        filling=filling,
        replay=replay_guard(settings, keys.derive, clock),
        backups=backup_desk(
            settings,
            vault,
            keys,
            Hearing(bundle.speaker, opened.scorer),
            clock=clock,
            random=opened.random,
        ),
        rekeying=RekeyDesk(vault, spaces, bundle.speaker.model, clock),
        attempts=attempt_desk(settings, clock),
        alerts=alert_desk(settings.alerts, vault, clock, keys.derive, opened.troubles),
        step_ups=step_up_desk(settings, keys, clock),
    )


def _engine(
    settings: Settings,
    opened: _Opened,
    gallery: FillingGallery,
    desks: Desks,
    recogniser: Recognizer | None,
) -> Engine:
    vault, bundle, clock, random = opened.vault, opened.bundle, opened.clock, opened.random
    return Engine(
        vault=vault,
        gallery=gallery,
        embedder=bundle.speaker,
        scorer=opened.scorer,
        clock=clock,
        random=random,
        secret=opened.keys.derive,
        speech=speech_options(settings, bundle.speaker.rate_hz),
        policies=policies_of(settings, synthetic=bundle.spoof is not None),
        spoof=spoof_layer(bundle),
        continuity=continuity_of(bundle, settings),
        default_policy=settings.default_policy,
        enrolment=EnrolmentRules(**settings.enrolment.model_dump()),
        decoys=tuple(bundle.cohort),
        models=bundle.cards,
        max_audio_seconds=settings.server.max_stream_seconds,
        challenges=challenge_desk(settings, random, vault, recogniser),
        replay=desks.replay,
        approvals=approval_rules(settings),
        keys=desks.keys,
        backups=desks.backups,
        examine=partial(diagnose, settings, clock),
        rekeying=desks.rekeying,
        attempts=desks.attempts,
        retention=retention_rules(settings),
        step_up=desks.step_ups,
        chores=chores_of(desks, settings, vault),
        alerts=desks.alerts,
        voices=failed_voices(settings.alerts, opened.scorer, clock, random),
        troubles=opened.troubles,
    )


def with_previous(settings: Settings, engine: Engine, vault: SqliteVault) -> Engine:
    """Put the model before beside the new one, where the settings name it.

    Raises:
        SettingsError: there is no such model, or they cannot serve side by side.
    """
    if settings.models.previous is None:
        return engine
    bundle = load_bundle(
        settings.models.directory,
        settings.models.previous,
        device=settings.models.device,
        synthetic=False,
        batches=settings.models.most_in_a_batch,
    )
    gallery = ProtectedGallery(
        partial(FaissGallery, bundle.speaker.dimension), vault.voice_transform
    )
    return replace(engine, previous=previous_world(engine, bundle, gallery))


def _record_start(engine: Engine) -> None:
    with engine.vault.begin() as transaction:
        transaction.append(
            at=engine.clock.now(),
            tenant=TenantId(""),
            event="engine.started",
            body={
                "version": __version__,
                "models": {card.role: card.sha256 for card in engine.models},
                "calibration": engine.scorer.version,
                "voiceprints": len(engine.gallery) if engine.gallery.ready else None,
            },
        )
