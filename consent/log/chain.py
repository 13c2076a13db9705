"""What an evidence bundle shows, link by link: consent, permit, replies, profile, readings; and whether they fit.

Each entry has been proven to be in the log and each payload to be the one its entry commits to before this is asked.
What is missing was destroyed; everything that is there must agree with everything else that is there.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, NamedTuple

from consent.log.rotation import EVENT as ROTATED
from consent.log.signatures import signers_shown

GRANTED = "consent.granted"
GIVEN = "request.given"
ISSUED = "profile.issued"
STATES = (GRANTED, "consent.suspended", "consent.resumed", "consent.revoked", "consent.superseded")
PERMITS = ("permit.granted", "permit.resumed")
READINGS = ("profile.read", "profile.exported")
ABOUT_CONSENT = (*STATES, GIVEN)
ABOUT_PERMIT = PERMITS
ABOUT_PROFILE = (ISSUED, *READINGS)

_GOOD = (GRANTED, "consent.resumed")


class Unfit(Exception):
    """The part of the bundle that does not fit, and why."""

    def __init__(self, path: str, text: str) -> None:
        super().__init__(f"{path}: {text}")
        self.path, self.text = path, text


class Asked(NamedTuple):
    """What a permit lets ask for: of the platform itself, or through the outlet that passes it on."""

    platform: str
    dataset: str
    fields: Sequence[str]
    person: str | None = None
    """Pseudonym of the person it is about; None is the enterprise."""
    outlet: str | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """One proven entry: its place, its bytes, what they say, and its payloads by name (None: destroyed)."""

    index: int
    data: bytes
    entry: Mapping[str, Any]
    payloads: Mapping[str, bytes | None]

    @property
    def event(self) -> str:
        return str(self.entry["event"])

    def json(self, name: str) -> Any:
        """The payload as JSON; None where it was destroyed."""
        payload = self.payloads[name]
        return None if payload is None else json.loads(payload)

    def asked(self) -> list["Asked"] | None:
        """The items of a permit; None where they were too large for the entry and were destroyed."""
        items = self.listed("items")
        return None if items is None else [Asked(*item) for item in items]

    def listed(self, name: str) -> Any:
        """A list that stands in the entry itself or, where it was too large, in a payload."""
        held = self.entry[name]
        return self.json(name) if isinstance(held, str) else held


def commitments(entry: Mapping[str, Any], payload: Callable[[str], bytes | None]) -> Iterator[tuple[str, str]]:
    """Name and commitment of every payload of an entry. ``payload`` gives the one of a name, None where destroyed: the
    replies of a profile are named by a list that can be a payload itself."""
    event = entry["event"]
    if event == GRANTED:
        yield "consent", entry["commitment"]
    elif event == GIVEN:
        yield "act", entry["commitment"]
    elif event in STATES:
        yield "status", entry["commitment"]
    elif event in PERMITS and isinstance(entry["items"], str):
        yield "items", entry["items"]
    elif event == ISSUED:
        yield "profile", entry["commitment"]
        sources = entry["sources"]
        if isinstance(sources, str):
            yield "sources", sources
            held = payload("sources")
            sources = [] if held is None else json.loads(held)
        for platform, dataset, _, _, commitment, *_ in sources:
            if commitment is not None:
                yield f"reply/{platform}/{dataset}", commitment


@dataclass(frozen=True, slots=True)
class Chain:
    """``acts``: how the consent was given on our page; ``issued``: every revision of the one profile, oldest first;
    ``profiles``: their contents where they opened."""

    consents: Sequence[Link]
    acts: Sequence[Link]
    permits: Sequence[Link]
    issued: Sequence[Link]
    readings: Sequence[Link]
    profiles: Sequence[Mapping[str, Any] | None]
    rotations: Sequence[Link]
    origins: Sequence[Link]
    """The entries of the earlier profiles whose answers were used again; ``earlier`` are these profiles' contents."""
    earlier: Sequence[Mapping[str, Any] | None]

    @property
    def profile_id(self) -> str:
        return str(self.issued[0].entry["profile"])

    def links(self) -> list[Link]:
        """In the order of the log."""
        mine = (*self.consents, *self.acts, *self.permits, *self.issued, *self.readings)
        every = (*mine, *self.origins, *self.rotations)
        return sorted(every, key=lambda link: link.index)

    def replies(self, issued: Link) -> list[tuple[str, str, Any]]:
        """Platform, data set and the reply (None: destroyed) of each source that answered."""
        found = [name.split("/") for name in issued.payloads if name.startswith("reply/")]
        return [(platform, dataset, issued.json(f"reply/{platform}/{dataset}")) for _, platform, dataset in found]


def chain(links: Sequence[Link], open_profile: Callable[[Link], Mapping[str, Any] | None]) -> Chain:
    """Raises Unfit. ``links`` are in the order of the log; ``open_profile`` checks the signature of a JWS."""

    def those(*events: str) -> list[Link]:
        return [link for link in links if link.event in events]

    every = those(ISSUED)
    if not every:
        raise Unfit("log.json", "no profile was issued")
    contents = {link.index: open_profile(link) for link in every}
    # What it uses again was there before it.
    issued = [link for link in every if link.entry["profile"] == every[-1].entry["profile"]]
    made = Chain(
        those(*STATES),
        those(GIVEN),
        those(*PERMITS),
        issued,
        those(*READINGS),
        [contents[link.index] for link in issued],
        those(ROTATED),
        [link for link in every if link not in issued],
        [contents[link.index] for link in every if link not in issued],
    )
    if len(made.links()) != len(links):
        stranger = min({link.index for link in links} - {link.index for link in made.links()})
        raise Unfit("log.json", f"entry {stranger} does not belong to this evidence")
    _order(made)
    for link, profile in zip(made.issued, made.profiles, strict=True):
        _issue(made, link, profile)
    return made


def same(path: str, what: str, *values: object) -> None:
    if any(value != values[0] for value in values):
        raise Unfit(path, f"{what} is not the same as elsewhere in this evidence")


def _order(made: Chain) -> None:
    """The entries are about one enterprise, consent, permit and profile, and nothing was asked before it was agreed."""
    first = made.issued[0].entry
    about = {"consent": first["consent"], "subject": first["subject"]}
    for link in (*made.consents, *made.acts, *made.permits, *made.issued, *made.origins):
        same("log.json", f"what entry {link.index} is about", about, {k: link.entry[k] for k in about})
    for link in (*made.permits, *made.issued):
        whose = (link.entry["permit"], link.entry["actor"])
        same("log.json", f"the permit of entry {link.index}", (first["permit"], first["actor"]), whose)
    for link in (*made.issued, *made.readings):
        same("log.json", f"the profile of entry {link.index}", first["profile"], link.entry["profile"])
    versions = [link.entry["version"] for link in made.consents]
    same("log.json", "the count of the consent's versions", versions, list(range(1, len(versions) + 1)))
    if not made.consents or made.consents[0].event != GRANTED:
        raise Unfit("log.json", "the consent is missing")
    revisions = [link.entry["revision"] for link in made.issued]
    same("log.json", "the count of the profile's revisions", revisions, list(range(1, len(revisions) + 1)))
    granted = [link for link in made.permits if link.event == "permit.granted"]
    if len(granted) != 1 or granted[0] is not made.permits[0] or made.permits[-1].index > made.issued[0].index:
        raise Unfit("log.json", "the profile has not one permit from before it")
    standing = latest(made.consents, made.permits[0].index)
    same("log.json", "the consent's version", standing.entry["version"], granted[0].entry["version"])
    _acts(made)
    for link in (*made.permits, *made.issued):
        if latest(made.consents, link.index).event not in _GOOD:
            raise Unfit("log.json", f"the consent did not hold at entry {link.index}")
    if made.readings and made.readings[0].index < made.issued[0].index:
        raise Unfit("log.json", "a profile was read before it was issued")


def _acts(made: Chain) -> None:
    """What the enterprise did on our page is what its consent names as evidence."""
    if made.consents[0].entry["assurance"] == "gateway_captured" and not made.acts:
        raise Unfit("log.json", "the act by which the consent was given is missing")
    consent = made.consents[0].json("consent")
    if consent is not None and consent["assurance"] == "signed" and not signers_shown(consent):
        raise Unfit(f"payload/{made.consents[0].index}/consent", "the signatures of its signers do not hold")
    for link in made.acts:
        act = link.payloads["act"]
        if consent is not None and act is not None:
            digest = sha256(act).hexdigest()
            same(f"payload/{link.index}/act", "the record of the act", digest, consent["evidence"]["sha256"])


def latest(links: Sequence[Link], before: int) -> Link:
    earlier = [link for link in links if link.index < before]
    if not earlier:
        raise Unfit("log.json", "no consent from before its use")
    return earlier[-1]


def _issue(made: Chain, issued: Link, profile: Mapping[str, Any] | None) -> None:
    """One revision: inside its permit and its consent, and made of the replies that its entry names."""
    place = f"payload/{issued.index}"
    permit, asked = made.permits[0], made.permits[-1]
    if issued.entry["time"] >= permit.entry["valid_until"]:
        raise Unfit("log.json", f"entry {issued.index} was issued after its permit had ended")
    items, sources = asked.asked(), issued.listed("sources")
    consent = made.consents[0].json("consent")
    if consent is not None:
        _agreed(made.consents[0], permit, items, consent)
    if items is not None and sources is not None:
        allowed = {(item.platform, item.dataset) for item in items}
        if any((source[0], source[1]) not in allowed for source in sources):
            raise Unfit("log.json", f"entry {issued.index} has a source that the permit does not name")
    if profile is None:
        return
    head = {k: profile[k] for k in ("id", "revision", "consent_id", "consent_assurance", "purpose")}
    entry = permit.entry
    told = [issued.entry["profile"], issued.entry["revision"], entry["consent"], entry["assurance"], entry["purpose"]]
    same(f"{place}/profile", "whose profile it is", list(head.values()), told)
    period = {"first": asked.entry["first"], "last": asked.entry["last"]}
    same(f"{place}/profile", "the period", profile["period"], period)
    if consent is not None:
        same(f"{place}/profile", "the enterprise", profile["subject"], consent["subject"])
    if items is not None:
        ways = {(item.platform, item.dataset, item.outlet) for item in items}
        if any((s["platform"], s["dataset"], s["via"]) not in ways for s in profile["sources"]):
            raise Unfit(f"{place}/profile", "a source came another way than the permit names")
    if sources is not None:
        named = [_as_listed(source) for source in profile["sources"]]
        same(f"{place}/profile", "the list of sources", named, sources)
        _replies(place, issued, profile)


def _as_listed(source: Mapping[str, Any]) -> list[Any]:
    """A source of the profile as the entry's list has it."""
    told = [source[k] for k in ("platform", "dataset", "state", "reason", "commitment")]
    origin = source.get("origin")
    return told if origin is None else [*told, [origin[k] for k in ("how", "permit", "entry", "commitment")]]


def _agreed(granted: Link, permit: Link, items: Sequence[Asked] | None, consent: Mapping[str, Any]) -> None:
    """The document covers what the permit allows, by the way that the permit allows it."""
    path, entry, told = f"payload/{granted.index}/consent", permit.entry, granted.entry
    same(path, "the grantee", consent["grantee"], entry["actor"])
    same(path, "the purpose", consent["purpose"], entry["purpose"], told["purpose"])
    same(path, "the assurance", consent["assurance"], entry["assurance"], told["assurance"])
    valid = [consent["valid_from"], consent["valid_to"]]
    same(path, "the validity", valid, [told["valid_from"], told["valid_to"]])
    first, last = map(datetime.fromisoformat, valid)
    if not first <= datetime.fromisoformat(entry["time"]) < last:
        raise Unfit(path, "was not valid when it was used")
    if consent["max_uses"] is not None and entry["use"] > consent["max_uses"]:
        raise Unfit(path, "was used more often than agreed")
    parts = {None: consent["scopes"], **{person["subject"]: person["scopes"] for person in consent["persons"]}}
    agreed = {
        (who, s["platform"], s["dataset"], outlet, f)
        for who, scopes in parts.items()
        for s in scopes
        for outlet in (None, *s["via"])
        for f in s["fields"]
    }
    wanted = {(i.person, i.platform, i.dataset, i.outlet, f) for i in items or () for f in i.fields}
    if not wanted <= agreed:
        raise Unfit(path, "does not cover what the permit names")


def _replies(place: str, issued: Link, profile: Mapping[str, Any]) -> None:
    """The records of each section are those of the replies, source after source."""
    passed: dict[str, int] = {}
    for source in profile["sources"]:
        platform, dataset, count = source["platform"], source["dataset"], source["records"]
        start = passed.get(dataset, 0)
        passed[dataset] = start + count
        if source["commitment"] is None or count == 0:
            continue
        reply = issued.json(f"reply/{platform}/{dataset}")
        if reply is not None:
            shown = profile["sections"][dataset]["records"][start : start + count]
            same(f"{place}/reply/{platform}/{dataset}", "what the platform answered", reply["records"], shown)
