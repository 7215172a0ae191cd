# SPDX-License-Identifier: Apache-2.0
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_engine import TENANT, consenting, make_engine, span

from voiceauth.decision.policy import Policy
from voiceauth.errors import IntegrityError, NotFoundError
from voiceauth.models.locate import default_model_directory
from voiceauth.scoring.calibration import Calibration
from voiceauth.scoring.condition import Condition
from voiceauth.scoring.tables import loads
from voiceauth.types import AudioFormat, Bandwidth, CallId, Decision, Encoding, LedgerEntry, Reason
from voiceauth.usecases.claim import Claim
from voiceauth.usecases.engine import Engine
from voiceauth.usecases.enrol_subject import EnrolCall, EnrolmentRequest
from voiceauth.usecases.explain_verdict import explain, is_about
from voiceauth.usecases.verify_call import VerifyCall

MULAW = AudioFormat(Encoding.MULAW)
ANNA, STRANGER = 7, 8


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """Return an engine in which anna is enrolled."""
    built = make_engine(tmp_path)
    subject = consenting(built, "anna")
    call = EnrolCall(built, EnrolmentRequest(CallId("enrol"), TENANT, subject, MULAW))
    call.load()
    for _ in range(3):
        call.weigh(span(ANNA), built.embedder.embed(span(ANNA).samples))
    call.conclude()
    yield built
    built.vault.close()


def verified(engine: Engine, *spans: tuple[int, float], name: str = "anna", **end: Any) -> None:
    """Run a whole call."""
    call = VerifyCall(engine, Claim(CallId("call-1"), TENANT, name, MULAW))  # type: ignore[arg-type]
    call.load()
    for voice, seconds in spans:
        call.weigh(span(voice, seconds), engine.embedder.embed(span(voice).samples))
        if call.decided:
            break
    call.conclude(**end)


def last(engine: Engine) -> LedgerEntry:
    """Return the newest ledger entry."""
    return engine.vault.ledger()[-1]


def changed(entry: LedgerEntry, **fields: object) -> LedgerEntry:
    """Return an entry with another body."""
    return replace(entry, body=json.dumps({**json.loads(entry.body), **fields}))


@pytest.mark.parametrize(
    ("spans", "name", "end", "decision"),
    [
        (((ANNA, 3.0),), "anna", {}, Decision.ACCEPT),
        (((STRANGER, 3.0),), "anna", {}, Decision.REJECT),
        (((ANNA, 1.0),), "anna", {}, Decision.INCONCLUSIVE),
        ((), "anna", {}, Decision.INCONCLUSIVE),
        (((ANNA, 3.0),), "anna", {"fault": True}, Decision.STEP_UP),
        (((ANNA, 3.0), (ANNA, 3.0)), "unknown", {}, Decision.REJECT),
    ],
)
def test_every_verdict_follows_from_its_record(
    engine: Engine, spans: tuple[tuple[int, float], ...], name: str, end: Any, decision: Decision
) -> None:
    """Whatever was decided is derived again from nothing but the ledger entry."""
    verified(engine, *spans, name=name, **end)

    found = explain(last(engine))

    assert found.recorded is found.derived is decision
    assert found.agrees
    assert found.missing == ()
    assert found.record_id == last(engine).sequence


def test_a_policy_that_wants_another_factor_is_in_the_record(engine: Engine) -> None:
    """The policy of the time decides, not today's of the same name."""
    strict = {"standard": Policy("standard", accept_on_voice_alone=False)}
    verified(replace(engine, policies=strict), (ANNA, 3.0))

    found = explain(last(engine))

    assert found.derived is Decision.STEP_UP
    assert found.reasons[0] is Reason.VOICE_NOT_ACCEPTABLE_ALONE
    assert found.agrees


@pytest.mark.parametrize(
    "fields",
    [{"decision": "accept"}, {"reasons": []}, {"policy_terms": None}, {"looks": []}],
)
def test_a_verdict_that_does_not_follow_is_told(engine: Engine, fields: dict[str, Any]) -> None:
    """A record whose verdict is not what its looks lead to never passes for explained."""
    verified(engine, (STRANGER, 3.0))
    if fields.get("policy_terms", 0) is None:
        terms = json.loads(last(engine).body)["policy_terms"]
        fields = {"policy_terms": {**terms, "target_false_non_match_rate": 1e-9}}

    found = explain(changed(last(engine), **fields))

    assert not found.agrees


def test_a_challenge_that_was_not_met_is_derived(engine: Engine) -> None:
    """An acceptance that a challenge held back is STEP_UP in the derivation, too."""
    verified(engine, (ANNA, 3.0))
    failed = {"challenge": "c", "outcome": "failed", "cause": "wrong_content", "attempt": 1}

    asked = explain(changed(last(engine), challenge_asked=True))
    missed = explain(changed(last(engine), challenge_asked=True, challenge=failed))

    assert asked.reasons[0] is Reason.CHALLENGE_UNANSWERED
    assert missed.derived is Decision.STEP_UP


def test_an_older_record_is_judged_by_the_terms_of_its_time(engine: Engine) -> None:
    """Before there was a least length for a voice alone, a short one was accepted, and that holds.

    The same record under the term of today would not have led to it.
    """
    verified(engine, (ANNA, 3.0), (ANNA, 1.0))
    entry = last(engine)
    looks = json.loads(entry.body)["looks"]
    clear = {"state": "live", "llr": 1.0, "false_accept_rate": 0.2, "false_reject_rate": 0.9}
    for look in looks:
        look["liveness"]["synthetic"] = clear
    terms = json.loads(entry.body)["policy_terms"]
    older = {name: value for name, value in terms.items() if name != "synthetic_seconds"}

    then = explain(changed(entry, looks=looks, policy_terms=older))
    now = explain(changed(entry, looks=looks, policy_terms=older | {"synthetic_seconds": 6.0}))

    assert then.agrees
    assert then.recorded is Decision.ACCEPT
    assert not now.agrees


def test_an_older_record_says_what_it_lacks(engine: Engine) -> None:
    """A record without its looks cannot be derived, and is not said to agree."""
    verified(engine, (ANNA, 3.0))
    body = json.loads(last(engine).body)
    del body["looks"]

    found = explain(replace(last(engine), body=json.dumps(body)))

    assert found.missing == ("looks",)
    assert found.derived is None
    assert not found.agrees


@pytest.mark.parametrize(
    "fields",
    [
        {"decision": "maybe"},
        {"looks": [{}]},
        {"standing": "?"},
        {"policy_terms": {}},
        {"looks": None},
    ],
)
def test_a_malformed_record_is_damage(engine: Engine, fields: dict[str, Any]) -> None:
    """What the engine cannot have written is an error, not an explanation."""
    verified(engine, (ANNA, 3.0))

    with pytest.raises(IntegrityError):
        explain(changed(last(engine), **fields))


def test_looks_after_a_decision_are_damage(engine: Engine) -> None:
    """A record with more looks than the state machine takes was not written by it."""
    verified(engine, (ANNA, 3.0))
    looks = json.loads(last(engine).body)["looks"]

    with pytest.raises(IntegrityError):
        explain(changed(last(engine), looks=looks * 2))


def test_other_entries_are_not_explained(engine: Engine) -> None:
    """Only verdicts are."""
    with pytest.raises(NotFoundError):
        explain(engine.vault.ledger()[0])


def test_the_verdicts_of_one_call_are_picked(engine: Engine) -> None:
    """By tenant and call, and nothing that merely mentions the same letters."""
    verified(engine, (ANNA, 3.0))
    entry, name = last(engine), engine.pseudonym(TENANT, "call-1")

    assert is_about(entry, TENANT, name)
    assert not is_about(entry, "shop", name)
    assert not is_about(entry, TENANT, "other")
    assert not is_about(changed(entry, call="x", note=name), TENANT, name)
    assert not is_about(replace(entry, event="verify.abandoned"), TENANT, name)


@pytest.fixture(scope="module")
def tables() -> Calibration:
    """The calibration of the packaged model."""
    directory = default_model_directory()
    manifest = json.loads((directory / "manifest.json").read_text("utf-8"))
    entry = next(one for one in manifest["models"] if one["role"] == "speaker")
    return loads((directory / entry["calibration"]["file"]).read_text("utf-8"))


def calibrated(entry: LedgerEntry, tables: Calibration) -> LedgerEntry:
    """Return a record whose one look was calibrated with the given tables."""
    score = tables.score(0.7, Condition(Bandwidth.NARROWBAND, 6.0, 20.0, 20.0))
    look = json.loads(entry.body)["looks"][0]
    told = {
        "raw": score.raw,
        "llr": score.llr,
        "false_match_rate": score.false_match_rate,
        "false_non_match_rate": score.false_non_match_rate,
    }
    look |= {"net_seconds": 6.0, "bandwidth": "narrowband", "snr_db": 20.0, "score": told}
    fields = {"calibration": tables.version, "model": tables.model, "enrolled_seconds": 20.0}
    return changed(entry, looks=[look], **fields)


def test_rates_are_computed_again_where_the_calibration_is_at_hand(
    engine: Engine, tables: Calibration
) -> None:
    """The same tables give the same rates; with other tables nothing is said."""
    verified(engine, (ANNA, 3.0))
    entry = calibrated(last(engine), tables)

    assert explain(entry, tables).rates_agree is True
    assert explain(entry).rates_agree is None
    assert explain(changed(entry, calibration="other"), tables).rates_agree is None
    assert explain(changed(entry, model="other"), tables).rates_agree is None


@pytest.mark.parametrize("field", ["llr", "false_match_rate", "false_non_match_rate"])
@pytest.mark.parametrize("value", [None, 1e-5])
def test_a_rate_that_does_not_follow_from_its_raw_score_is_told(
    engine: Engine, tables: Calibration, field: str, value: float | None
) -> None:
    """A changed rate shows, even one that was set to nothing."""
    verified(engine, (ANNA, 3.0))
    entry = calibrated(last(engine), tables)
    look = json.loads(entry.body)["looks"][0]
    look["score"][field] = value

    assert explain(changed(entry, looks=[look]), tables).rates_agree is False
