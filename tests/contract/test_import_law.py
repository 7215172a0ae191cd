# SPDX-License-Identifier: Apache-2.0
"""The law of the house: which room may import which, and where the outside world may be touched.

The table below is docs/adr/0001-the-house.md in code. Imports are read from the source text, so an
import inside a function counts like one at the top.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "voiceauth"

FRAME = frozenset({"errors", "units", "types", "ports"})
PURE = frozenset(
    {"signal", "models", "scoring", "liveness", "decision", "keys", "consent", "factors"}
)
INNER = PURE | {"factors", "vault", "gallery", "ledger", "recognition", "alerts", "backup"}

# Who may import whom, beside itself and the frame. `""` is the package itself (its version).
ALLOWED: dict[str, frozenset[str]] = {
    "": frozenset(),
    "errors": frozenset(),
    "units": frozenset(),
    "types": frozenset(),
    "ports": frozenset(),
    "access": frozenset(),
    "config": frozenset({"access"}),
    "adapters": frozenset(),
    "v1": frozenset(),
    "signal": frozenset(),
    "models": frozenset({"signal"}),
    "scoring": frozenset(),
    "liveness": frozenset(),
    "recognition": frozenset(),
    "decision": frozenset(),
    "factors": frozenset(),
    "keys": frozenset(),
    "consent": frozenset(),
    "alerts": frozenset(),
    "ledger": frozenset({"keys"}),
    "backup": frozenset({"keys"}),
    "gallery": frozenset(),
    "vault": frozenset({"ledger", "keys"}),
    "usecases": INNER | {"", "access", "config", "adapters"},
    "wire": frozenset({"v1"}),
    "client": frozenset({"wire", "v1"}),
    "service": frozenset({"", "access", "usecases", "wire", "config", "v1"}),
    "cli": frozenset(
        {
            "",
            "access",
            "usecases",
            "client",
            "service",
            "config",
            "evaluation",
            "testing",
            "training",
        }
    ),
    "evaluation": frozenset({"signal", "models", "scoring", "liveness", "testing"}),
    "testing": frozenset({"signal", "keys", "scoring"}),
    "training": frozenset({"signal", "models", "scoring", "liveness", "testing", "evaluation"}),
}

# Each of these libraries is known to these rooms only, so that it can be replaced in one place.
LIBRARY_OWNERS: dict[str, frozenset[str]] = {
    "grpc": frozenset({"service", "client", "v1"}),
    "grpc_health": frozenset({"service", "client"}),
    "grpc_reflection": frozenset({"service"}),
    "pocketsphinx": frozenset({"recognition"}),
    "sqlite3": frozenset({"vault"}),
    "faiss": frozenset({"gallery"}),
    "onnxruntime": frozenset({"models", "training"}),
    "onnx": frozenset({"models", "training"}),
    "cryptography": frozenset({"keys", "access"}),
    "jwt": frozenset({"access"}),
    "pyotp": frozenset({"factors", "testing"}),
    "argon2": frozenset({"factors"}),
    "pkcs11": frozenset({"keys"}),
    "torch": frozenset({"training"}),
    "speechbrain": frozenset({"training"}),
    "typer": frozenset({"cli", "training"}),
    "rich": frozenset({"cli", "training"}),
    "structlog": frozenset({"service", "cli"}),
}

# Time and chance enter through ports.Clock and ports.Random; these rooms are outside that rule.
UNBOUND = frozenset({"adapters", "cli", "testing", "training"})
WORLD = frozenset(
    {
        "time.time",
        "time.time_ns",
        "time.monotonic",
        "time.monotonic_ns",
        "time.perf_counter",
        "datetime.now",
        "datetime.utcnow",
        "datetime.today",
        "datetime.datetime.now",
        "datetime.datetime.utcnow",
        "date.today",
        "os.urandom",
        "uuid.uuid1",
        "uuid.uuid4",
        "uuid4",
    }
)
WORLD_MODULES = frozenset({"random", "secrets"})


@dataclass(frozen=True)
class Import:
    """One import statement: where it stands and what it names."""

    room: str
    target: str
    place: str


def room_of(path: Path) -> str:
    """Return the room of a source file: its folder or, at the top level, its own name."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return "" if parts == ("__init__",) else parts[0]


def sources() -> list[Path]:
    """List the hand-written source files."""
    return sorted(path for path in SOURCE.rglob("*.py") if room_of(path) != "v1")


def imports(tree: ast.AST, room: str, file: str) -> Iterator[Import]:
    """Yield every import of a module, absolute names as written."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(room, alias.name, f"{file}:{node.lineno}")
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            for alias in node.names:
                # `from voiceauth import vault` names a room, `from voiceauth.vault import x` too.
                target = f"{base}.{alias.name}" if base == "voiceauth" else base
                yield Import(room, "." * node.level + target, f"{file}:{node.lineno}")


def lazy_imports(tree: ast.AST, room: str, file: str) -> Iterator[Import]:
    """Yield modules that are named as a literal to ``import_module``."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and ast.unparse(node.func).rpartition(".")[2] in {"import_module", "__import__"}
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            yield Import(room, str(node.args[0].value), f"{file}:{node.lineno}")


def forbidden_edges(found: list[Import]) -> list[str]:
    """Return the imports that the tables above do not allow, as readable lines."""
    wrong = []
    for one in found:
        top, _, rest = one.target.partition(".")
        if top == "":
            wrong.append(f"{one.place}: relative import; write the room's full name")
        elif top == "voiceauth":
            target = rest.partition(".")[0]
            target = target if target in ALLOWED or _exists(target) else ""
            allowed = ALLOWED.get(one.room, frozenset()) | FRAME | {one.room}
            if one.room in FRAME:
                allowed = FRAME
            if target not in allowed:
                wrong.append(f"{one.place}: {one.room or 'voiceauth'} may not import {target!r}")
        elif one.room not in LIBRARY_OWNERS.get(top, frozenset({one.room})):
            owners = ", ".join(sorted(LIBRARY_OWNERS[top]))
            wrong.append(f"{one.place}: {top} belongs to {owners}")
    return wrong


def _exists(name: str) -> bool:
    return (SOURCE / name).is_dir() or (SOURCE / f"{name}.py").exists()


def world_calls(tree: ast.AST, file: str) -> list[str]:
    """Return calls that read the clock or draw chance, as readable lines."""
    wrong = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names]
            modules = names if isinstance(node, ast.Import) else [node.module or ""]
            hit = WORLD_MODULES.intersection(modules)
            wrong += [f"{file}:{node.lineno}: imports {name}" for name in sorted(hit)]
            if isinstance(node, ast.ImportFrom) and node.module in {"time", "os", "uuid"}:
                calls = {f"{node.module}.{name}" for name in names} & WORLD
                wrong += [f"{file}:{node.lineno}: imports {name}" for name in sorted(calls)]
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in WORLD or _is_unseeded_numpy(name, node):
                wrong.append(f"{file}:{node.lineno}: calls {name}")
    return wrong


def _is_unseeded_numpy(name: str, call: ast.Call) -> bool:
    drawn = re.fullmatch(r"(?:np|numpy)\.random\.(\w+)", name)
    if drawn is not None and drawn[1] not in {"default_rng", "Generator", "SeedSequence"}:
        return True
    return (drawn is not None or name == "default_rng") and not call.args


def test_every_room_is_in_the_table() -> None:
    """A new room is a decision: it enters the table together with the decision's record."""
    assert {room_of(path) for path in sources()} <= set(ALLOWED)


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_keep_to_the_table(path: Path) -> None:
    """No room imports a room or a library that the house does not allow it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    room, file = room_of(path), str(path.relative_to(SOURCE))
    found = [*imports(tree, room, file), *lazy_imports(tree, room, file)]

    assert forbidden_edges(found) == []


@pytest.mark.parametrize(
    "path",
    [path for path in sources() if room_of(path) not in UNBOUND],
    ids=lambda path: str(path.relative_to(SOURCE)),
)
def test_time_and_chance_come_through_the_ports(path: Path) -> None:
    """No wall clock and no unseeded chance outside the adapters of the ports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))

    assert world_calls(tree, str(path.relative_to(SOURCE))) == []


def test_training_is_only_imported_by_itself_and_lazily_by_the_command_line() -> None:
    """The training extra stays optional: nothing needs torch in order to start."""
    for path in sources():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        room, file = room_of(path), str(path.relative_to(SOURCE))
        eager = [one for one in imports(tree, room, file) if "voiceauth.training" in one.target]
        assert room == "training" or eager == []


def test_the_allowed_edges_have_no_cycle() -> None:
    """The table itself is a partial order: no room can be reached from itself."""

    def reachable(room: str, seen: frozenset[str] = frozenset()) -> frozenset[str]:
        for target in ALLOWED[room] - seen:
            seen |= {target} | reachable(target, seen | {target})
        return seen

    assert [room for room in ALLOWED if room in reachable(room)] == []


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("signal", "from voiceauth.vault import store"),
        ("signal", "from voiceauth import vault"),
        ("decision", "import grpc"),
        ("ledger", "import sqlite3"),
        ("usecases", "import faiss"),
        ("scoring", "from onnxruntime import InferenceSession"),
        ("vault", "from cryptography.hazmat.primitives.ciphers.aead import AESGCM"),
        ("usecases", "from voiceauth.service import server"),
        ("service", "import importlib\nimportlib.import_module('voiceauth.training')"),
        ("models", "from . import manifest"),
        ("types", "import voiceauth.signal.vad"),
    ],
)
def test_a_forbidden_import_is_found(room: str, source: str) -> None:
    """The walk itself is tested: each kind of forbidden import gives a finding."""
    tree = ast.parse(source)
    found = [*imports(tree, room, "x.py"), *lazy_imports(tree, room, "x.py")]

    assert forbidden_edges(found) != []


@pytest.mark.parametrize(
    "source",
    [
        "import time\ntime.time()",
        "from time import monotonic",
        "from datetime import datetime\ndatetime.now(UTC)",
        "import random",
        "from secrets import token_bytes",
        "import os\nos.urandom(16)",
        "import uuid\nuuid.uuid4()",
        "import numpy as np\nnp.random.default_rng()",
        "import numpy as np\nnp.random.normal(0, 1)",
    ],
)
def test_a_call_on_the_world_is_found(source: str) -> None:
    """The walk itself is tested: each kind of clock or chance gives a finding."""
    assert world_calls(ast.parse(source), "x.py") != []


def test_a_seeded_generator_is_allowed() -> None:
    """A generator with a stated seed is no chance."""
    source = "import numpy as np\nnp.random.default_rng(7).normal()"

    assert world_calls(ast.parse(source), "x.py") == []
