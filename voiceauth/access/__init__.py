# SPDX-License-Identifier: Apache-2.0
"""Who may do what: principals, roles, the table of RPCs. No gRPC, and no files of its own.

Public:

* ``roles``: the roles and what each may do, as one table.
* ``rpcs``: every RPC with its permission, deadline, size and audit event, as one table.
* ``principal.Principal``: who speaks, as established by a certificate, a token or the machine.
* ``rules``: the checks, pure; each raises.
* ``certificates``, ``tokens``, ``keysets``: what a peer shows, checked.
* ``issuing``: a certificate authority for trying out.
* ``masking``: identifiers made unreadable, for people and for logs.
* ``denials``: how many refusals of one principal are recorded.

Rules:

* What is not granted is refused; an RPC without a row is not served.
* A credential that was shown and does not hold is a refusal, never a fall back to a weaker one.
* Who was refused learns only that; the reason goes to ledger and log.

It knows ``cryptography`` (X.509) and ``jwt``: checking who somebody is has its own keys, which are
never those of the record, so the ``keys`` room stays free of both.
"""
