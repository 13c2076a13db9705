"""What was done under a consent, told from the log for the enterprise that gave it (征信业管理条例 22, PIPL 44, 45)."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import orjson
from sqlalchemy import Connection, bindparam, select

from consent.keys import KeySet
from consent.reads import entries_about
from consent.tables import sealed
from consent.vault import RetentionClass, Sealed, Vault
from schemas.errors import KeysUnavailable

RUNNING = "open"
ISSUED = "issued"

Items = tuple[tuple[str, str, str | None], ...]
"""(platform, data set, outlet that passed it on or None) each."""


@dataclass(frozen=True, slots=True)
class Use:
    """One permit, or one refused attempt. ``outcome`` is ``open``, ``issued``, or the code of what ended it.

    ``first`` and ``last`` are the months asked, empty for a refusal; ``items`` is None where the sealed list can no
    longer be opened; ``reads`` counts how often the finished profile was read again.
    """

    at: str
    lender: str
    outcome: str
    first: str = ""
    last: str = ""
    items: Items | None = ()
    reads: int = 0


_SEALED = select(sealed.c.key_version, sealed.c.nonce, sealed.c.ciphertext).where(sealed.c.id == bindparam("id"))


def uses_of(connection: Connection, consent_id: str, vault: Vault) -> list[Use]:
    """Every use of the consent and every refused attempt, oldest first."""

    def opened(entry: dict[str, Any]) -> list[Any] | None:
        place = f"{entry['id']}/items"
        row = connection.execute(_SEALED, {"id": place}).one_or_none()
        if row is None:
            return None
        keys = KeySet(vault)
        keys.want(entry["subject"])
        try:
            keys.load(connection)
            key = keys.get(entry["subject"], RetentionClass.PAYLOAD)
            content: list[Any] = orjson.loads(key.open("sealed", place, Sealed(*row)))
        except KeysUnavailable:
            return None
        return content

    told = []
    for held in entries_about(connection, consent_id):
        read = orjson.loads(held.entry)
        if isinstance(read.get("items"), str):
            read["items"] = opened(read)
        told.append(read)
    return tell(told)


def tell(entries: Iterable[dict[str, Any]]) -> list[Use]:
    """The uses that log entries tell of; lists of items stand in the entries, or None where they are gone."""
    uses: dict[str, Use] = {}
    permits: dict[str, str] = {}
    for entry in entries:
        event = entry["event"]
        if event in ("permit.granted", "permit.resumed"):
            items = None if entry["items"] is None else tuple(map(_way, entry["items"]))
            known = uses.get(entry["permit"]) or Use(entry["time"], entry["actor"], RUNNING)
            months = {"first": entry["first"], "last": entry["last"]}
            uses[entry["permit"]] = replace(known, outcome=RUNNING, items=items, **months)
        elif event == "permit.refused":
            uses[entry["id"]] = Use(entry["time"], entry["actor"], entry["code"])
        elif event in ("permit.closed", "profile.withheld"):
            known = uses[entry["permit"]]
            uses[entry["permit"]] = replace(known, outcome=entry["code"]) if known.outcome == RUNNING else known
        elif event == "profile.issued":
            permits[entry["profile"]] = entry["permit"]
            uses[entry["permit"]] = replace(uses[entry["permit"]], outcome=ISSUED)
        elif event == "profile.read":
            permit = permits[entry["profile"]]
            uses[permit] = replace(uses[permit], reads=uses[permit].reads + 1)
    return list(uses.values())


def _way(item: list[Any]) -> tuple[str, str, str | None]:
    platform, dataset, _, _, outlet = [*item, None, None][:5]
    return platform, dataset, outlet
