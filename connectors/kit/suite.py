"""``connectors test``: fixtures, checklist, faults over real sockets, what is heard in logs, and what a fetch costs."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from structlog.testing import capture_logs

from connectors.kit.checklist import checklist
from connectors.kit.conformance import check
from connectors.kit.fixtures import Fixture, Replay, cases, connector_of, secrets_of
from connectors.kit.hardships import found_cases, hardships
from connectors.kit.playing import played
from connectors.kit.result import Result
from connectors.manifest import Loaded, load
from connectors.ports import MemoryState
from schemas.errors import XinqiaoError
from schemas.records import CATALOGUE

SLOWEST = 25
"""How many times the CPU of the reference a fetch may take: SM2 in pure code fits, a quadratic reading does not."""
REFERENCE = Path(__file__).parent.parent / "catalogue" / "sh-hrss"
_ROUNDS, _FETCHES = 5, 20
_SHORTEST = 4
Clock = Callable[[], float]


def suite(folder: Path, *, clock: Clock = time.process_time) -> list[Result]:
    """Everything that ``connectors test`` says of the connector in ``folder``. ``clock`` counts seconds of CPU."""
    with _heard() as lines:
        results = check(folder)
        try:
            loaded = load(folder)
        except XinqiaoError:
            return results
        fixtures = _whole(loaded)
        results += asyncio.run(hardships(loaded, fixtures, lines))
    results.append(_silent(lines, _secret_texts(loaded, fixtures)))
    if all(result.ok for result in results):
        results += asyncio.run(_costs(loaded, fixtures, clock))
    return [*results, *checklist(folder)]


def _whole(loaded: Loaded) -> list[Fixture]:
    """The fixtures that can be played at all; what is wrong with the others ``check`` says."""
    fixtures = [fixture for _, fixture in cases(loaded.fixtures) if isinstance(fixture, Fixture)]
    return [f for f in fixtures if all((loaded.fixtures / file).is_file() for file in f.files)]


@contextmanager
def _heard() -> Iterator[list[str]]:
    """All that is logged meanwhile, at every level, through either library."""
    lines: list[str] = []

    class Ears(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(f"{record.getMessage()} {record.exc_info}")

    ears, root = Ears(), logging.getLogger()
    level = root.level
    root.addHandler(ears)
    root.setLevel(logging.DEBUG)
    try:
        with capture_logs() as events:
            yield lines
        lines += map(str, events)
    finally:
        root.setLevel(level)
        root.removeHandler(ears)


def _secret_texts(loaded: Loaded, fixtures: list[Fixture]) -> set[str]:
    """Secrets, the enterprise, and what the expected records say of persons."""
    texts = set(secrets_of(loaded).values())
    for fixture in fixtures:
        texts |= {fixture.subject.uscc, fixture.subject.name}
        dataset = CATALOGUE.get(fixture.dataset)
        for name in dataset.personal | dataset.sensitive if dataset else ():
            texts |= {str(record[name]) for record in fixture.expect.records if name in record}
    return {text for text in texts if len(text) >= _SHORTEST}


def _silent(lines: list[str], texts: set[str]) -> Result:
    told = sum(any(text in line for text in texts) for line in lines)
    name = "no secret and no personal data in logs and errors"
    return Result(name, not told, f"{told} lines hold one" if told else f"{len(lines)} lines and errors read")


async def _costs(loaded: Loaded, fixtures: list[Fixture], clock: Clock) -> list[Result]:
    """CPU of one fetch without a network, beside the reference's in the same run, in turn."""
    reference = load(REFERENCE)
    (theirs,) = found_cases(_whole(reference))
    results = []
    for fixture in found_cases(fixtures):
        pairs = [(await _cpu(loaded, fixture, clock), await _cpu(reference, theirs, clock)) for _ in range(_ROUNDS)]
        mine, other = (min(column) for column in zip(*pairs, strict=True))
        told = (
            f"{mine * 1e6:.0f} µs CPU per fetch, {len(fixture.expect.records)} records; reference {other * 1e6:.0f} µs"
        )
        results.append(Result(f"{fixture.dataset}: speed", mine <= SLOWEST * other, told))
    return results


async def _cpu(loaded: Loaded, fixture: Fixture, clock: Clock) -> float:
    """Seconds per fetch."""
    replay = Replay(loaded.fixtures, [])
    state = MemoryState()
    made = connector_of(loaded, replay, fixture, state=state)
    spent = 0.0
    for _ in range(_FETCHES):
        replay.left = list(fixture.exchanges)
        deadline = asyncio.get_running_loop().time() + 60
        started = clock()
        await played(made, state, loaded, fixture, deadline)
        spent += clock() - started
    return spent / _FETCHES
