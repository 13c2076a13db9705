"""Documentation that fails the build: links, routes, settings and commands all exist, and none is left out."""

import inspect
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import Any, get_args

import pytest
import typer.main
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from gateway.api.openapi import openapi
from gateway.api.routing import Route
from gateway.app import ROUTES
from gateway.cli.main import app
from gateway.settings import Settings
from schemas.profile import State

ROOT = Path(__file__).parent.parent
COMMAND = typer.main.get_command(app)
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
TALKING = [p for p in PAGES if p.parent.name == "docs" or p.name.startswith("README")]


def text(path: str | Path) -> str:
    return (ROOT / path).read_text("utf-8")


def rows(page: str) -> list[list[str]]:
    """The cells of every table row of a page."""
    return [[c.strip() for c in line.strip("|").split("|")] for line in text(page).splitlines() if line.startswith("|")]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def without_code(page: Path) -> str:
    return re.sub(r"```.*?```|`[^`\n]*`", "", text(page), flags=re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_relative_link_leads_to_a_file(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page)):
        if not re.match(r"[a-z]+:|#", target):
            assert (page.parent / target.split("#")[0]).exists(), f"{name(page)} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_path_of_ours_that_a_page_names_exists(page: Path) -> None:
    for path in re.findall(r"`((?:docs|tests|schemas|consent|connectors|gateway|benchmarks)/[\w./*-]+)`", text(page)):
        assert list(ROOT.glob(path.rstrip("/"))), f"{name(page)} names {path}"


def token_of(route: Route) -> str:
    if not route.lender:
        return "no"
    return "yes" if route.roles == ("lender",) else ", ".join(route.roles)


def test_http_md_lists_every_route_and_whether_it_needs_a_token() -> None:
    said = {row[0].strip("`"): row[1] for row in rows("docs/http.md") if re.match(r"`(GET|POST|DELETE) ", row[0])}
    plain = {f"{r.method} {re.sub(r':[^}]+}', '}', r.path)}": token_of(r) for r in ROUTES}
    assert said == plain


def test_http_md_explains_every_state_and_every_member_of_a_request() -> None:
    first = {row[0].strip("`") for row in rows("docs/http.md")}
    assert {state.value for state in State} <= first
    schema = openapi(ROUTES, "0")["components"]["schemas"]["ProfileRequest"]
    assert set(schema["properties"]) - set(schema["required"]) <= first
    assert {header for route in ROUTES for header in route.headers} <= {f.split(":")[0] for f in first}


def settings_of(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every setting by its full name; ``*`` stands for a name of the operator's own."""
    for key, field in model.model_fields.items():
        yield prefix + key, field
        for part in (field.annotation, *get_args(field.annotation)):
            if inspect.isclass(part) and issubclass(part, BaseModel):
                named = "" if part is field.annotation or NoneType in get_args(field.annotation) else ".*"
                nested = settings_of(part, f"{prefix}{key}{named}.")
                yield from nested


def shown(field: FieldInfo) -> str | None:
    """The default as the page writes it, or None where it says it in words."""
    default: Any = field.get_default(call_default_factory=True, validated_data={})
    if field.is_required() or default in (None, {}, []) or isinstance(default, BaseModel):
        return None
    return str(default).lower() if isinstance(default, bool) else str(default)


def test_settings_md_lists_every_setting_with_its_default() -> None:
    said = {row[0].strip("`"): row[1].strip("`") for row in rows("docs/settings.md") if row[0].startswith("`")}
    held = dict(settings_of(Settings))
    del held["limits"], held["anomalies"]
    assert said.keys() == held.keys()
    assert {k: said[k] for k, field in held.items() if shown(field)} == {
        k: d for k, f in held.items() if (d := shown(f))
    }
    assert all(said[k] == "needed" for k, field in held.items() if field.is_required())


def test_the_example_settings_are_settings() -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", text("docs/settings.md"), flags=re.DOTALL)
    Settings.model_validate(tomllib.loads(example))


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    nested = getattr(command, "commands", None)
    if nested is None:
        yield " ".join(path), command
    else:
        for key, child in nested.items():
            yield from leaves(child, (*path, key))


COMMANDS = dict(leaves(COMMAND))


def options(command: Any) -> set[str]:
    return {o for p in command.params if p.param_type_name == "option" for o in p.opts if o != "--help"}


def test_command_line_md_lists_every_command_with_its_options() -> None:
    said = {
        row[0].strip("`"): set(re.findall("`(--?[a-z-]+)`", row[1]))
        for row in rows("docs/command-line.md")
        if row[0].startswith("`")
    }
    assert said == {path: options(command) for path, command in COMMANDS.items()}


def test_the_command_line_tells_of_itself_in_both_languages() -> None:
    for path, command in COMMANDS.items():
        told = command.help or ""
        assert re.search("[一-龥]", told), path
        assert re.search("[A-Za-z]{3}", told), path


def called(page: Path) -> Iterator[list[str]]:
    """The words of every `xinqiao …` call that a page shows, in code spans, indented and fenced blocks."""
    for code in re.findall(r"`([^`\n]+)`|^ {4}(.+)$|^(\S.*)$", text(page), flags=re.MULTILINE):
        span = code[0] or code[1] or (code[2] if code[2].startswith((".venv/bin/xinqiao ", "xinqiao ")) else "")
        match = re.match(r"(?:\.venv/bin/)?xinqiao ([a-z].*)", span.split("  #")[0])
        if match:
            yield shlex.split(match[1])


@pytest.mark.parametrize("page", TALKING, ids=name)
def test_every_xinqiao_command_that_a_page_shows_exists(page: Path) -> None:
    for words in called(page):
        found = next((" ".join(words[:n]) for n in (3, 2, 1) if " ".join(words[:n]) in COMMANDS), None)
        assert found, f"{name(page)}: xinqiao {' '.join(words)}"
        known = options(COMMANDS[found]) | {"--config", "--data"}
        assert {w.strip("[]").split("=")[0] for w in words if w.strip("[]").startswith("--")} <= known, (
            f"{name(page)}: {words}"
        )


def test_the_pages_show_commands_at_all() -> None:
    assert ["demo", "--keep", "demo-data"] in list(called(ROOT / "README.md"))
    assert sum(len(list(called(page))) for page in TALKING) > 8


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_make_target_that_a_page_names_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", text("Makefile"), flags=re.MULTILINE))
    for target in re.findall(r"(?:^ {4}|`)make ([a-z]+)", text(page), flags=re.MULTILINE):
        assert target in targets, f"{name(page)}: make {target}"


def test_both_readmes_show_the_same_commands_blocks_and_pages() -> None:
    def parts(page: str) -> tuple[list[str], list[str], set[str]]:
        told = text(page)
        fenced = [b for b in re.findall(r"```(\w+\n.*?)```", told, flags=re.DOTALL) if not b.startswith("mermaid")]
        indented = [
            line.split("  #")[0].strip()
            for line in re.findall(r"^ {4}\S.*$", re.sub(r"```.*?```", "", told, flags=re.DOTALL), re.MULTILINE)
        ]
        links = set(re.findall(r"\]\(([^)\s]+)\)", told)) - {"README.md", "README.zh-CN.md"}
        return fenced, indented, links

    assert parts("README.md") == parts("README.zh-CN.md")
    assert "README.zh-CN.md" in text("README.md")
    assert "README.md" in text("README.zh-CN.md")


def test_every_page_of_the_documentation_is_reached_from_the_readme() -> None:
    told = text("README.md")
    assert [name(p) for p in (ROOT / "docs").glob("*.md") if f"({name(p)})" not in told] == []


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    paths = [ROOT / p for p in listed.stdout.decode().split("\0") if p]
    # An unpacked source archive has no git.
    return paths or [p for p in ROOT.rglob("*.md") if ".venv" not in p.parts]


def test_no_tracked_text_speaks_of_the_machine_it_was_written_on() -> None:
    foreign = re.compile("/" + r"work/(?:main|shared|brief)|/" + r"root/|/" + r"home/[a-z]")
    for path in tracked():
        if path.suffix in {".md", ".py", ".toml", ".html", ".json", ".txt", ".yml", ""} and path.is_file():
            found = foreign.search(path.read_text("utf-8", "replace"))
            assert found is None, f"{path.relative_to(ROOT)}: {found and found[0]}"
