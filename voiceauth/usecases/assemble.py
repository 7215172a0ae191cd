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

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial

from voiceauth import __version__
from voiceauth.adapters import SystemClock, SystemRandom
from voiceauth.config import Settings
from voiceauth.consent.retention import Erases, Rule, Since
from voiceauth.decision.policy import Policy
from voiceauth.errors import MissingExtraError, SettingsError, StorageError
from voiceauth.gallery.faiss_gallery import FaissGallery
from voiceauth.gallery.protected import ProtectedGallery
from voiceauth.liveness.challenge import ChallengeOptions
from voiceauth.liveness.challenge_book import ChallengeBook
from voiceauth.models.bundle import load_bundle
from voiceauth.ports import Clock, ManagedKeys, Random, Recognizer, Vault
from voiceauth.recognition.pocketsphinx import PocketSphinxRecognizer
from voiceauth.scoring.scorer import CalibratedScorer
from voiceauth.types import FactorKind, LivenessLayer, Route, TenantId
from voiceauth.usecases.alert_setup import alert_chores, alert_desk, failed_voices
from voiceauth.usecases.attempt_desk import attempt_desk
from voiceauth.usecases.backup_chores import backup_chores, backup_desk
from voiceauth.usecases.canary import Hearing
from voiceauth.usecases.doctor import diagnose
from voiceauth.usecases.engine import (
    ChallengeDesk,
    Chore,
    Engine,
    EnrolmentRules,
    RetentionRules,
)
from voiceauth.usecases.filling_gallery import FillingGallery
from voiceauth.usecases.follow_changes import ChangeTidier, GalleryFollower
from voiceauth.usecases.instruments import continuity_of, speech_options, spoof_layer
from voiceauth.usecases.keep_checkpoints import CheckpointDesk, signing_key
from voiceauth.usecases.keep_gallery import CHORE_SECONDS, GalleryKeeper
from voiceauth.usecases.keep_keys import KeyDesk
from voiceauth.usecases.key_services import VAULT_FILE, open_keys
from voiceauth.usecases.rekey_voiceprints import CHORE_SECONDS as REKEYING_SECONDS
from voiceauth.usecases.rekey_voiceprints import RekeyDesk
from voiceauth.usecases.replay_guard import ReplayGuard, ReplayRules, forget_expired
from voiceauth.usecases.second_person import approval_rules
from voiceauth.usecases.shared_challenges import SharedChallengeBook, forget_all_challenges
from voiceauth.usecases.step_up_desk import step_up_chore, step_up_desk
from voiceauth.usecases.sweep_retention import sweep_everybody
from voiceauth.usecases.troubles import TroubleBook
from voiceauth.usecases.two_models import previous_world
from voiceauth.usecases.worker_chores import shared_out
from voiceauth.vault.open import open_vault
from voiceauth.vault.store import SqliteVault

_HOUR_SECONDS = 3600.0
_DAY_SECONDS = 86_400.0


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
    )
    vault = open_vault(  # (3)
        settings.storage.data_dir / VAULT_FILE, keys, clock=clock, random=random
    )
    try:
        spaces = ProtectedGallery(
            partial(FaissGallery, bundle.speaker.dimension), vault.voice_transform
        )
        gallery = FillingGallery(spaces)
        checkpoints = CheckpointDesk(vault, signing_key(keys), clock, settings.ledger.export_dir)
        keeper = key_desk(settings, vault, keys, clock)
        follower = GalleryFollower(vault, gallery, bundle.speaker.model)
        filling = GalleryKeeper(vault, gallery, bundle.speaker.model)
        filling.start()  # (4)
        guard = replay_guard(settings, keys.derive, clock)
        scorer = CalibratedScorer(bundle.calibration, bundle.cohort, bundle.speaker.model)
        backups = backup_desk(
            settings, vault, keys, Hearing(bundle.speaker, scorer), clock=clock, random=random
        )
        rekeying = RekeyDesk(vault, spaces, bundle.speaker.model, clock)
        attempts = attempt_desk(settings, clock)
        troubles = TroubleBook()
        desk = alert_desk(settings.alerts, vault, clock, keys.derive, troubles)
        step_ups = step_up_desk(settings, keys, clock)
        engine = Engine(
            vault=vault,
            gallery=gallery,
            embedder=bundle.speaker,
            scorer=scorer,
            clock=clock,
            random=random,
            secret=keys.derive,
            speech=speech_options(settings, bundle.speaker.rate_hz),
            policies=_policies(settings, synthetic=bundle.spoof is not None),
            spoof=spoof_layer(bundle),
            continuity=continuity_of(bundle, settings),
            default_policy=settings.default_policy,
            enrolment=EnrolmentRules(**settings.enrolment.model_dump()),
            decoys=tuple(bundle.cohort),
            models=bundle.cards,
            max_audio_seconds=settings.server.max_stream_seconds,
            challenges=challenge_desk(settings, random, vault, recogniser),
            replay=guard,
            approvals=approval_rules(settings),
            keys=keeper,
            backups=backups,
            examine=partial(diagnose, settings, clock),
            rekeying=rekeying,
            attempts=attempts,
            retention=retention_rules(settings),
            step_up=step_ups,
            chores=(
                Chore("checkpoint", settings.ledger.checkpoint_seconds, checkpoints.run),
                Chore("keys", _HOUR_SECONDS, keeper.run),
                # Not at the end: what is unfinished is gone on with after the next start.
                Chore("voiceprints", REKEYING_SECONDS, rekeying.run, at_end=False),
                Chore(
                    "gallery",
                    CHORE_SECONDS,
                    filling.run,
                    at_end=False,
                    at_once=True,
                    stop=filling.stop,
                ),
                *_forgetting(guard, vault),
                *backup_chores(backups),
                Chore("old attempts", _HOUR_SECONDS, partial(attempts.tidy, vault)),
                *alert_chores(desk, settings.alerts, vault.audit_ledger),
                Chore("old step-ups", _HOUR_SECONDS, step_up_chore(step_ups, vault)),
            ),
            alerts=desk,
            voices=failed_voices(settings.alerts, scorer, clock, random),
            troubles=troubles,
        )
        engine = with_previous(settings, engine, vault)
        every = settings.retention.sweep_seconds
        # Not at the end: a command that opens an engine for a moment must not erase anybody.
        sweeping = Chore("retention", every, partial(sweep_everybody, engine), at_end=False)
        engine = replace(engine, chores=(*engine.chores, sweeping))
        others = follower if settings.server.workers > 1 else None
        chores = shared_out(engine.chores, worker, others, ChangeTidier(vault))
        engine = replace(engine, chores=chores)
        _record_start(engine)  # (5)
        if worker == 0 and settings.server.workers > 1:
            forget_all_challenges(vault)
        if worker == 0:
            with suppress(StorageError):  # (6) a second place that is away stops no call
                checkpoints.run()
    except BaseException:
        vault.close()
        raise
    return engine


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
    )
    gallery = ProtectedGallery(
        partial(FaissGallery, bundle.speaker.dimension), vault.voice_transform
    )
    return replace(engine, previous=previous_world(engine, bundle, gallery))


def key_desk(settings: Settings, vault: SqliteVault, keys: ManagedKeys, clock: Clock) -> KeyDesk:
    """Return what looks after the age of keys as the settings say."""
    rotate, backups = settings.keyring.rotate_days, settings.keyring.backup_days
    return KeyDesk(
        vault,
        keys,
        clock,
        rotate_after=timedelta(days=rotate) if rotate else None,
        backups_kept=timedelta(days=backups) if backups else None,
    )


def challenge_desk(
    settings: Settings,
    random: Random,
    vault: SqliteVault,
    recogniser: Recognizer | None = None,
) -> ChallengeDesk | None:
    """Return what challenges need, None where they are switched off.

    Args:
        settings: of which ``challenge`` matters here.
        random: of the words and ids.
        vault: through which several processes share what was asked.
        recogniser: of the operator, instead of the one that the settings name.

    Raises:
        MissingExtraError: the recogniser that the settings name is not installed.
    """
    if not settings.challenge.enabled:
        return None
    ours = {"enabled", "accept_client_recognition", "recogniser"}
    options = ChallengeOptions(**settings.challenge.model_dump(exclude=ours))
    return ChallengeDesk(
        book=(
            ChallengeBook(options, random)
            if settings.server.workers == 1
            else SharedChallengeBook(options, random, vault)
        ),
        options=options,
        recogniser=recogniser or _recogniser(settings.challenge.recogniser),
        accept_client_recognition=settings.challenge.accept_client_recognition,
    )


def replay_guard(
    settings: Settings, secret: Callable[[str], bytes], clock: Clock
) -> ReplayGuard | None:
    """Return the memory of accepted calls, None where it is switched off."""
    chosen = settings.liveness
    if not chosen.replay:
        return None
    rules = ReplayRules(
        retention_seconds=chosen.replay_retention_days * _DAY_SECONDS,
        most_recordings=chosen.replay_recordings,
        longest_seconds=chosen.replay_recording_seconds,
    )
    return ReplayGuard(secret, clock, rules)


def retention_rules(settings: Settings) -> RetentionRules:
    """Return how long what is kept of people may be kept."""
    chosen = settings.retention
    return RetentionRules(
        rules=tuple(
            Rule(
                name=name,
                since=Since(one.since),
                days=one.days,
                erases=Erases(one.erases),
                purposes=frozenset(one.purposes),
                jurisdictions=frozenset(one.jurisdictions),
            )
            for name, one in chosen.rules.items()
        ),
        jurisdiction=chosen.jurisdiction,
        largest_clock_step=timedelta(days=chosen.largest_clock_step_days),
    )


def _forgetting(guard: ReplayGuard | None, vault: Vault) -> tuple[Chore, ...]:
    """Return what keeps to the retention time of recordings, as far as there are any."""
    if guard is None:
        return ()
    return (Chore("old recordings", _HOUR_SECONDS, partial(forget_expired, guard, vault)),)


def _recogniser(name: str) -> Recognizer | None:
    """Open a recogniser by its name in the settings. Raises MissingExtraError."""
    if name == "off":
        return None
    try:
        return PocketSphinxRecognizer()
    except MissingExtraError:
        if name == "auto":
            return None
        raise


def _policies(settings: Settings, *, synthetic: bool) -> dict[str, Policy]:
    """Map the settings' policies. Raises SettingsError where one could never accept anybody."""
    policies = {
        name: Policy(
            name=name,
            step_seconds=settings.speech.span_seconds,
            **one.model_dump(exclude={"require_liveness", "routes"}),
            require_liveness=frozenset(map(LivenessLayer, one.require_liveness)),
            routes=tuple(
                Route(frozenset(map(FactorKind, way.factors)), way.voice_false_match_rate)
                for way in one.routes
            ),
        )
        for name, one in settings.policies.items()
    }
    for name, policy in policies.items():
        if LivenessLayer.SYNTHETIC in policy.require_liveness and not synthetic:
            problem = "requires the layer 'synthetic', and no spoof model is installed"
            raise SettingsError(f"Policy {name}: require_liveness {problem}.")
    if settings.enrolment.require_synthetic and not synthetic:
        raise SettingsError("enrolment.require_synthetic: no spoof model is installed.")
    return policies


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
