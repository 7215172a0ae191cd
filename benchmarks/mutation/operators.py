# SPDX-License-Identifier: Apache-2.0
r"""What a mutant is: one small change of a syntax tree, with a name that lines do not move.

Rules:

* Everything that decides is changed: comparisons, conditions, arithmetic, literals, elements of
  tables, arguments, statements that raise or call, and what is returned. Tables at module level
  count like code: they hold who may do what.
* What only people read is left alone: docstrings, annotations, and the sentences of errors, which
  stand as first argument in a ``raise``.
* Decorators are left alone: ``frozen`` and ``slots`` guard against mistakes of programmers.

Example:
    >>> [one.name for one in mutants("def f(a):\\n    return a < 3\\n")]
    ['f: return a < 3 -> return None', 'f: a < 3 -> a <= 3', 'f: a < 3 -> a >= 3', 'f: 3 -> 4']
"""

import ast
import copy
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
_TWINS = {"max": "min", "min": "max", "all": "any", "any": "all"}
_SHOWN = 90


@dataclass(frozen=True, slots=True)
class Mutant:
    """One changed module.

    Attributes:
        name: function, old and new text; a repeated one has a number.
        line: of the change, for people.
        tree: of the whole module, ready to compile.
    """

    name: str
    line: int
    tree: ast.Module


@dataclass(frozen=True, slots=True)
class _Change:
    """One place, what stands there instead, and what is missing then, if that is all."""

    place: ast.AST
    new: ast.AST
    gone: ast.AST | None
    scope: str

    @property
    def text(self) -> str:
        """What people and the list of equivalent mutants call it."""
        scope = self.scope or "module"
        if self.gone is not None:
            return f"{scope}: {_text(self.place)} without {_text(self.gone)}"
        return f"{scope}: {_text(self.place)} -> {_text(self.new)}"


def mutants(source: str) -> Iterator[Mutant]:
    """Yield every mutant of a module."""
    tree = ast.parse(source)
    seen: Counter[str] = Counter()
    for change in _changes(tree, ""):
        name = change.text
        seen[name] += 1
        number = f" #{seen[name]}" if seen[name] > 1 else ""
        whole = copy.deepcopy(tree, {id(change.place): change.place})
        _Replacing(change.place, change.new).visit(whole)
        line = getattr(change.place, "lineno", 0)
        yield Mutant(name + number, line, ast.fix_missing_locations(whole))


def unchanged(source: str) -> Mutant:
    """Return a module as it is, as a mutant: the control."""
    return Mutant("unchanged", 0, ast.parse(source))


class _Replacing(ast.NodeTransformer):
    """Puts a new node where an old one stands. The old one is known by identity."""

    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self._old = old
        self._new = new

    def visit(self, node: ast.AST) -> ast.AST:
        """Return the node, or what takes its place."""
        if node is self._old:
            return ast.copy_location(self._new, self._old)
        self.generic_visit(node)
        return node


def _changes(node: ast.AST, scope: str) -> Iterator[_Change]:
    """Yield the changes of a node and of all below it that count."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        scope = f"{scope}.{node.name}" if scope else node.name
    for new in _replacements(node):
        yield _Change(node, new, None, scope)
    for new, gone in _shortened(node):
        yield _Change(node, new, gone, scope)
    for child in _children(node):
        yield from _changes(child, scope)


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what lies below a node, without what only people read."""
    if isinstance(node, ast.AnnAssign):
        yield from (node.value,) if node.value is not None else ()
        return
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
        yield from node.exc.keywords  # not the sentence
        yield from (
            one for one in node.exc.args if not isinstance(one, ast.Constant | ast.JoinedStr)
        )
        return
    if isinstance(node, ast.arg):
        return
    for name, value in ast.iter_fields(node):
        if name in ("decorator_list", "returns", "annotation", "ctx", "bases"):
            continue
        for one in value if isinstance(value, list) else (value,):
            if isinstance(one, ast.AST) and not _is_prose(one):
                yield one


def _is_prose(node: ast.AST) -> bool:
    """Say whether a statement is a docstring, or the text below a field."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _replacements(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.expr):
        yield from _expressions(node)
    elif isinstance(node, ast.stmt):
        yield from _statements(node)


def _shortened(node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Yield a node with one element, argument or condition less, and which."""
    lists: Mapping[str, Sequence[ast.AST]]
    if isinstance(node, ast.comprehension):
        lists = {"ifs": node.ifs}
    elif isinstance(node, ast.Call):
        # Without its first argument a call is a plain mistake that any test finds.
        for place, argument in enumerate(node.args[1:], start=1):
            yield _with(node, args=_without(node.args, place)), argument
        lists = {"keywords": node.keywords}
    elif isinstance(node, ast.Tuple | ast.List | ast.Set):
        lists = {"elts": [] if isinstance(getattr(node, "ctx", None), ast.Store) else node.elts}
    elif isinstance(node, ast.Dict):
        for place, value in enumerate(node.values):
            keys, values = _without(node.keys, place), _without(node.values, place)
            yield _with(node, keys=keys, values=values), node.keys[place] or value
        return
    else:
        return
    for name, items in lists.items():
        for place, gone in enumerate(items):
            yield _with(node, **{name: _without(items, place)}), gone


def _expressions(node: ast.expr) -> Iterator[ast.AST]:
    if isinstance(node, ast.Compare):
        for place, operator in enumerate(node.ops):
            for other in _COMPARISONS[type(operator)]:
                yield _with(node, ops=[*node.ops[:place], other(), *node.ops[place + 1 :]])
    elif isinstance(node, ast.Constant):
        yield from _literals(node)
    else:
        yield from _combinations(node)


def _combinations(node: ast.expr) -> Iterator[ast.AST]:
    if isinstance(node, ast.BoolOp):
        yield _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        yield _with(node, op=_ARITHMETIC[type(node.op)]())
    elif isinstance(node, ast.IfExp):
        yield _with(node, body=node.orelse, orelse=node.body)
    elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in _TWINS:
        yield _with(node, func=ast.Name(_TWINS[getattr(node.func, "id", "")], ast.Load()))


def _literals(node: ast.Constant) -> Iterator[ast.AST]:
    value = node.value
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int | float):
        yield ast.Constant(value + 1)
    elif isinstance(value, str):
        yield ast.Constant(value + "X")
    elif isinstance(value, bytes):
        yield ast.Constant(value + b"X")


def _statements(node: ast.stmt) -> Iterator[ast.AST]:
    if isinstance(node, ast.If | ast.While):
        yield _with(node, test=ast.Constant(False))
        if isinstance(node, ast.If):
            yield _with(node, test=ast.Constant(True))
    elif isinstance(node, ast.Return) and node.value is not None and not _is_none(node.value):
        yield ast.Return(ast.Constant(None))
    elif isinstance(node, ast.Raise) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    ):
        yield ast.Pass()
    elif isinstance(node, ast.AugAssign):
        yield ast.Pass()
        if type(node.op) in _ARITHMETIC:
            yield _with(node, op=_ARITHMETIC[type(node.op)]())


def _is_call(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _with(node: ast.AST, **fields: object) -> ast.AST:
    """Return a node like another one, with some fields exchanged."""
    new = copy.copy(node)
    for name, value in fields.items():
        setattr(new, name, value)
    return new


def _without(items: Sequence[ast.AST | None], place: int) -> list[ast.AST | None]:
    return [one for number, one in enumerate(items) if number != place]


def _text(node: ast.AST) -> str:
    """Return the first line of a node's source, of bounded length."""
    if isinstance(node, ast.comprehension):
        node = ast.GeneratorExp(ast.Name("_", ast.Load()), [node])  # it cannot stand alone
    whole = ast.unparse(ast.fix_missing_locations(copy.deepcopy(node)))
    first = whole.splitlines()[0] if whole else ""
    return first if len(first) <= _SHOWN else first[: _SHOWN - 1] + "…"
