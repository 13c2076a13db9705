"""What lenders are told: entries of the evidence log that they may subscribe to, as messages without personal data.

A message is made from the entry of the change itself, so that there is none without a change and no change without its
message. It names things by their ids; what they hold is asked for with an access token.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson

from schemas.base import Json


class WebhookEvent(StrEnum):
    CONSENT_REVOKED = "consent.revoked"
    CONSENT_SUSPENDED = "consent.suspended"
    CONSENT_RESUMED = "consent.resumed"
    CONSENT_SUPERSEDED = "consent.superseded"
    REQUEST_GIVEN = "request.given"
    REQUEST_DECLINED = "request.declined"
    REQUEST_EXPIRED = "request.expired"
    PROFILE_ISSUED = "profile.issued"
    PROFILE_REVISED = "profile.revised"
    PROFILE_FAILED = "profile.failed"


_STATES = {
    WebhookEvent.CONSENT_REVOKED: "revoked",
    WebhookEvent.CONSENT_SUSPENDED: "suspended",
    WebhookEvent.CONSENT_RESUMED: "active",
    WebhookEvent.CONSENT_SUPERSEDED: "superseded",
}
_FAILED = ("permit.closed", "profile.withheld")
_RENAMED = (WebhookEvent.PROFILE_REVISED, WebhookEvent.PROFILE_FAILED)
LOG_EVENTS = (*(event.value for event in WebhookEvent if event not in _RENAMED), *_FAILED)
"""The events of the log that become messages: a revision is another ``profile.issued``."""


@dataclass(frozen=True, slots=True)
class Message:
    """``id`` is made of the entry's leaf hash, so it is the same whenever the message is made."""

    id: str
    type: WebhookEvent
    body: bytes


def message_of(entry: Mapping[str, Any], leaf: bytes) -> Message:
    """The message that tells of an entry whose event is one of ``LOG_EVENTS``."""
    kind = WebhookEvent.PROFILE_FAILED if entry["event"] in _FAILED else WebhookEvent(entry["event"])
    data: dict[str, Json] = {"consent_id": entry["consent"]}
    if kind is WebhookEvent.PROFILE_ISSUED:
        if entry["revision"] > 1:
            kind = WebhookEvent.PROFILE_REVISED
        data |= {"permit_id": entry["permit"], "profile_id": entry["profile"], "revision": entry["revision"]}
    elif kind is WebhookEvent.PROFILE_FAILED:
        data |= {"permit_id": entry["permit"], "code": entry["code"]}
    elif kind in _STATES:
        data |= {"state": _STATES[kind], "version": entry["version"]}
        if kind is WebhookEvent.CONSENT_SUPERSEDED:
            data["superseded_by"] = entry["by"]
    else:
        data |= {"request_id": entry["request"], "state": kind.partition(".")[2]}
    body = orjson.dumps({"type": kind.value, "timestamp": entry["time"], "data": data})
    return Message("msg_" + leaf.hex()[:32], kind, body)
