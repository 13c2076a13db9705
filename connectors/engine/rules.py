"""Paths, rules and the outcome of a reply, compiled once when a manifest is loaded."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from connectors.decoding import MISSING, at, path_keys
from connectors.resilience import retry_after
from connectors.wire import WireReply
from schemas.errors import (
    UpstreamBusy,
    UpstreamDenied,
    UpstreamRejected,
    UpstreamServerError,
    UpstreamStatus,
    UpstreamUnrecognised,
)
from schemas.manifest import Outcome, Rule

Tree = Any
"""A decoded reply (connectors.decoding.Tree): its shape is what the rules are there to find out."""
Get = Callable[[Tree], Any]
Test = Callable[[Tree, int], bool]
# Fewer digits than a phone number or an id card has: what a platform puts in its code's place may be data.
_SAFE_CODE = re.compile(r"(?!(?:[^0-9]*[0-9]){11})[A-Za-z0-9_-]{1,32}")


def compile_path(path: str) -> Get:
    """A reader of what stands at a path (docs/manifest.md), or MISSING."""
    keys = path_keys(path)
    if len(keys) == 1:
        (key,) = keys
        return lambda tree: tree.get(key, MISSING) if type(tree) is dict else MISSING
    return lambda tree: at(tree, keys)


def same(value: object, expected: object) -> bool:
    """Typed equality: ``"0"`` is not ``0`` and ``True`` is not ``1``."""
    return type(value) is type(expected) and value == expected


def compile_rule(rule: Rule) -> Test:
    """A test of (tree, HTTP status); every condition of the rule must hold."""
    tests: list[Test] = [compile_rule(r) for r in rule.and_]
    if rule.status is not None:
        tests.append(_status_test(rule.status))
    if rule.at is not None:
        tests.append(_value_test(rule, compile_path(rule.at)))
    if len(tests) == 1:
        return tests[0]
    return lambda tree, status: all(test(tree, status) for test in tests)


def any_of(rules: Sequence[Rule]) -> Test:
    tests = tuple(compile_rule(r) for r in rules)
    if not tests:
        return lambda _tree, _status: False
    if len(tests) == 1:
        return tests[0]
    return lambda tree, status: any(test(tree, status) for test in tests)


def _status_test(wanted: int) -> Test:
    return lambda _tree, status: status == wanted


def _value_test(rule: Rule, get: Get) -> Test:
    if rule.is_ == "missing":
        return lambda tree, _status: get(tree) in (MISSING, None)
    if rule.is_ == "present":
        return lambda tree, _status: get(tree) not in (MISSING, None)
    if rule.is_ == "[]":
        return lambda tree, _status: get(tree) == []
    if rule.is_ == "empty":
        return lambda tree, _status: is_empty(get(tree))
    if rule.equals is not None:
        kind, only = type(rule.equals), rule.equals
        return lambda tree, _status: type(value := get(tree)) is kind and value == only
    wanted = tuple(rule.one_of or ())

    def equal(tree: Tree, _status: int) -> bool:
        value = get(tree)
        return any(same(value, w) for w in wanted)

    return equal


def is_empty(value: object) -> bool:
    """Missing, null, blank text, or a list or object without members; zero and false are values."""
    if value is MISSING or value is None:
        return True
    if isinstance(value, str):
        return not value.strip()
    return isinstance(value, list | dict) and not value


class Verdict(StrEnum):
    SUCCESS = "success"
    NO_RECORD = "no_record"
    PENDING = "pending"


@dataclass(frozen=True, slots=True)
class Judge:
    """Says what a reply is: success, no record, or the typed failure it stands for."""

    decode: Callable[[bytes, str | None], Tree]
    statuses: frozenset[int]
    code: Get | None
    denied: Test
    retry: tuple[tuple[Test, Get | None], ...]
    pending: Test
    no_record: Test
    success: Test

    def judge(self, reply: WireReply, now: float) -> tuple[Verdict, Tree]:
        """``now``: Unix seconds. «No record» is only what a rule of the manifest calls so.

        Raises UpstreamDenied, UpstreamBusy, UpstreamRejected, UpstreamStatus, UpstreamUnrecognised, and what decoding
        raises.
        """
        status = reply.status
        if status not in self.statuses:
            return self._by_status(reply, now), MISSING
        tree = self.decode(reply.body, reply.headers.get("content-type"))
        if self.denied(tree, status):
            raise UpstreamDenied(**self._named(tree))
        for test, after in self.retry:
            if test(tree, status):
                raise UpstreamBusy(**self._named(tree), **_seconds(after, tree))
        if self.pending(tree, status):
            return Verdict.PENDING, tree
        if self.no_record(tree, status):
            return Verdict.NO_RECORD, tree
        if self.success(tree, status):
            return Verdict.SUCCESS, tree
        if named := self._named(tree):
            raise UpstreamRejected(**named)
        raise UpstreamUnrecognised(status=status)

    def busy(self, tree: Tree) -> bool:
        """Whether what came by itself says to wait for more."""
        status = min(self.statuses)
        return not self.denied(tree, status) and any(test(tree, status) for test, _ in self.retry)

    def _by_status(self, reply: WireReply, now: float) -> Verdict:
        status = reply.status
        if self.denied(MISSING, status):
            raise UpstreamDenied(status=status)
        if any(test(MISSING, status) for test, _ in self.retry):
            raise UpstreamBusy(status=status, **_asked(reply, now))
        if self.pending(MISSING, status):
            return Verdict.PENDING
        if self.no_record(MISSING, status):
            return Verdict.NO_RECORD
        if status in (401, 403):
            raise UpstreamDenied(status=status)
        if status in (429, 503):
            raise UpstreamBusy(status=status, **_asked(reply, now))
        if status >= 500:
            raise UpstreamServerError(status=status)
        raise UpstreamStatus(status=status)

    def _named(self, tree: Tree) -> dict[str, str | int]:
        """The platform's own code, where it looks like a code and not like data."""
        value = self.code(tree) if self.code else MISSING
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        return {"platform_code": value} if isinstance(value, str) and _SAFE_CODE.fullmatch(value) else {}


def _asked(reply: WireReply, now: float) -> dict[str, int]:
    wait = retry_after(reply.headers, datetime.fromtimestamp(now, UTC))
    return {} if wait is None else {"retry_after": wait}


def _seconds(after: Get | None, tree: Tree) -> dict[str, int]:
    value = after(tree) if after else None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 7:
        value = int(value)
    if isinstance(value, int | Decimal) and not isinstance(value, bool) and 0 <= value < 10**6:
        return {"retry_after": int(value)}
    return {}


def compile_judge(outcome: Outcome, decode: Callable[[bytes, str | None], Tree], pending: Sequence[Rule] = ()) -> Judge:
    """``pending``: rules that say a ticket's answer is not ready yet."""
    return Judge(
        decode=decode,
        statuses=frozenset(outcome.status),
        code=None if outcome.code is None else compile_path(outcome.code),
        denied=any_of(outcome.denied),
        retry=tuple((compile_rule(r), None if r.after is None else compile_path(r.after)) for r in outcome.retry),
        pending=any_of(pending),
        no_record=any_of(outcome.no_record),
        success=any_of(outcome.success),
    )
