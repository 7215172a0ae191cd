# SPDX-License-Identifier: Apache-2.0
"""Names of the metadata that travels beside the messages."""

ERROR_CODE = "voiceauth-error-code"
"""Trailing: the stable ``code`` of the EngineError behind a failed call."""
REQUEST_ID = "voiceauth-request-id"
"""Trailing, and from a caller that has one of its own also leading: stands in the server's log."""
