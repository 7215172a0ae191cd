# SPDX-License-Identifier: Apache-2.0
"""Where the models lie when nobody says: in the package, or in the checkout beside it."""

from importlib.resources import files
from pathlib import Path

from voiceauth.errors import SettingsError
from voiceauth.models.manifest import MANIFEST_FILE


def default_model_directory() -> Path:
    """Return the packaged models, else those of the checkout.

    Raises:
        SettingsError: neither has a manifest.
    """
    package = Path(str(files("voiceauth")))
    for directory in (package / "_models", package.parent / "models"):
        if (directory / MANIFEST_FILE).is_file():
            return directory
    raise SettingsError(
        "This installation has no models; set models.directory to a folder with a manifest.json."
    )
