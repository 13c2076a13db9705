"""The one suite for every connector: its fixtures, run through the real engine over a transport that only replays.

A connector's folder brings ``fixtures/*.json``, one exchange or more each, and the replies as raw bytes beside them
(docs/manifest.md, «Fixtures»). A new connector adds fixtures, not tests.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError

from connectors.base import Found
from connectors.kit.fixtures import Expect, Fixture, Replay, Unexpected, cases, connector_of
from connectors.kit.playing import played, unsigned
from connectors.kit.result import Result
from connectors.manifest import Loaded, load
from connectors.ports import MemoryState
from schemas.base import Json
from schemas.errors import ConfigurationError, UpstreamError, XinqiaoError
from schemas.records import CATALOGUE, DataSet

# Long enough that no test machine is too slow, short enough that a connector that hangs is found.
PATIENCE = 20.0


def check(folder: Path, catalogue: Mapping[str, DataSet] = CATALOGUE) -> list[Result]:
    """Every fixture of the connector in ``folder``, and whether each data set has the three that it must have."""
    try:
        loaded = load(folder, catalogue)
    except XinqiaoError as err:
        return [Result("manifest.toml", False, str(err))]
    return [Result("manifest.toml", True), *check_loaded(loaded, catalogue)]


def check_loaded(loaded: Loaded, catalogue: Mapping[str, DataSet] = CATALOGUE) -> list[Result]:
    """The same for a manifest that is already read. Not inside a running event loop."""
    return asyncio.run(_run(loaded, catalogue))


async def _run(loaded: Loaded, catalogue: Mapping[str, DataSet]) -> list[Result]:
    results: list[Result] = []
    covered: set[tuple[str, str]] = set()
    for name, fixture in cases(loaded.fixtures):
        if isinstance(fixture, str):
            results.append(Result(name, False, fixture))
            continue
        why = await play(loaded, fixture, catalogue)
        results.append(Result(name, not why, why))
        covered.add((fixture.dataset, fixture.expect.outcome))
    for dataset in loaded.plans:
        for outcome in ("found", "confirmed_absent", "failure"):
            if (dataset, outcome) not in covered:
                results.append(Result(f"{dataset}: {outcome}", False, "there is no fixture for this outcome"))
    return results


async def play(loaded: Loaded, fixture: Fixture, catalogue: Mapping[str, DataSet] = CATALOGUE) -> str:
    """Empty when all is as expected, else what is not."""
    if fixture.dataset not in loaded.plans:
        return "the manifest has no such data set"
    for file in fixture.files:
        if not (loaded.fixtures / file).is_file():
            return f"there is no file {file}"
    replay = Replay(loaded.fixtures, fixture.exchanges)
    state = MemoryState()
    deadline = asyncio.get_running_loop().time() + PATIENCE
    try:
        connector = connector_of(loaded, replay, fixture, state=state)
        if let_in := await unsigned(connector, loaded, fixture):
            return f"unsigned callback: {let_in}"
        reply = await played(connector, state, loaded, fixture, deadline)
    except UpstreamError as err:
        return _compare("failure", err.code, fixture.expect) or _unused(replay)
    except ConfigurationError as err:
        return str(err)
    except Unexpected as err:
        return f"unexpected request: {err}"
    expect = fixture.expect
    if why := _compare(OUTCOMES[reply.found], None, expect):
        return why
    for number, record in enumerate(reply.records):
        try:
            catalogue[fixture.dataset].model.model_validate_json(orjson.dumps(record))
        except ValidationError as err:
            return f"record {number}: {'.'.join(map(str, err.errors()[0]['loc']))} is not canonical"
    if why := _first_difference(list(reply.records), expect.records):
        return why
    as_of = reply.as_of.isoformat() if reply.as_of else None
    for what, got, wanted in (
        ("as_of", as_of, expect.as_of),
        ("repairs", list(reply.repairs), expect.repairs),
        ("drift", dict(reply.drift), expect.drift),
    ):
        if got != wanted:
            return f"{what} is {got}, {wanted} expected"
    return _unused(replay)


OUTCOMES = {Found.FOUND: "found", Found.ABSENT: "confirmed_absent", Found.PARTIAL: "partial"}


def _compare(outcome: str, code: str | None, expect: Expect) -> str:
    if (outcome, code) == (expect.outcome, expect.code):
        return ""
    got = outcome if code is None else f"{outcome} {code}"
    return f"{got} came, {expect.outcome} {expect.code or ''} expected".replace("  ", " ")


def _first_difference(got: list[dict[str, Json]], wanted: list[dict[str, Any]]) -> str:
    if len(got) != len(wanted):
        return f"{len(got)} records came, {len(wanted)} expected"
    for number, (mine, theirs) in enumerate(zip(got, wanted, strict=True)):
        for key in sorted(mine.keys() | theirs.keys()):
            if mine.get(key) != theirs.get(key):
                return f"record {number}: {key} differs"
    return ""


def _unused(replay: Replay) -> str:
    return f"{len(replay.left)} exchanges were not asked for" if replay.left else ""
