"""connectors.breaker: when a platform is left alone, and how it is tried again."""

from pathlib import Path

import pytest

from connectors.breaker import Breaker
from connectors.wire import WireReply
from schemas.errors import CircuitOpen, UpstreamConnect, UpstreamError, UpstreamTimeout
from tests.engine_world import BASE, Scripted, body, bureau, connector, fetch, row


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def made() -> tuple[Breaker, Clock]:
    clock = Clock()
    return Breaker(clock, lambda: 0.5), clock


def call(breaker: Breaker, good: bool | None) -> None:
    breaker.leave(breaker.enter(), good)


def opened() -> tuple[Breaker, Clock]:
    breaker, clock = made()
    for _ in range(Breaker.FAILURES):
        call(breaker, False)
    return breaker, clock


def test_it_opens_at_the_fifth_failure_and_not_before() -> None:
    breaker, _ = made()
    for _ in range(Breaker.FAILURES - 1):
        call(breaker, False)
    assert (breaker.closed, breaker.wait) == (True, 0.0)
    call(breaker, False)
    assert (breaker.closed, breaker.wait) == (False, 5.5)
    with pytest.raises(CircuitOpen):
        breaker.enter()


def test_failures_that_are_less_than_half_do_not_open_it() -> None:
    breaker, _ = made()
    for _ in range(20):
        call(breaker, True)
    for _ in range(19):
        call(breaker, False)
    assert breaker.closed
    call(breaker, False)
    assert not breaker.closed


def test_failures_of_another_ten_seconds_do_not_count() -> None:
    breaker, clock = made()
    for _ in range(4):
        call(breaker, False)
    clock.now += Breaker.WINDOW
    for _ in range(4):
        call(breaker, False)
    assert breaker.closed


def test_what_says_nothing_of_the_platform_does_not_count() -> None:
    breaker, _ = made()
    for _ in range(50):
        call(breaker, None)
    assert breaker.closed


def test_after_its_time_a_bounded_number_of_probes_goes_through_and_closes_it() -> None:
    breaker, clock = opened()
    clock.now += 5.5
    assert breaker.wait == 0.0
    probes = [breaker.enter() for _ in range(Breaker.PROBES)]
    assert probes == [True] * Breaker.PROBES
    with pytest.raises(CircuitOpen):
        breaker.enter()
    breaker.leave(True, True)
    assert not breaker.closed
    breaker.leave(True, True)
    assert breaker.closed
    assert breaker.enter() is False


def test_a_probe_that_fails_opens_it_again_for_the_whole_time() -> None:
    breaker, clock = opened()
    clock.now += 5.5
    call(breaker, True)
    call(breaker, False)
    assert breaker.wait == 5.5
    clock.now += 5.5
    call(breaker, True)
    assert not breaker.closed
    call(breaker, True)
    assert breaker.closed


def test_a_probe_that_was_cancelled_gives_its_place_back() -> None:
    breaker, clock = opened()
    clock.now += 5.5
    for _ in range(10):
        call(breaker, None)
    assert not breaker.closed


def test_an_answer_from_before_it_opened_changes_nothing() -> None:
    breaker, _ = made()
    early = breaker.enter()
    for _ in range(Breaker.FAILURES):
        call(breaker, False)
    breaker.leave(early, True)
    assert breaker.wait == 5.5


def test_what_another_process_found_holds_here_too_and_is_not_shortened() -> None:
    breaker, _ = made()
    breaker.hold(3.0)
    assert breaker.wait == 3.0
    breaker.hold(1.0)
    assert breaker.wait == 3.0


BASE_ONE = BASE + "\n[limits]\nattempts = 1\n"
BASE_FAST = BASE + '\n[limits]\nrate = "100000/s"\n'
SERVER = WireReply(500, {}, b"")
UNREADABLE = WireReply(200, {"content-type": "application/json"}, b"{")


@pytest.mark.parametrize(
    ("answer", "opens"),
    [
        (SERVER, True),
        (WireReply(503, {}, b""), True),
        (UpstreamConnect(), True),
        (UpstreamTimeout(), True),
        (WireReply(404, {}, b""), False),
        (WireReply(429, {}, b""), False),
        (WireReply(401, {}, b""), False),
        (UNREADABLE, False),
        ({"code": "busy"}, False),
        ({"code": "x-unknown"}, False),
    ],
)
async def test_only_a_platform_that_does_not_work_opens_it(
    tmp_path: Path, answer: WireReply | UpstreamError, opens: bool
) -> None:
    script = Scripted(by=lambda _: answer)
    asked = connector(bureau(tmp_path, base=BASE_ONE), script)
    failures = []
    for _ in range(Breaker.FAILURES + 1):
        with pytest.raises(UpstreamError) as caught:
            await fetch(asked)
        failures.append(caught.value)
    assert isinstance(failures[-1], CircuitOpen) is opens
    if opens:
        assert len(script.requests) == Breaker.FAILURES
        assert str(failures[-1].details["next_attempt_at"]).startswith("2026-11-24T")


async def test_a_caller_who_cannot_wait_does_not_open_it(tmp_path: Path) -> None:
    asked = connector(bureau(tmp_path, base=BASE_ONE), Scripted(by=lambda _: UpstreamTimeout()))
    for _ in range(Breaker.FAILURES * 2):
        with pytest.raises(UpstreamTimeout):
            await fetch(asked, patience=1)


async def test_in_an_outage_the_platform_sees_little_and_afterwards_no_crowd(tmp_path: Path) -> None:
    """A minute at 50 requests a second, in the clock of the test: no more than the requests and a fifth of them leave
    before it opens, then two per opening, and ten seconds after healing all go through again."""
    down, sent = True, list[float]()
    asked = connector(bureau(tmp_path, base=BASE_FAST), Scripted(by=lambda _: reply()))
    clock = Clock()
    object.__setattr__(asked._line, "breaker", Breaker(clock, lambda: 0.5))

    def reply() -> WireReply | dict[str, object]:
        sent.append(clock.now)
        return SERVER if down else body([row()])

    async def ask() -> bool:
        try:
            await fetch(asked)
        except UpstreamError:
            return False
        return True

    for _ in range(60 * 50):
        clock.now += 0.02
        await ask()
    assert len(sent) <= 1.2 * 60 * 50
    assert len(sent) < 60
    down, sent = False, []
    good = []
    for _ in range(20 * 50):
        clock.now += 0.02
        if await ask():
            good.append(clock.now)
    assert good[0] - (clock.now - 20) <= 10
    # One request, one call: what was refused meanwhile does not come back all at once.
    per_bucket = [sum(1 for at in sent if int(at * 10) == bucket) for bucket in {int(at * 10) for at in sent}]
    assert max(per_bucket) <= 3 * sum(per_bucket) / len(per_bucket)
