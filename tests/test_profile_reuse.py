"""gateway.profile.reuse: an answer used again is the answer that was fetched, and an older one steps in for silence."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.base import Reply
from consent.log.origins import Origin
from consent.reuse import Kept
from gateway.profile.collect import Gathered
from gateway.profile.plan import Item
from gateway.profile.reuse import again, with_older
from schemas.errors import UpstreamDenied, UpstreamTimeout
from tests.profiles import clean, gathered, profile_of

FIRM = clean()


def kept_of(source: dict[str, Any], reply: Reply) -> Kept:
    """As it comes back from the database: both were JSON there."""
    stored = {"digest": reply.raw_digest.hex(), "records": reply.records}
    told, held = (json.loads(json.dumps(one)) for one in (source, stored))
    return Kept(told, held, Origin("reused", "m1", 7, source["commitment"]))


@settings(max_examples=25, deadline=None)
@given(
    st.sets(st.sampled_from(sorted(FIRM)), min_size=1),
    st.sets(st.sampled_from(sorted(FIRM))),
    st.sets(st.sampled_from(sorted(FIRM))),
)
def test_an_answer_used_again_gives_the_same_profile_as_the_one_that_was_fetched(
    asked: set[str], silent: set[str], reused: set[str]
) -> None:
    fetched = [gathered(name, UpstreamTimeout() if name in silent else FIRM[name]) for name in sorted(asked)]
    profile = profile_of(fetched)
    sources = {source["dataset"]: source for source in profile["sources"]}
    mixed = [
        again(one.item, kept_of(sources[one.item.dataset], one.reply))
        if one.reply is not None and one.item.dataset in reused
        else one
        for one in fetched
    ]
    other = profile_of(mixed)
    marks = ("latency_ms", "attempts", "timeline", "origin")
    for source in (*profile["sources"], *other["sources"]):
        assert (source["origin"] is not None) == (source in other["sources"] and source["attempts"] == 0)
        for mark in marks:
            del source[mark]
    assert other == profile


def test_an_older_answer_stands_beside_the_error_of_a_silent_platform_and_in_nobody_elses_way() -> None:
    first, second = (
        Item(name, "tax_returns", frozenset({"sales"}), fallback=name == "second") for name in ("first", "second")
    )
    before = {item: replace(gathered("tax_returns", FIRM["tax_returns"]), item=item) for item in (first, second)}
    silent, refused = (
        Gathered(first, "1.0", "assumed", None, error, 5, 1) for error in (UpstreamTimeout(), UpstreamDenied())
    )
    answered = replace(before[second], attempts=2)
    (given,) = with_older([silent], before)
    assert (given.reply, given.error, given.attempts) == (before[first].reply, silent.error, 1)
    assert with_older([refused], before) == (refused,)
    assert with_older([silent], {}) == (silent,)
    # What stood in for it is newer.
    assert with_older([silent, answered], before) == (silent, answered)


@pytest.mark.parametrize("newest", [0, 1])
def test_of_ways_that_stand_in_for_one_another_one_older_answer_stands_in_for_all(newest: int) -> None:
    direct, through = (
        Item("first", "tax_returns", frozenset({"sales"}), outlet=o, fallback=bool(o)) for o in (None, "o")
    )
    silent = [Gathered(item, "1.0", "assumed", None, UpstreamTimeout(), 5, 1) for item in (direct, through)]
    fetched = gathered("tax_returns", FIRM["tax_returns"])
    assert fetched.reply is not None
    later = replace(fetched.reply, fetched_at=fetched.reply.fetched_at + timedelta(days=1))
    replies = [later if place == newest else fetched.reply for place in range(2)]
    before = {one.item: replace(one, reply=reply) for one, reply in zip(silent, replies, strict=True)}
    given = with_older(silent, before)
    assert [one.reply for one in given] == [later if place == newest else None for place in range(2)]


def test_an_answer_that_no_rule_can_read_has_no_origin_any_more() -> None:
    odd = replace(gathered("provident_fund", [{"month": 7}]), origin=Origin("shared", "m1", None, None))
    (source,) = profile_of([odd])["sources"]
    assert (source["reason"], source["commitment"], source["origin"]) == ("connector_fault", None, None)
