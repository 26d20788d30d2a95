"""How many small faults in the arithmetic the tests find: `python -m tests.mutation [--help]`.

A mutant is one function with one fault: another operator, a comparison that is off by its edge, a number one too large, two branches
exchanged. For each of a seeded sample, the tests that reach the function are run, the quickest first, until one fails (the mutant is
killed) or none is left (it survives). What reaches what, and how long it takes, is recorded once, by a run of the tests with `--record`.

Each mutant is tried in a process of its own, forked from one that has collected the tests: the code of the function is
replaced where it stands, so that nothing is written and nothing is imported twice. Constants of modules are not mutated, nor the
`strict` of a `zip`, nor is what `equivalent_mutants.txt` lists, with the reason why no answer changes.

A mutant on which time is up before a test has failed counts as not killed: give more of it with `--seconds`, which are of computing.
"""

from __future__ import annotations

import argparse
import ast
import builtins
import importlib
import json
import os
import random
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final, NamedTuple

import pytest

SOURCE: Final = Path(__file__).parent.parent / "src"
ROOMS: Final = ("core", "blocks", "counting", "estimates", "analysis", "planning")

# ---------------------------------------------------------------------------------------------------------------------
# Mutants
# ---------------------------------------------------------------------------------------------------------------------

_OPERATORS: Final[dict[type, type]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.And: ast.Or,
    ast.Or: ast.And,
}
_FUNCTIONS: Final = {"minimum": "maximum", "maximum": "minimum", "min": "max", "max": "min", "any": "all", "all": "any"}


class Mutant(NamedTuple):
    """One fault: its file below `src`, the function, the line, the expression, what was changed of it, and its place in the function.

    `again`: how many faults of the function before it read alike.
    """

    file: str
    function: str
    line: int
    text: str
    change: str
    place: int
    again: int = 0

    @property
    def key(self) -> str:
        """By what a map of tests knows its function."""
        return f"{self.file} {self.function}"

    @property
    def name(self) -> str:
        """By what a list of equivalent ones knows it, wherever its line moves to; the second that reads alike ends in `, 2`."""
        return f"{self.key}: {self.text}: {self.change}" + (f", {self.again + 1}" if self.again else "")

    def __str__(self) -> str:
        return self.name.replace(" ", f":{self.line} ", 1)


class _Fault(NamedTuple):
    """A change to a node of a tree, made when it is asked for."""

    node: ast.AST
    change: str
    make: Callable[[], None]


def _faults(tree: ast.AST) -> Iterator[_Fault]:
    """Each fault that a function can have, in the order of its text; whether a `zip` minds its lengths is a check of ours."""
    checks = {id(one.value) for one in ast.walk(tree) if isinstance(one, ast.keyword) and one.arg == "strict"}
    for node in ast.walk(tree):
        if id(node) in checks:
            continue
        if isinstance(node, (ast.BinOp, ast.AugAssign, ast.BoolOp)) and type(node.op) in _OPERATORS:
            yield _operator(node, node.op)
        elif isinstance(node, ast.Compare) and len(node.ops) == 1:
            yield _comparison(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
            yield _constant(node)
        elif isinstance(node, ast.IfExp):
            yield _Fault(node, "branches exchanged", lambda node=node: _exchange(node))  # type: ignore[misc]
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            yield _Fault(node, "not dropped", lambda node=node: setattr(node, "op", ast.UAdd()))  # type: ignore[misc]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS:
            yield _call(node.func)


def _operator(node: Any, operator: ast.AST) -> _Fault:
    other = _OPERATORS[type(operator)]
    return _Fault(node, f"{type(operator).__name__} to {other.__name__}", lambda: setattr(node, "op", other()))


def _comparison(node: ast.Compare) -> _Fault:
    other = _OPERATORS[type(node.ops[0])]
    change = f"{type(node.ops[0]).__name__} to {other.__name__}"
    return _Fault(node, change, lambda: setattr(node, "ops", [other()]))


def _constant(node: ast.Constant) -> _Fault:
    value = node.value
    assert isinstance(value, (bool, int, float))
    other = not value if isinstance(value, bool) else value + 1
    return _Fault(node, f"{value} to {other}", lambda: setattr(node, "value", other))


def _exchange(node: ast.IfExp) -> None:
    node.body, node.orelse = node.orelse, node.body


def _call(name: ast.Name) -> _Fault:
    other = _FUNCTIONS[name.id]
    return _Fault(name, f"{name.id} to {other}", lambda: setattr(name, "id", other))


def _functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    """The functions and methods of a module, those inside of others apart."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from ((f"{node.name}.{one.name}", one) for one in node.body if isinstance(one, ast.FunctionDef))


def mutants(file: Path) -> Iterator[Mutant]:
    """All faults of a file."""
    path = str(file.relative_to(SOURCE))
    for name, function in _functions(ast.parse(file.read_text(encoding="utf-8"))):
        body = ast.Module(function.body, [])
        around = {child: node for node in ast.walk(body) for child in ast.iter_child_nodes(node)}
        alike: Counter[tuple[str, str]] = Counter()
        for index, fault in enumerate(_faults(body)):
            # a number says little by itself
            of = around[fault.node] if isinstance(fault.node, ast.Constant) else fault.node
            text = " ".join(ast.unparse(of).split())[:_LONGEST]
            yield Mutant(
                path, name, getattr(fault.node, "lineno", 0), text, fault.change, index, alike[text, fault.change]
            )
            alike[text, fault.change] += 1


_LONGEST: Final = 120
"""Characters of an expression that are shown."""


def files(rooms: Iterable[str]) -> list[Path]:
    """The modules of some rooms."""
    return sorted(file for room in rooms for file in (SOURCE / "tscale" / room).rglob("*.py"))


def equivalent() -> dict[str, str]:
    """Mutants that change no answer, by name, and why: those of `equivalent_mutants.txt`."""
    listed = Path(__file__).with_name("equivalent_mutants.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.rpartition(" # ") for line in listed if line and not line.startswith("#"))
    return {name: reason for name, _, reason in pairs}


def put_in(mutant: Mutant) -> None:
    """Gives the function of a mutant its faulty code, wherever it is referred to."""
    path = SOURCE / mutant.file
    tree = ast.parse(path.read_text(encoding="utf-8"))
    function = dict(_functions(tree))[mutant.function]
    list(_faults(ast.Module(function.body, [])))[mutant.place].make()
    module = module_of(mutant.file)
    code = _code_of(compile(ast.fix_missing_locations(tree), str(path), "exec"), mutant.function.split("."))
    _function_of(module, mutant.function.split(".")).__code__ = code


def module_of(file: str) -> ModuleType:
    """The module of a file; a package is its `__init__.py`, which imported by that name would be a second module."""
    return importlib.import_module(file.removesuffix(".py").removesuffix("/__init__").replace("/", "."))


def _code_of(code: CodeType, names: list[str]) -> CodeType:
    """The code of a function inside of a module's, by its name; of several, the last, as Python has it."""
    found = [one for one in code.co_consts if isinstance(one, CodeType) and one.co_name == names[0]][-1]
    return _code_of(found, names[1:]) if names[1:] else found


def _function_of(holder: Any, names: list[str]) -> FunctionType:
    """The function itself, behind what decorates it."""
    found = vars(holder)[names[0]]
    if names[1:]:
        return _function_of(found, names[1:])
    for wrapper in ("fget", "__func__", "func", "__wrapped__"):
        while not isinstance(found, FunctionType) and hasattr(found, wrapper):
            found = getattr(found, wrapper)
    while hasattr(found, "__wrapped__"):
        found = found.__wrapped__
    assert isinstance(found, FunctionType), f"{names[0]} is no function that can be replaced"
    return found


# ---------------------------------------------------------------------------------------------------------------------
# Which tests reach which functions
# ---------------------------------------------------------------------------------------------------------------------


class Map(NamedTuple):
    """The tests that reach each function, the quickest first, and the seconds that each test takes."""

    reached: dict[str, list[str]]
    seconds: dict[str, float]

    @classmethod
    def of(cls, file: Path) -> Map:
        """The map that was written to a file."""
        return cls(*json.loads(file.read_text(encoding="utf-8")))


class Recorder:
    """A plugin of pytest that writes, for each function, the tests that ran it and the seconds that they took."""

    def __init__(self, file: Path, known: Map) -> None:
        self.file, self.known = file, known
        self.reached: dict[str, list[tuple[float, str]]] = defaultdict(list)
        self.seconds: dict[str, float] = {}
        self.seen: set[str] = set()
        setattr(builtins, _NOTE, self.seen.add)
        for path in files(ROOMS):
            put_notes_in(path)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keeps a few cases of each test that is asked for: enough to say what it reaches, and in a tenth of the time."""
        cases: dict[str, list[pytest.Item]] = defaultdict(list)
        for item in items:
            cases[_without_case(item.nodeid)].append(item)
        dice = random.Random(0)  # noqa: S311 (a sample is no secret)
        items[:] = [one for several in cases.values() for one in dice.sample(several, min(len(several), _CASES))]

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Runs a test, and notes which functions of the rooms that are mutated it called."""
        self.seen.clear()
        started = time.perf_counter()
        yield
        taken = time.perf_counter() - started
        self.seconds[item.nodeid] = round(taken, 4)
        for key in self.seen:
            self.reached[key].append((taken, item.nodeid))

    def pytest_sessionfinish(self) -> None:
        """Writes it down, the quickest test of each function first."""
        kept = {key: [test for _, test in sorted(tests)[:_MOST_TESTS]] for key, tests in self.reached.items()}
        for key, tests in self.known.reached.items():
            kept[key] = list(dict.fromkeys([*kept.get(key, []), *tests]))[:_MOST_TESTS]
        self.file.write_text(json.dumps(Map(kept, self.known.seconds | self.seconds)), encoding="utf-8")


_NOTE: Final = "_tscale_test_reaches"
"""What a function that is recorded calls with its key."""


def put_notes_in(path: Path) -> None:
    """Gives each function of a file a first statement that notes that it was called: it costs a call, where a profile costs many."""
    file, tree = str(path.relative_to(SOURCE)), ast.parse(path.read_text(encoding="utf-8"))
    functions = dict(_functions(tree))
    for name, function in functions.items():
        function.body[:0] = ast.parse(f"{_NOTE}({f'{file} {name}'!r})").body
    code = compile(ast.fix_missing_locations(tree), str(path), "exec")
    module = module_of(file)
    for name in functions:
        _function_of(module, name.split(".")).__code__ = _code_of(code, name.split("."))


_CASES: Final = 8
"""Cases that are kept of a test with many: a mutant that survives them may still be found by the others."""
_MOST_TESTS: Final = 400
"""Tests that are kept of those that reach a function: the quickest."""

# ---------------------------------------------------------------------------------------------------------------------
# Trying them
# ---------------------------------------------------------------------------------------------------------------------


KILLED: Final = "killed"
_ENDS: Final = {0: "survives", -signal.SIGPROF: "out of time", -signal.SIGALRM: "out of time"}
_PLAIN: Final = ("-s", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:terminal", "-W", "ignore")
_WAITS: Final = 20
"""Times the seconds of computing that a mutant may take by the clock."""


class Trials:
    """A plugin of pytest that, of tests which are collected once, runs those of each mutant in a process of its own."""

    def __init__(self, sample: list[Mutant], known: Map, given: argparse.Namespace) -> None:
        self.sample, self.known, self.given = sample, known, given
        self.tally: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        self.items: dict[str, pytest.Item] = {}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keeps the tests by their names."""
        self.items = {item.nodeid: item for item in items}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Tries each mutant, and prints those that survive."""
        ends = time.monotonic() + 60 * self.given.minutes
        for mutant in self.sample:
            if time.monotonic() > ends:
                print("no time is left for the rest")
                break
            came_to = self._outcome(mutant, session)
            self.tally[mutant.file][0] += came_to == KILLED
            self.tally[mutant.file][1] += 1
            if came_to != KILLED:
                print(f"{came_to}: {mutant}", flush=True)
        return True

    def _outcome(self, mutant: Mutant, session: pytest.Session) -> str:
        """What the tests that reach a mutant make of it.

        Killed where one of them fails. Where time is up before one has, nothing is known: it may never end, or be slow.
        """
        own = {name for name in self.items if is_mirrored(mutant.file, name)}
        reached = self.known.reached.get(mutant.key, [])
        if self.given.whole:
            own |= whole(reached, self.items)
        names = ordered(dict.fromkeys([*(test for test in reached if test in self.items), *own]), self.known.seconds)
        if not names:
            return "no test reaches it"
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            os._exit(_tried(mutant, [self.items[name] for name in names], session, self.given.seconds))
        _, status = os.waitpid(child, 0)
        return _ENDS.get(os.waitstatus_to_exitcode(status), KILLED)


def _tried(mutant: Mutant, items: list[pytest.Item], session: pytest.Session, seconds: int) -> int:
    """Runs tests until one fails, with a mutant put in; the exit code says whether one did."""
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.alarm(_WAITS * seconds)
    try:
        put_in(mutant)
        for item, following in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.testsfailed:
                return 1
    except BaseException:  # noqa: BLE001 (a fault may break what runs the tests)
        return 1
    return 0


def ordered(tests: Iterable[str], seconds: Mapping[str, float]) -> list[str]:
    """Tests in the order in which they are tried: the quickest first, where a further case of a test counts as so many times as long.

    A case that was never recorded takes as long as those of its test that were; a test that never was comes first: it is new.
    """
    cases: dict[str, list[float]] = defaultdict(list)
    for test, taken in seconds.items():
        cases[_without_case(test)].append(taken)

    def takes(test: str) -> float:
        known = cases[_without_case(test)]
        return seconds.get(test, sum(known) / max(len(known), 1))

    turns: Counter[str] = Counter()
    found: list[tuple[float, str]] = []
    for test in sorted(tests, key=lambda test: (takes(test), test)):
        turns[_without_case(test)] += 1
        found.append((takes(test) * turns[_without_case(test)], test))
    return [test for _, test in sorted(found)]


def whole(tests: Iterable[str], there: Iterable[str]) -> set[str]:
    """All cases that there are of some tests: a map has a few of each, and one of some tests (`--tests`) may have left out any."""
    named = {_without_case(test) for test in tests}
    return {test for test in there if _without_case(test) in named}


def _without_case(test: str) -> str:
    return test.split("[", maxsplit=1)[0]


def is_mirrored(file: str, test: str) -> bool:
    """Whether a test is in a file that is called after a module: `tests/core/test_cache_by_hand.py`, of `tscale/core/costs/cache.py`.

    Those are tried, each case, whether a map knows them or not: they are written for what the module does.
    """
    room, module, where = Path(file).parts[1], Path(file).stem, Path(test.split("::", maxsplit=1)[0])
    return where.parent.name == room and where.stem.removeprefix("test_").startswith(module)


def _sample(rooms: list[str], number: int, seed: int) -> list[Mutant]:
    known = equivalent()
    every = [mutant for file in files(rooms) for mutant in mutants(file) if mutant.name not in known]
    return random.Random(seed).sample(every, min(number, len(every)))  # noqa: S311 (a sample is no secret)


def main() -> int:
    """Tries a sample of mutants, and prints those that survive and the score of each file."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument(
        "--record", action="store_true", help="run the tests, and record which functions each of them reaches"
    )
    asked.add_argument(
        "--tests", default="", help='of those, the ones with this marker (such as "not slow"; default: all)'
    )
    asked.add_argument("--more", action="store_true", help="with --record, add to what was recorded before")
    asked.add_argument("--files", nargs="*", default=[], help="with --record, of the tests those in these files")
    asked.add_argument("--map", type=Path, default=Path("build/reached.json"), help="where that is written, and read")
    asked.add_argument("--number", type=int, default=100, help="how many mutants are tried (default: 100)")
    asked.add_argument("--seed", type=int, default=0, help="which sample (default: 0)")
    asked.add_argument("--whole", action="store_true", help="try a survivor with all cases of a test, recorded or not")
    asked.add_argument("--seconds", type=int, default=60, help="of the tests of one mutant (default: 60)")
    asked.add_argument("--minutes", type=float, default=60, help="after which no further mutant is tried (default: 60)")
    asked.add_argument(
        "rooms", nargs="*", default=list(ROOMS), help="below src/tscale (default: those of the arithmetic)"
    )
    given = asked.parse_args()
    if given.record:
        given.map.parent.mkdir(exist_ok=True)
        asked_for = ["-m", given.tests] if given.tests else []
        known = Map.of(given.map) if given.more else Map({}, {})
        plugin = Recorder(given.map, known)
        return int(pytest.main(["-q", "-p", "no:xdist", *asked_for, *given.files], plugins=[plugin]))
    return _report(_sample(given.rooms, given.number, given.seed), Map.of(given.map), given)


def _report(sample: list[Mutant], known: Map, given: argparse.Namespace) -> int:
    named = {test.split("::")[0] for mutant in sample for test in known.reached.get(mutant.key, [])}
    own = [str(path.relative_to(SOURCE.parent)) for path in Path(__file__).parent.glob("*/test_*.py")]
    named |= {path for path in own for mutant in sample if is_mirrored(mutant.file, path)}
    there = [file for file in sorted(named) if Path(file).exists()]
    for mutant in sample:
        module_of(mutant.file)
    trials = Trials(sample, known, given)
    pytest.main([*there, *_PLAIN], plugins=[trials])
    for file, (found, tried) in sorted(trials.tally.items()):
        print(f"{file}: {found} of {tried}")
    found, tried = (sum(one[index] for one in trials.tally.values()) for index in (0, 1))
    print(f"{found} of {tried} killed ({found / max(tried, 1):.1%})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
