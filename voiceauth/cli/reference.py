# SPDX-License-Identifier: Apache-2.0
"""The configuration reference, written from the settings themselves so that it cannot go stale."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from voiceauth.config import (
    PolicySettings,
    PrincipalSettings,
    RetentionRuleSettings,
    Settings,
    SinkSettings,
    default_data_directory,
)
from voiceauth.config.retention import built_in_rules

_INTRODUCTION = """\
# Configuration reference

<!-- Written by `make docs` from voiceauth/config/; do not edit. -->

Every setting has a default: `voiceauth serve` works with no file at all.
A file is given with `voiceauth --config FILE …` and is TOML.
Environment variables override the file, as in `VOICEAUTH_SERVER__PORT=50443` for `server.port`.
An unknown key, a wrong type or a value out of bounds refuses to start.
Secrets never stand in the settings, only their locations.
`voiceauth config show` prints the settings in effect.
"""
_POLICIES = """\
A policy is stated in error rates and seconds; no score threshold appears anywhere.
A file may change a built-in policy or add others, for example `[policies.payments]`.
"""
_WORDS = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}


def reference() -> str:
    """Write the whole reference as Markdown."""
    return "\n".join([_INTRODUCTION, *_chapters()])


def _chapters() -> Iterator[str]:
    yield "## Top level\n"
    yield _table({"default_policy": Settings.model_fields["default_policy"]})
    for name, field in Settings.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield f"## [{name}]\n"
            yield f"{_summary(kind)}\n"
            yield _table(kind.model_fields)
        if name == "access":
            yield "## [access.principals.NAME]\n"
            yield f"{_summary(PrincipalSettings)}\n"
            yield _table(PrincipalSettings.model_fields)
        if name == "retention":
            yield "## [retention.rules.NAME]\n"
            yield f"{_summary(RetentionRuleSettings)}\n"
            yield _table(RetentionRuleSettings.model_fields)
            yield "Built in:\n"
            yield "\n".join(_built_in_rules()) + "\n"
        if name == "alerts":
            yield "## [alerts.sinks.NAME]\n"
            yield f"{_summary(SinkSettings)}\n"
            yield _table(SinkSettings.model_fields)
    yield "## [policies.NAME]\n"
    yield _POLICIES
    yield _table(PolicySettings.model_fields)
    yield "Built in, where they differ from these defaults:\n"
    yield "\n".join(_built_in()) + "\n"


def _built_in() -> Iterator[str]:
    default = PolicySettings().model_dump()
    for name, policy in Settings.model_construct().policies.items():
        given = {key: one for key, one in policy.model_dump().items() if one != default[key]}
        told = ", ".join(f"`{key} = {_toml(one)}`" for key, one in given.items())
        yield f"* `{name}`: {told or 'the defaults'}"


def _built_in_rules() -> Iterator[str]:
    for name, rule in built_in_rules().items():
        given = rule.model_dump(exclude_defaults=True)
        told = ", ".join(f"`{key} = {_toml(one)}`" for key, one in given.items())
        yield f"* `{name}`: {told}"


def _summary(kind: type[BaseModel]) -> str:
    return (kind.__doc__ or "").strip().splitlines()[0]


def _table(fields: dict[str, FieldInfo]) -> str:
    rows = ["| setting | default | bounds | meaning |", "|---|---|---|---|"]
    for name, field in fields.items():
        default = f"`{_default(field)}`"
        rows.append(f"| `{name}` | {default} | {_bounds(field)} | {field.description} |")
    return "\n".join(rows) + "\n"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    if field.default_factory is default_data_directory:
        # Whose home it is differs from reader to reader.
        return "~/.local/share/voiceauth"
    if field.default_factory is dict:
        return "none"
    if field.default_factory is not None:
        return _toml(field.get_default(call_default_factory=True, validated_data={}))
    return "none" if field.default is None else _toml(field.default)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, BaseModel):
        value = value.model_dump()
    if isinstance(value, dict):
        given = {key: one for key, one in value.items() if one is not None}
        return f"{{ {', '.join(f'{key} = {_toml(one)}' for key, one in given.items())} }}"
    if isinstance(value, tuple | frozenset):
        return f"[{', '.join(sorted(map(_toml, value)))}]"
    return str(value)


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)


def _bounds(field: FieldInfo) -> str:
    told = []
    for rule in field.metadata:
        told += [
            f"{words} {_number(getattr(rule, name))}"
            for name, words in _WORDS.items()
            if getattr(rule, name, None) is not None
        ]
        if getattr(rule, "min_length", None) is not None:
            told.append("not empty")
    choices = getattr(field.annotation, "__args__", ())
    if choices and all(isinstance(one, str) for one in choices):
        told.append(", ".join(f'"{one}"' for one in choices))
    return ", ".join(told)


def masked(settings: Settings) -> dict[str, Any]:
    """Return the settings in effect; they hold no secrets, only where these lie."""
    told: dict[str, Any] = settings.model_dump(mode="json")
    told["storage"]["key_file"] = str(Path(settings.storage.keys))
    return told
