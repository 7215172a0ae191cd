# SPDX-License-Identifier: Apache-2.0
"""voiceauth: a self-hosted voice-biometric engine for contact centres.

The engine turns a live call into calibrated evidence for or against a claimed identity.
It is evidence beside other factors, never an authenticator on its own.
"""

__version__ = "0.1.0"
