# SPDX-License-Identifier: Apache-2.0
"""The rules of consent, without I/O.

Public:

* ``rules.in_force(consent, purpose, now)``: whether a consent permits ``purpose`` now.
* ``rules.objection(subject, purpose, now)``: why a subject's voice may not be used, if so.
* ``rules.check_new_consent(consent, now)``: refuse a malformed or impossible record.
* ``retention.due(subject, rules, jurisdiction, now)``: what may be kept no longer.

Rules:

* No consent, a withdrawn, expired or not yet given one, or one for another purpose permits nothing.
* A withdrawal counts from the moment it is recorded, whatever its date says.
"""
