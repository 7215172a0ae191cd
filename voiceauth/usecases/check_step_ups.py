# SPDX-License-Identifier: Apache-2.0
"""Explain the step-ups of a call from the files of this machine, after auditing the ledger."""

from voiceauth.config import Settings
from voiceauth.errors import NotFoundError
from voiceauth.ledger.pseudonym import pseudonym
from voiceauth.types import CallId, TenantId
from voiceauth.usecases.check_ledger import audit, opened_desk
from voiceauth.usecases.explain_step_up import StepUpExplanation, explain_step_up, is_about
from voiceauth.usecases.explain_verdict import EVENT
from voiceauth.usecases.keep_checkpoints import ledger_pages


def explain_step_ups(
    settings: Settings, tenant: TenantId, call: CallId
) -> tuple[StepUpExplanation, ...]:
    """Audit the ledger, then derive every outcome of a call's step-ups again, oldest first.

    Raises:
        ChainBrokenError: the ledger does not hold, so nothing in it is explained.
        NotFoundError: there is no vault, or no outcome about this call.
    """
    with opened_desk(settings) as (vault, desk, keys):
        audit(vault, desk, settings.ledger.export_dir)
        name = pseudonym(keys.derive("ledger-pseudonym"), tenant, call)
        entries = [entry for page in ledger_pages(vault, 0) for entry in page]
    verdicts = {entry.sequence: entry for entry in entries if entry.event == EVENT}
    found = [entry for entry in entries if is_about(entry, tenant, name)]
    if not found:
        raise NotFoundError("The ledger has no outcome of a step-up of this call.")
    told = [explain_step_up(entry) for entry in found]
    return tuple(
        one
        if one.verdict_record not in verdicts
        else explain_step_up(entry, verdicts[one.verdict_record])
        for one, entry in zip(told, found, strict=True)
    )
