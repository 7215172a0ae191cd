# SPDX-License-Identifier: Apache-2.0
"""Put small faults into a room, one at a time, and see whether the room's own unit tests find them.

    python benchmarks/mutants.py decision access

Each mutant is one process: a copy of this one, made by ``fork`` after the tests have passed once
and all libraries are loaded, in which the changed module is compiled instead of the file. The test
files that name the module run first; the others only where those found nothing. A mutant that makes
the tests fail, break or hang is found. One that does not is a hole in the tests, unless
``docs/mutation.md`` lists it with the reason why nobody could tell it from the code.

It prints what survives, and exits with 1 for a survivor that is not listed, and for a listed one
that is found or is not there any more.
"""

import argparse
import gc
import os
import re
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

import pytest
from mutation.operators import Mutant, mutants, unchanged

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "mutation.md"
ROOMS: dict[str, tuple[str, ...]] = {
    "decision": ("tests/unit/decision", "tests/property/test_spending.py"),
    "access": ("tests/unit/access", "tests/contract/test_role_table.py"),
}
FRAME = ("voiceauth.errors", "voiceauth.units", "voiceauth.types", "voiceauth.ports")
"""Of the package, all that is not loaded anew for a mutant: it imports no room."""
OPTIONS = ("-q", "-x", "--no-header", "--noconftest", "-p", "no:cacheprovider", "-p", "no:cov")
PATIENCE_SECONDS = 60
PROGRESS = 100
_LISTED = re.compile(r"^\| `(voiceauth/[\w/]+\.py)` \| `` (.+?) `` \|", re.MULTILINE)
_PASSED, _FAILED, _BROKEN = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Survivor:
    """A mutant that no test found."""

    file: str
    name: str
    line: int


class Changed(MetaPathFinder):
    """Finds one module of the package as its mutant."""

    def __init__(self, module: str, file: Path, code: CodeType) -> None:
        self._module = module
        self._file = file
        self._code = code

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the specification of the mutant for its module, nothing for others."""
        if fullname != self._module:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None:
            spec.loader = _Compiled(fullname, str(self._file), self._code)
        return spec


class _Compiled(SourceFileLoader):
    """Loads code that is compiled already."""

    def __init__(self, name: str, path: str, code: CodeType) -> None:
        super().__init__(name, path)
        self._code = code

    def get_code(self, fullname: str) -> CodeType:
        """Return the mutant's code."""
        del fullname
        return self._code


def own_tests(room: str) -> list[Path]:
    """Return the files with the room's own unit tests."""
    found: list[Path] = []
    for name in ROOMS[room]:
        place = ROOT / name
        found += sorted(place.glob("test_*.py")) if place.is_dir() else [place]
    return found


def naming(files: Sequence[Path], module: str) -> list[Path]:
    """Return those of the files that name a module."""
    room, _, name = module.rpartition(".")
    pattern = re.compile(rf"{re.escape(module)}\b|from {re.escape(room)} import [^\n]*\b{name}\b")
    found = [one for one in files if pattern.search(one.read_text(encoding="utf-8"))]
    return sorted(found, key=lambda one: one.stat().st_size)


def run(files: Sequence[Path]) -> int:
    """Run test files in this process, one after the other, up to the first that fails.

    Returns:
        pytest's exit code.
    """
    codes = (int(pytest.main([*OPTIONS, str(one)])) for one in files)
    return next((code for code in codes if code != _PASSED), _PASSED)


def forget() -> None:
    """Have the package, but for its frame, and the tests imported anew; keep all the rest for good.

    What is kept is taken out of the garbage collector's sight: it would visit all of it in each of
    the copies, and so copy it.
    """
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] == "voiceauth":
            kept = name == "voiceauth" or name.startswith(FRAME)
        else:
            kept = not _is_test(Path(getattr(module, "__file__", None) or "/"))
        if not kept:
            del sys.modules[name]
    gc.collect()
    gc.freeze()


def _is_test(file: Path) -> bool:
    """Say whether a module is a test, or helps tests and knows the package."""
    if not file.is_relative_to(ROOT / "tests"):
        return False
    return "voiceauth" in file.read_text(encoding="utf-8")


def outcome(mutant: Mutant, module: str, file: Path, tests: Sequence[Path]) -> int:
    """Run tests on a mutant in a process of its own; a mutant that hangs is ended and broken."""
    child = os.fork()
    if child == 0:
        _be_quiet()
        gc.disable()
        try:
            code = compile(mutant.tree, str(file), "exec")
            sys.meta_path.insert(0, Changed(module, file, code))
            os._exit(run(tests))
        except BaseException:  # noqa: BLE001 - whatever it is, the mutant is not the code
            os._exit(_BROKEN)
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return _BROKEN


def _be_quiet() -> None:
    hole = os.open(os.devnull, os.O_WRONLY)
    os.dup2(hole, 1)
    os.dup2(hole, 2)


def survivors(room: str, only: str) -> Iterator[Survivor | None]:
    """Try every mutant of a room; yield it if it survives, None if it is found."""
    files = own_tests(room)
    for file in sorted((ROOT / "voiceauth" / room).glob("*.py")):
        if only not in file.name:
            continue
        module = f"voiceauth.{room}.{file.stem}"
        first = naming(files, module)
        order = [*first, *(one for one in files if one not in first)]
        source = file.read_text(encoding="utf-8")
        if outcome(unchanged(source), module, file, order) != _PASSED:
            raise RuntimeError(f"{module} does not pass its tests unchanged")
        for mutant in mutants(source):
            if outcome(mutant, module, file, order) == _PASSED:
                yield Survivor(str(file.relative_to(ROOT)), mutant.name, mutant.line)
            else:
                yield None


def listed() -> set[tuple[str, str]]:
    """Return the mutants that the page lists as equivalent."""
    return set(_LISTED.findall(PAGE.read_text(encoding="utf-8"))) if PAGE.exists() else set()


def main() -> int:
    """Try the rooms that are named; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rooms", nargs="*", default=list(ROOMS), choices=list(ROOMS))
    parser.add_argument("--only", default="", help="only files whose name holds this")
    given = parser.parse_args()
    sys.path.insert(0, str(ROOT / "tests" / "support"))
    known, left, tried, begun = listed(), [], 0, time.monotonic()
    for room in given.rooms:
        if run(own_tests(room)) != _PASSED:
            print(f"{room}: its tests do not pass as it is")
            return 1
        forget()
        for one in survivors(room, given.only):
            tried += 1
            if tried % PROGRESS == 0:
                print(f"{tried} mutants tried", file=sys.stderr, flush=True)
            if one is not None:
                left.append(one)
                mark = "listed" if (one.file, one.name) in known else "SURVIVES"
                print(f"{mark}  {one.file}:{one.line}  {one.name}", flush=True)
    found = {(one.file, one.name) for one in left}
    ours = {one for one in known if one[0].split("/")[1] in given.rooms and given.only in one[0]}
    for file, name in sorted(ours - found):
        print(f"NOT EQUIVALENT, or gone  {file}  {name}")
    minutes = (time.monotonic() - begun) / 60
    print(
        f"{tried} mutants, {tried - len(left)} found, {len(found & known)} listed as equivalent, "
        f"{len(found - known)} survive; {minutes:.1f} minutes"
    )
    return 1 if found - known or ours - found else 0


if __name__ == "__main__":
    sys.exit(main())
