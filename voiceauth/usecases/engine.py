# SPDX-License-Identifier: Apache-2.0
"""The parts that every use case works with, put together once at start."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from voiceauth.consent.retention import Rule
from voiceauth.decision.policy import Policy
from voiceauth.errors import IntegrityError, UnknownPolicyError
from voiceauth.ledger.pseudonym import pseudonym
from voiceauth.liveness.challenge import ChallengeOptions
from voiceauth.liveness.challenge_book import ChallengeBook
from voiceauth.liveness.continuity import ContinuityCalibration
from voiceauth.liveness.synthetic import SyntheticCalibration
from voiceauth.ports import (
    Clock,
    Gallery,
    Random,
    Recognizer,
    Scorer,
    SpeakerEmbedder,
    SpoofDetector,
    Transaction,
    Vault,
    VoiceMemory,
)
from voiceauth.signal.net_speech import SpeechOptions
from voiceauth.types import Embedding, Finding, ModelCard, SubjectId, TenantId
from voiceauth.units import Rate, Seconds
from voiceauth.usecases.attempt_desk import AttemptDesk
from voiceauth.usecases.back_up import BackupDesk
from voiceauth.usecases.keep_keys import KeyDesk
from voiceauth.usecases.raise_alerts import AlertDesk
from voiceauth.usecases.rekey_voiceprints import RekeyDesk
from voiceauth.usecases.replay_guard import ReplayGuard
from voiceauth.usecases.second_person import ApprovalDesk, ApprovalRules
from voiceauth.usecases.shared_challenges import SharedChallengeBook
from voiceauth.usecases.step_up_desk import StepUpDesk
from voiceauth.usecases.troubles import TroubleBook


@dataclass(frozen=True, slots=True)
class EnrolmentRules:
    """How much and how good speech makes a voiceprint; the settings' ``[enrolment]``."""

    needed_seconds: Seconds = 20.0
    max_voiceprints: int = 5
    purpose: str = "authentication"
    coherence_false_non_match_rate: Rate = 0.01
    duplicate_false_match_rate: Rate = 0.01
    max_spoof_false_accept: Rate = 0.05
    max_live_held: Rate = 0.05
    require_synthetic: bool = False
    watchlists: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class ChallengeDesk:
    """What challenges need.

    Attributes:
        recogniser: None where only results of clients can be used.
        accept_client_recognition: whether a client may send what its own recogniser heard.
    """

    book: ChallengeBook | SharedChallengeBook
    options: ChallengeOptions
    recogniser: Recognizer | None = None
    accept_client_recognition: bool = True


@dataclass(frozen=True, slots=True)
class RetentionRules:
    """How long what is kept of people may be kept; the settings' ``[retention]``.

    Attributes:
        jurisdiction: of people whose consent names none; empty where it is not known.
        largest_clock_step: between two sweeps; what is further needs a confirmation.
    """

    rules: tuple[Rule, ...] = ()
    jurisdiction: str = ""
    largest_clock_step: timedelta = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class Chore:
    """Work that a running server repeats.

    Attributes:
        name: for the log.
        run: blocking; may raise EngineError.
        at_end: whether it runs once more when the server ends.
        at_once: whether the first time is at start.
        stop: has a running ``run`` come to its end soon.
    """

    name: str
    every_seconds: Seconds
    run: Callable[[], None]
    at_end: bool = True
    at_once: bool = False
    stop: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class SpoofLayer:
    """What looks for synthetic speech, and what its scores mean. Both are of one model."""

    detector: SpoofDetector
    calibration: SyntheticCalibration


@dataclass(frozen=True, slots=True, eq=False)
class Engine:
    """Everything a use case needs, as protocols and frozen rules.

    Attributes:
        decoys: embeddings that stand in for a voiceprint that is not there, so that a claim on an
            unknown subject costs and looks like any other; shape of each (dimension,).
        secret: purpose -> 32-byte installation secret, for pseudonyms and the choice of a decoy.
        max_audio_seconds: longest audio of one stream.
        challenges: None where they are switched off.
        spoof: None where no spoof model is installed or wanted.
        chores: what a server repeats while it runs.
        continuity: None where it was not fitted to the model, or is not wanted.
        replay: memory of accepted calls; None where it is switched off.
        approvals: what a second person has to approve.
        keys: None where the keys cannot be looked after from here.
        examine: looks the installation over; None where there are no settings to look at.
        backups: what backs this installation up; None where the settings name no place.
        rekeying: None where voiceprints cannot be given a new secret, as over a vault of tests.
        attempts: counts failed attempts; None only where nothing can be attacked.
        previous: this engine with the speaker model before; None outside a migration.
        retention: how long what is kept of people may be kept.
        alerts: None where they are switched off.
        voices: memory of rejected calls' voices, for the alerts; None without them.
        troubles: what goes wrong in the engine itself, for the alerts.
        step_up: runs step-ups; None where others do.
    """

    vault: Vault
    gallery: Gallery
    embedder: SpeakerEmbedder
    scorer: Scorer
    clock: Clock
    random: Random
    secret: Callable[[str], bytes]
    speech: SpeechOptions
    policies: Mapping[str, Policy]
    default_policy: str
    enrolment: EnrolmentRules
    decoys: Sequence[Embedding]
    models: tuple[ModelCard, ...]
    max_audio_seconds: Seconds = 600.0
    challenges: ChallengeDesk | None = None
    spoof: SpoofLayer | None = None
    chores: tuple[Chore, ...] = ()
    continuity: ContinuityCalibration | None = None
    replay: ReplayGuard | None = None
    approvals: ApprovalRules = field(default_factory=ApprovalRules)
    keys: KeyDesk | None = None
    backups: BackupDesk | None = None
    examine: Callable[[], tuple[Finding, ...]] | None = None
    rekeying: RekeyDesk | None = None
    attempts: AttemptDesk | None = None
    retention: RetentionRules = RetentionRules()
    previous: "Engine | None" = None
    alerts: AlertDesk | None = None
    voices: VoiceMemory | None = None
    troubles: TroubleBook = field(default_factory=TroubleBook)
    step_up: StepUpDesk | None = None

    def policy(self, name: str) -> Policy:
        """Return the named policy, the default one for an empty name.

        Raises:
            UnknownPolicyError: the settings do not define it.
        """
        found = self.policies.get(name or self.default_policy)
        if found is None:
            raise UnknownPolicyError
        return found

    def pseudonym(self, tenant: TenantId, identifier: str) -> str:
        """Return the keyed hash that stands for an identifier in the ledger and the logs.

        For a call, a principal, or a subject that nobody knows; else ``subject_pseudonym``.
        """
        return pseudonym(self.secret("ledger-pseudonym"), tenant, identifier)

    def number_pseudonym(self, tenant: TenantId, number: str) -> str | None:
        """Return the keyed hash that stands for a calling number; None where it is withheld.

        Its key is another one than that of identifiers: a subject who is named by a telephone
        number must not be recognised by the calls that come from it.
        """
        return pseudonym(self.secret("calling-number"), tenant, number) if number else None

    def subject_pseudonym(self, view: Transaction, tenant: TenantId, subject: SubjectId) -> str:
        """Return what stands for a subject in the ledger, until it is erased.

        A subject whose row is damaged stands there like one that nobody knows, so that the fault
        can be recorded.
        """
        try:
            secret = view.ledger_secret(tenant, subject)
        except IntegrityError:
            secret = b""
        return pseudonym(self.secret("ledger-pseudonym"), tenant, subject, secret)

    @property
    def approval_desk(self) -> ApprovalDesk:
        """What is needed to ask a second person."""
        return ApprovalDesk(self.vault, self.clock, self.random, self.secret, self.approvals)
