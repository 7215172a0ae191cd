# SPDX-License-Identifier: Apache-2.0
"""Keys and authenticated encryption: the only room that knows ``cryptography``.

Public:

* ``canonical.bind(kind, **parts)``: an unambiguous encoding of named parts, for associated data.
* ``envelope.seal`` and ``envelope.open_sealed``: AES-256-GCM with a version byte.
* ``pkcs11.Pkcs11Keyring``: ``ports.ManagedKeys`` on a PKCS#11 token (extra ``hsm``).
* ``secret_file.read_secret``: a passphrase or PIN from a private file.
* ``keyring.FileKeyring``: ``ports.ManagedKeys`` over one key file; ``create``, ``load``,
  ``rotate``, ``retire``.
* ``signing.SigningKey`` and ``signing.check_signature``: Ed25519.

Rules:

* Whatever was changed, moved or opened with another key raises ``TagMismatchError``: nothing
  returns a flag that could be overlooked.
* A key file that others can read is refused.
* Keys and passphrases never stand in settings, logs, error texts or ``repr``.

It does not decide what is encrypted under which key: that is the vault's business.
"""
