"""The import rules of docs/architecture.md, as a program: an AST walk over every import, function-local ones too."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# The longest prefix that matches a module decides what of ours it may import.
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "schemas": ("schemas",),
    "consent": ("consent", "schemas"),
    "consent.log": ("consent.log",),
    "connectors": ("connectors", "schemas"),
    "connectors.sandbox": ("connectors.sandbox", "connectors.sm2", "schemas.identifiers"),
    "gateway": ("gateway", "consent", "connectors", "schemas"),
    "benchmarks": ("benchmarks", "gateway", "consent", "connectors", "schemas"),
}
OURS = ("schemas", "consent", "connectors", "gateway", "tests", "benchmarks")
# Stand-alone: runs on a machine that has only Python and `cryptography`.
STAND_ALONE = {
    f"consent.log.{name}": {"cryptography"}
    for name in ("verify", "bundle", "chain", "page", "jws", "signatures", "stamps")
}


def under(module: str, prefix: str) -> bool:
    return module == prefix or module.startswith(prefix + ".")


def imports(source: str, module: str, package: bool) -> set[str]:
    """Every module that ``source`` imports anywhere, as absolute dotted names (`from a import b` gives a.b)."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = module.split(".") if package else module.split(".")[:-1]
            start = ".".join(base[: len(base) - node.level + 1]) + "." if node.level else ""
            found |= {f"{start}{node.module or ''}.{alias.name}".replace("..", ".") for alias in node.names}
    return found


def modules() -> dict[str, Path]:
    paths = (p for top in OURS if top != "tests" for p in sorted((ROOT / top).rglob("*.py")))
    return {".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p for p in paths}


def breaches(module: str, source: str, package: bool = False) -> list[str]:
    rule = max((prefix for prefix in MAY_IMPORT if under(module, prefix)), key=len)
    bad = []
    for name in sorted(imports(source, module, package)):
        if name.split(".")[0] in OURS:
            if not any(under(name, allowed) for allowed in MAY_IMPORT[rule]):
                bad.append(f"{module} imports {name}")
        elif module in STAND_ALONE and name.split(".")[0] not in STAND_ALONE[module] | set(sys.stdlib_module_names):
            bad.append(f"{module} imports {name} and must stand alone")
    return bad


def cycles(graph: dict[str, set[str]]) -> list[str]:
    done: set[str] = set()
    found: list[str] = []

    def visit(node: str, path: tuple[str, ...]) -> None:
        if node in path:
            found.append(" -> ".join([*path[path.index(node) :], node]))
            return
        if node not in done:
            for target in sorted(graph[node]):
                visit(target, (*path, node))
            done.add(node)

    for node in sorted(graph):
        visit(node, ())
    return found


def import_graph(sources: dict[str, tuple[str, bool]]) -> dict[str, set[str]]:
    graph: dict[str, set[str]] = {}
    for module, (source, package) in sources.items():
        targets = imports(source, module, package)
        resolved = {n if n in sources else n.rpartition(".")[0] for n in targets}
        # A package's __init__ may be named by its own children without being a cycle.
        graph[module] = {t for t in resolved if t in sources and not under(module, t)}
    return graph


def test_every_module_imports_only_what_its_layer_allows() -> None:
    found = [
        b
        for module, path in modules().items()
        for b in breaches(module, path.read_text("utf-8"), path.name == "__init__.py")
    ]
    assert found == []


def test_no_import_goes_round_in_a_cycle() -> None:
    sources = {m: (p.read_text("utf-8"), p.name == "__init__.py") for m, p in modules().items()}
    assert cycles(import_graph(sources)) == []


@pytest.mark.parametrize(
    ("module", "planted"),
    [
        ("schemas.errors", "import consent.policy"),
        ("schemas.errors", "from connectors import base"),
        ("consent.policy", "from connectors.base import Query"),
        ("consent.policy", "def late():\n    import gateway.app"),
        ("consent.log.verify", "from schemas.errors import XinqiaoError"),
        ("consent.log.verify", "import orjson"),
        ("connectors.base", "from consent import policy"),
        ("connectors.base", "from gateway.settings import Settings"),
        ("connectors.sandbox.server", "from connectors.signing import tif"),
        ("connectors.sandbox.server", "from ..signing import tif"),
        ("gateway.app", "from tests import conftest"),
    ],
)
def test_a_planted_breach_of_each_rule_is_caught(module: str, planted: str) -> None:
    assert len(breaches(module, planted)) == 1


def test_a_planted_cycle_is_caught_also_through_a_function_local_import() -> None:
    sources = {
        "schemas.a": ("from schemas.b import x", False),
        "schemas.b": ("def late():\n    from schemas import a", False),
    }
    assert cycles(import_graph(sources)) == ["schemas.a -> schemas.b -> schemas.a"]
