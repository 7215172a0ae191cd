# SPDX-License-Identifier: Apache-2.0
"""Rules over the ledger's entries, and the ways out of the house for what they find.

Public:

* ``table.rules``: the shipped rules, with an operator's file laid over them.
* ``evaluate.Evaluator``: takes entries in order and returns alerts; its whole memory can be written
  down and read back.
* ``payload``, ``syslog``, ``webhook``, ``jsonl``: an alert as text, and where to send it.
* ``retry``: when to try again.

Rules:

* What an alert is about is data in ``rules.toml``; this room knows kinds of rules, not attacks.
* The same entries in the same order give the same alerts with the same ids: there is no clock and
  no chance in here, and an entry's own time is the only time.
* An entry may be anybody's invention. Whatever leaves this room is ASCII on one line, made of
  pseudonyms, numbers and the rules' own words; a pseudonym that does not look like one is hashed.
* Memory is bounded: per rule so many keys, per key so many entries.
"""
