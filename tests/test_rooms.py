"""The rooms of the package: nothing downstream is imported upstream."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "tinybench"
# Upstream first: each room, or module of one, may import those above it.
ROOMS = (
    "__version__", "errors", "words", "metrics", "validation", "libraries", "runtime", "models", "recipe",
    "configuration", "formats", "data", "model_file", "runs", "inference", "training", "profiling", "evaluation",
    "export", "stats.intervals", "results", "stats", "figures", "report", "sweep", "demo", "cli",
)  # fmt: skip
# What they may not import though it is above them: networks see no recipe, and what reads results runs no network.
RUN_NETWORKS = {"models", "model_file", "inference", "training", "profiling", "evaluation", "export"}
READ_RESULTS = ("stats.intervals", "results", "stats", "figures", "report")
FORBIDDEN = {"models": {"recipe"}} | dict.fromkeys(READ_RESULTS, RUN_NETWORKS)


def room_of(module):
    """The room that a module is in, by its name without `tinybench.`; the narrowest that the table has."""
    return max((room for room in ROOMS if f"{module}.".startswith(f"{room}.")), key=len, default=module)


def imports(tree):
    """The names below tinybench that a module imports, also within functions, with their lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "names are imported by their whole path"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            package, _, module = name.partition(".")
            if package == "tinybench" and module:
                yield node.lineno, module


def test_nothing_downstream_is_imported_upstream():
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        here = room_of(".".join(path.relative_to(PACKAGE).with_suffix("").parts))
        for line, module in imports(ast.parse(path.read_text(encoding="utf-8"))):
            there = room_of(module)
            assert {here, there} <= set(ROOMS), f"{path}:{line}: {here} or {there} is not in the table of rooms"
            if ROOMS.index(there) > ROOMS.index(here) or there in FORBIDDEN.get(here, ()):
                wrong.append(f"{path.relative_to(PACKAGE)}:{line}: {here} imports {there}")
    assert wrong == []
