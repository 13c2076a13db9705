"""``make detect``: how many of the planted conflicts are found, and what is flagged wrongly.

Every enterprise goes through the real gateway: consent, signed fetches from all platforms, cross-checks. The labels
come from the sandbox, which planted them; the gateway never sees them.
"""

import argparse
import asyncio
import json
import logging
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from connectors.sandbox.scenarios import SCENARIOS
from gateway.demo import Demo, profile_ask, running_demo, sample_grant, subject_of
from gateway.services import utc_now
from gateway.telemetry import configure_logging

RULES = ("identity", "headcount", "revenue", "property", "judicial", "receivable", "unit", "freshness")
_PAGE = 500


@dataclass
class Tally:
    """Per rule: planted and found, planted and missed, flagged where nothing was planted, rightly silent."""

    found: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    silent: Counter[str] = field(default_factory=Counter)
    unanswered: int = 0
    examples: list[dict[str, Any]] = field(default_factory=list)
    found_degrees: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    missed_degrees: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    def add(self, firm: dict[str, Any], profile: dict[str, Any]) -> None:
        labels = firm["labels"]
        outcomes: dict[str, set[str]] = {}
        for finding in profile["findings"]:
            outcomes.setdefault(finding["rule"], set()).add(finding["outcome"])
        self.unanswered += not profile["completeness"]["complete"]
        for rule in RULES:
            flagged = "conflict" in outcomes.get(rule, ())
            if labels["expected"].get(rule) == "conflict":
                (self.found if flagged else self.missed)[rule] += 1
                degrees = self.found_degrees if flagged else self.missed_degrees
                degrees[labels["conflict"]].append(labels["degree"] or 0)
            elif rule in labels["clean"]:
                (self.wrong if flagged else self.silent)[rule] += 1
            else:
                continue
            if flagged != (labels["expected"].get(rule) == "conflict"):
                seen = sorted(outcomes.get(rule, ()))
                self.examples.append({"n": firm["n"], "rule": rule, "labels": labels, "outcomes": seen})

    def table(self) -> dict[str, dict[str, Any]]:
        rows = {rule: self._row({rule}) for rule in RULES}
        return rows | {"all": self._row(set(RULES))}

    def reasons(self) -> list[str]:
        """Why: for each graded fault, at which degrees it was found and at which missed; each false report."""
        lines = []
        for conflict, missed in sorted(self.missed_degrees.items()):
            found = self.found_degrees[conflict]
            lines.append(f"missed: {len(missed)} of {conflict}, at degree {_span(missed)}; found at {_span(found)}")
        for example in self.examples:
            if example["rule"] not in example["labels"]["expected"]:
                lines.append(f"false: {example['rule']} of enterprise {example['n']} ({example['outcomes']})")
        return lines

    def _row(self, rules: set[str]) -> dict[str, Any]:
        found, missed, wrong, silent = (
            sum(counter[rule] for rule in rules) for counter in (self.found, self.missed, self.wrong, self.silent)
        )
        return {
            "planted": found + missed,
            "found": found,
            "missed": missed,
            "false": wrong,
            "silent": silent,
            "recall": round(found / (found + missed), 4) if found + missed else None,
            "precision": round(found / (found + wrong), 4) if found + wrong else None,
        }


def _span(degrees: list[int]) -> str:
    return f"{min(degrees)} to {max(degrees)}" if degrees else "none"


async def detect(demo: Demo, count: int, callers: int, say: Callable[[str], None]) -> Tally:
    """Profiles of the first ``count`` enterprises after the named scenarios."""
    tally = Tally()
    offers = {c.id: c.datasets for c in demo.services.connectors.values()}
    done = 0

    async def one(firm: dict[str, Any]) -> None:
        nonlocal done
        consent = await demo.lender.register(sample_grant(subject_of(firm), offers, utc_now()))
        tally.add(firm, await demo.lender.profile(profile_ask(firm, consent["id"])))
        done += 1
        if done % 100 == 0:
            say(f"{done} of {count}")

    first = len(SCENARIOS)
    for start in range(first, first + count, _PAGE):
        page = min(_PAGE, first + count - start)
        async with demo.session.get(f"{demo.sandbox_url}/_sandbox/enterprises?start={start}&count={page}") as reply:
            firms = iter(orjson.loads(await reply.read()))

        async def caller(firms: Any = firms) -> None:
            for firm in firms:
                await one(firm)

        async with asyncio.TaskGroup() as group:
            for _ in range(callers):
                group.create_task(caller())
    return tally


async def run(count: int, seed: int, callers: int, say: Callable[[str], None]) -> Tally:
    with tempfile.TemporaryDirectory(prefix="xinqiao-") as folder:
        async with running_demo(Path(folder), seed=seed) as demo:
            return await detect(demo, count, callers, say)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detection")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--callers", type=int, default=4)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    configure_logging(level=logging.ERROR)
    tally = asyncio.run(
        run(given.count, given.seed, given.callers, lambda t: None if given.json else print(t, flush=True))
    )
    table = tally.table()
    if given.json:
        print(
            json.dumps({"rules": table, "unanswered": tally.unanswered, "examples": tally.examples}, ensure_ascii=False)
        )
        return
    print(f"\n{given.count} enterprises, seed {given.seed}; profiles with an unanswered data set: {tally.unanswered}")
    print(f"{'rule':12}{'planted':>9}{'found':>8}{'missed':>8}{'false':>8}{'recall':>9}{'precision':>11}")
    for rule, row in table.items():
        recall, precision = ("-" if row[k] is None else f"{row[k]:.4f}" for k in ("recall", "precision"))
        print(f"{rule:12}{row['planted']:9}{row['found']:8}{row['missed']:8}{row['false']:8}{recall:>9}{precision:>11}")
    for line in tally.reasons():
        print(line)


if __name__ == "__main__":
    main()
