"""A platform's clock: learned from dates that TLS vouches for, followed so far and no further; ours may jump."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from connectors.base import Found, Progress
from connectors.engine.connector import DeclarativeConnector
from connectors.skew import MOST, PlatformClock
from connectors.wire import WireReply, WireRequest
from schemas.errors import CircuitOpen, UpstreamClock, UpstreamDenied, UpstreamServerError
from tests.engine_world import BASE, FUND, NOW, SECRETS, Naps, Nonces, Scripted, body, bureau, fetch, row

URL = "https://xx.example/"


def date(unix: float) -> str:
    return format_datetime(datetime.fromtimestamp(int(unix), UTC), usegmt=True)


def heard(
    *differences: float, url: str = URL, elapsed: float = 0.2, headers: Mapping[str, str] = MappingProxyType({})
) -> PlatformClock:
    clock = PlatformClock(lambda: NOW)
    for difference in differences:
        clock.hear(url, {"date": date(NOW + difference), **headers}, elapsed)
    return clock


@pytest.mark.parametrize(("ahead", "offset"), [(0, 0), (0.9, 0), (-0.1, 0), (5, 5), (-5, -3.8), (300, 300)])
def test_the_clock_is_moved_as_little_as_agrees_with_the_date(ahead: float, offset: float) -> None:
    clock = heard(ahead)
    assert clock.offset == pytest.approx(offset)
    assert clock() == pytest.approx(NOW + offset)
    assert clock.beyond is None


def test_a_long_wait_tells_less() -> None:
    assert heard(-5, elapsed=10).offset == 0


def test_what_was_learned_is_unlearned_when_the_clocks_agree_again() -> None:
    assert heard(60).offset == 60
    assert heard(60, 0).offset == pytest.approx(1.2)


@pytest.mark.parametrize("ahead", [MOST + 1, -MOST - 10, 3600, -3600])
def test_a_clock_too_far_away_is_known_and_not_followed(ahead: float) -> None:
    clock = heard(60, ahead)
    assert clock.offset == 60
    assert clock.beyond == pytest.approx(ahead, abs=2)
    assert heard(ahead, 0).beyond is None


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("http://xx.example/", {}),
        (URL, {"age": "60"}),
        (URL, {"date": ""}),
        (URL, {"date": "yesterday GMT"}),
        (URL, {"date": "Tue, 24 Nov 2026 14:00:00 +0800"}),
    ],
)
def test_a_date_that_nobody_vouches_for_moves_nothing(url: str, headers: dict[str, str]) -> None:
    clock = heard(60, url=url, headers=headers)
    assert (clock.offset, clock.beyond) == (0, None)


class Platform:
    """Signs nothing, refuses what is older or newer than ``window`` by its own clock, and says what time it has."""

    def __init__(self, ahead: float, window: float = 90) -> None:
        self.ahead, self.window = ahead, window
        self.times: list[float] = []

    def __call__(self, request: WireRequest) -> WireReply:
        at = float(request.headers["x-tif-timestamp"])
        self.times.append(at)
        now = NOW + self.ahead
        answer: Any = body([row()]) if abs(now - at) < self.window else {"code": "denied"}
        raw = json.dumps(answer).encode()
        return WireReply(200, {"content-type": "application/json", "date": date(now)}, raw)


def made(at: Path, by: Any, clock: Any = lambda: NOW, head: str = BASE, **more: Any) -> DeclarativeConnector:
    given: dict[str, Any] = {"clock": clock, "nonce": Nonces(), "sleep": Naps(), **more}
    return DeclarativeConnector(bureau(at, FUND, head), Scripted(by=by), SECRETS, **given)


@pytest.mark.parametrize("ahead", [60.0, -60.0])
async def test_within_the_platforms_window_a_difference_is_learned_and_signed_by(tmp_path: Path, ahead: float) -> None:
    platform = Platform(ahead)
    connector = made(tmp_path, platform)
    for _ in range(2):
        assert (await fetch(connector)).found is Found.FOUND
    assert platform.times == [NOW, pytest.approx(NOW + ahead, abs=2)]
    assert connector.clock_offset == pytest.approx(ahead, abs=2)


async def test_outside_the_platforms_window_the_refusal_teaches_and_one_more_try_succeeds(tmp_path: Path) -> None:
    platform, progress = Platform(200.0), Progress()
    assert (await fetch(made(tmp_path, platform), progress=progress)).found is Found.FOUND
    assert progress.attempts == 2


async def test_a_refusal_that_teaches_nothing_is_final(tmp_path: Path) -> None:
    progress = Progress()
    with pytest.raises(UpstreamDenied) as caught:
        await fetch(made(tmp_path, Platform(0.0, window=-1)), progress=progress)
    assert type(caught.value) is UpstreamDenied
    assert progress.attempts == 1


@pytest.mark.parametrize("ahead", [3600.0, -3600.0])
async def test_too_far_apart_is_a_typed_error_that_says_how_far(tmp_path: Path, ahead: float) -> None:
    connector = made(tmp_path, Platform(ahead))
    with pytest.raises(UpstreamClock) as caught:
        await fetch(connector)
    assert abs(int(str(caught.value.details["offset_seconds"])) - ahead) <= 2
    assert connector.clock_offset == pytest.approx(ahead, abs=2)


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
async def test_a_jump_of_our_own_clock_is_named_and_forgotten_once_it_is_put_right(tmp_path: Path, jump: float) -> None:
    wall = [NOW]
    connector = made(tmp_path, Platform(0.0), lambda: wall[0])
    assert (await fetch(connector)).found is Found.FOUND
    wall[0] += jump
    with pytest.raises(UpstreamClock):
        await fetch(connector)
    wall[0] = NOW
    assert (await fetch(connector)).found is Found.FOUND
    assert connector.clock_offset == 0


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
async def test_tokens_and_breaker_do_not_follow_our_wall_clock(tmp_path: Path, jump: float) -> None:
    wall, asked = [NOW], list[str]()
    down = [False]

    def platform(request: WireRequest) -> WireReply:
        asked.append(request.url.rpartition("/")[2])
        if request.url.endswith("/token"):
            raw = b'{"access_token":"t","token_type":"Bearer","expires_in":1800}'
            return WireReply(200, {"content-type": "application/json"}, raw)
        if down[0]:
            return WireReply(500, {}, b"")
        return WireReply(200, {"content-type": "application/json"}, json.dumps(body([row()])).encode())

    head = BASE.replace('scheme = "tif"', 'scheme = "oauth2-client"\ntoken_path = "/token"')
    head = head.replace('["paasid", "token"]', '["client_id", "client_secret"]')
    secrets = {"client_id": "invented", "client_secret": "invented"}
    connector = DeclarativeConnector(
        bureau(tmp_path, FUND, head),
        Scripted(by=platform),
        secrets,
        clock=lambda: wall[0],
        nonce=Nonces(),
        sleep=Naps(),
    )
    await fetch(connector)
    wall[0] += jump
    await fetch(connector)
    assert asked.count("token") == 1
    down[0] = True
    for _ in range(30):
        try:
            await fetch(connector)
        except UpstreamServerError:
            continue
        except CircuitOpen:
            break
    else:
        pytest.fail("the breaker never opened")
    wall[0] -= 2 * jump
    with pytest.raises(CircuitOpen):
        await fetch(connector)
