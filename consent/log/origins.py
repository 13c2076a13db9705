"""Answers that no call under the profile's own permit brought: what the log says of where they came from, and whether
the evidence shows it.

An earlier profile under the very same leave may have brought one (``reused``: its entry is in the bundle), or the call
of another permit that was under way (``shared``).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from consent.log.chain import Chain, Link, Unfit, latest, same


class Origin(NamedTuple):
    """As an entry's list of sources has it."""

    how: str
    permit: str
    """Of the call; of an earlier profile, its own, under which the platform was called or a call was shared."""
    entry: int | None
    """That of the earlier profile, and what it commits to the same reply by; both None where it was shared."""
    commitment: str | None


def origin_of(source: Sequence[Any]) -> Origin | None:
    """Of one source in an entry's list."""
    return Origin(*source[5]) if source[5:] else None


def reused(sources: Iterable[Sequence[Any]]) -> list[tuple[str, str, Origin]]:
    """Platform, data set and origin of those that an earlier profile answered."""
    told = ((source[0], source[1], origin_of(source)) for source in sources)
    return [(platform, dataset, origin) for platform, dataset, origin in told if origin and origin.how == "reused"]


_STATES = {("present", "present"), ("present", "stale"), ("empty_confirmed", "empty_confirmed")}
"""What an answer was when it was brought, and what it may be when it is used again."""


def check_origins(made: Chain) -> None:
    """Raises Unfit where what was used again is not what an earlier profile brought, for the same lender and purpose,
    of the same months, under the same version of the consent."""
    earlier = {link.index: (link, content) for link, content in zip(made.origins, made.earlier, strict=True)}
    named = set()
    for issued, profile in zip(made.issued, made.profiles, strict=True):
        for platform, dataset, origin in reused(issued.listed("sources") or ()):
            link, before = earlier.get(origin.entry or 0, (issued, None))
            if link.index >= issued.index:
                raise Unfit("log.json", f"the earlier profile whose answer entry {issued.index} uses again is missing")
            named.add(link.index)
            _entries(made, issued, link, (platform, dataset, origin))
            if before is not None:
                path, told = (
                    f"payload/{link.index}/profile",
                    [link.entry[k] for k in ("profile", "revision", "consent")],
                )
                same(path, "whose profile it is", [before[k] for k in ("id", "revision", "consent_id")], told)
                if profile is not None:
                    _contents(path, before, profile, (platform, dataset))
    if strangers := earlier.keys() - named:
        raise Unfit("log.json", f"entry {min(strangers)} does not belong to this evidence")


def _entries(made: Chain, issued: Link, earlier: Link, told: tuple[str, str, Origin]) -> None:
    platform, dataset, origin = told
    what = f"the origin of an answer of entry {issued.index}"
    same("log.json", what, [issued.entry["actor"], origin.permit], [earlier.entry[k] for k in ("actor", "permit")])
    versions = [latest(made.consents, link.index).entry["version"] for link in (made.permits[-1], earlier)]
    same("log.json", f"the consent's version at {what}", *versions)
    brought, used = (
        [s for s in link.listed("sources") or () if s[:2] == [platform, dataset] and s[4] is not None]
        for link in (earlier, issued)
    )
    known = earlier.listed("sources") is None or (
        [s[4] for s in brought] == [origin.commitment] and (brought[0][2], used[0][2]) in _STATES
    )
    if not known or reused(brought):
        raise Unfit("log.json", f"entry {earlier.index} did not bring what entry {issued.index} uses again")
    name = f"reply/{platform}/{dataset}"
    replies = [link.json(name) for link in (issued, earlier) if link.payloads.get(name) is not None]
    same(f"payload/{issued.index}/{name}", "what was used again", *replies or [None])


def _contents(path: str, before: Mapping[str, Any], after: Mapping[str, Any], place: tuple[str, str]) -> None:
    for what in ("purpose", "period"):
        same(path, f"the {what} of what was used again", before[what], after[what])
    same(path, "how what was used again was fetched", _fetched(before, place), _fetched(after, place))


def _fetched(profile: Mapping[str, Any], place: tuple[str, str]) -> list[list[Any]]:
    answered = [s for s in profile["sources"] if (s["platform"], s["dataset"]) == place and s["commitment"] is not None]
    return [[s[k] for k in ("via", "connector_version", "fetched_at", "as_of")] for s in answered]
