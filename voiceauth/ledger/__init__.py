# SPDX-License-Identifier: Apache-2.0
"""The audit chain: every entry carries the hash of the one before it. Pure: no files, no SQL.

Public:

* ``chain.next_entry(previous, ...)``: make the next link.
* ``chain.verify(entries, expected=...)``: walk the chain; ``ChainBrokenError`` names the first bad
  entry.
* ``chain.Head``: sequence number and hash of a chain's end.
* ``anchor.encode`` and ``anchor.decode``: a keyed copy of the head, kept outside the database.
* ``merkle``: RFC 6962 roots, inclusion and consistency proofs over the entries' hashes.
* ``checkpoint.signed`` and ``checkpoint.opened``: Ed25519-signed statements of size and root.
* ``audit.audit(entries, known)``: the chain against anchor, checkpoints and a copy of its hashes.
* ``body.canonical_json``: the one text form of an event's body.
* ``pseudonym.pseudonym``: the keyed hash that stands for an identifier.

Rules:

* A chain alone shows changed, dropped, swapped and inserted entries. A cut-off tail shows only
  against an expected head; whoever can rewrite database, anchor and key file can rewrite history.
  Checkpoints and hashes in a second place, out of reach of this machine, are the remedy.
* Bodies hold pseudonyms, numbers and stable names; never identifiers, audio or embeddings.
"""
