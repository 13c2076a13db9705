"""``checklist.toml`` of a connector: what only people can answer for, each exemption with its reason."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from connectors.kit.result import Result
from schemas.base import Model

FILE = "checklist.toml"

RULES: dict[str, tuple[str, str]] = {
    "fields_confirmed": ("字段名与含义经提供方确认", "the owner confirmed names and meaning of the fields"),
    "units_confirmed": ("每个金额的单位经提供方确认", "the owner confirmed the unit of every amount"),
    "codes_complete": ("代码表完整", "every code table is complete"),
    "no_record_narrow": ("只有确无记录才判为无记录", "only a true «no record» fits `no_record`"),
    "limits_agreed": ("频率与并发经提供方同意", "the owner agreed to rate and concurrency"),
    "test_system_asked": ("在测试环境实际取过数", "the owner's test system was asked"),
    "replies_scrubbed": ("样例中没有真实的企业、个人或密钥", "no real enterprise, person or secret is in the fixtures"),
}


class _Answer(Model):
    state: Literal["todo", "done", "exempt"]
    reason: str = ""


_ANSWERS = TypeAdapter(dict[str, _Answer])


def checklist(folder: Path) -> Iterator[Result]:
    """One result for each rule; nothing where the folder has no such file."""
    file = folder / FILE
    if not file.is_file():
        return
    try:
        given = _ANSWERS.validate_python(tomllib.loads(file.read_bytes().decode("utf-8")))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, ValidationError):
        yield Result(FILE, False, "each table has `state` (todo, done or exempt) and `reason`")
        return
    if unknown := sorted(given.keys() - RULES.keys()):
        yield Result(FILE, False, f"there is no rule {unknown[0]}")
    for rule in RULES:
        answer = given.get(rule)
        if answer is None:
            yield Result(f"{FILE}: {rule}", False, "the rule is missing")
        elif answer.state == "exempt":
            yield Result(f"{FILE}: {rule}", bool(answer.reason.strip()), answer.reason.strip() or "give the reason")
        else:
            yield Result(f"{FILE}: {rule}", True, "" if answer.state == "done" else "todo")
