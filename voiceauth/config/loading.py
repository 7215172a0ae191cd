# SPDX-License-Identifier: Apache-2.0
"""Reading the settings from a file and the environment."""

import os
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, TomlConfigSettingsSource

from voiceauth.config.settings import Settings
from voiceauth.errors import SettingsError


def load(path: Path | None, *, environment: bool = True) -> Settings:
    """Read the settings.

    Args:
        path: a TOML file, or None for the defaults.
        environment: whether ``VOICEAUTH_*`` variables override the file.

    Returns:
        Checked, frozen settings.

    Raises:
        SettingsError: the file is missing, is not TOML, has an unknown key or a bad value; the
            message names the key.
    """
    if path is not None and not path.is_file():
        raise SettingsError(f"There is no settings file {path}.")

    class _Loaded(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            del dotenv_settings, file_secret_settings
            sources: list[PydanticBaseSettingsSource] = [init_settings]
            if environment:
                _refuse_unknown_variables()
                sources.append(env_settings)
            if path is not None:
                sources.append(TomlConfigSettingsSource(settings_cls, toml_file=path))
            return tuple(sources)

    try:
        return Settings.model_construct(**dict(_Loaded()))
    except ValidationError as error:
        raise SettingsError(f"Settings: {_first_problem(error)}.") from error
    except ValueError as error:  # TOML syntax, malformed JSON in a variable
        raise SettingsError(f"Settings cannot be read: {error}.") from error


def _refuse_unknown_variables() -> None:
    known = {f"VOICEAUTH_{name}".upper() for name in Settings.model_fields}
    for variable in os.environ:
        if variable.startswith("VOICEAUTH_") and variable.split("__")[0].upper() not in known:
            raise SettingsError(f"Settings: unknown environment variable {variable}.")


def _first_problem(error: ValidationError) -> str:
    problem: dict[str, Any] = dict(error.errors()[0])
    place = ".".join(str(part) for part in problem["loc"]) or "settings"
    return f"{place}: {problem['msg']}"
