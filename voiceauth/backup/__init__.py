# SPDX-License-Identifier: Apache-2.0
"""Backups as files: what is written, how it is sealed and signed, and which are kept.

Public:

* ``archive.write_archive`` and ``archive.open_archive``: one file, encrypted and signed.
* ``manifest.Manifest``: what an archive says about itself.
* ``journal.ErasureJournal``: what was erased, beside the backups, so that it stays erased.
* ``shelf``: names of archives, and which of them are kept.

Rules:

* Nothing of an archive is used before its signature was checked, and no file of it before its hash.
* No key is in an archive. It is sealed under a key that the vault does not know.
* What was erased after a backup was made is erased again when it is restored.

It knows nothing of the vault's tables and decides nothing about people.
"""
