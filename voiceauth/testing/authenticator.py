# SPDX-License-Identifier: Apache-2.0
"""An authenticator app for tests and the demo: reads a provisioning address, shows codes."""

from datetime import datetime

import pyotp


class Authenticator:
    """What a caller holds in the other hand.

    Args:
        provisioning_uri: as ``EnrolFactor`` returns it.
    """

    def __init__(self, provisioning_uri: str) -> None:
        self._totp = pyotp.parse_uri(provisioning_uri)

    def code(self, at: datetime) -> str:
        """Return the code that is shown at a time."""
        return str(pyotp.TOTP(self._totp.secret).at(at))
