"""``national``: the government-service platform's headers, with Base64(HMAC-SHA256(app_secret, sid + rid + rtime))."""

import hmac
from base64 import b64encode
from collections.abc import Mapping
from typing import Literal

from connectors.signing.base import Explained, HeaderSigner, Moment, Scheme
from connectors.wire import Draft, WireRequest
from schemas.base import Model, ShortText


class NationalOptions(Model):
    """``sid``: the id of this interface; each interface, so each data set, has its own."""

    sid: ShortText
    prefix: Literal["gjzwfwpt", "gjgxjhpt"] = "gjzwfwpt"


class NationalSigner(HeaderSigner):
    def __init__(self, options: NationalOptions, secrets: Mapping[str, str]) -> None:
        self._prefix, self._sid, self._rid = options.prefix, options.sid, secrets["rid"]
        self._key = secrets["app_secret"].encode()

    def headers(self, draft: Draft, request: WireRequest, moment: Moment) -> dict[str, str]:  # noqa: ARG002
        rtime = moment.text("unix-ms")
        mac = hmac.digest(self._key, (self._sid + self._rid + rtime).encode(), "sha256")
        return {
            f"{self._prefix}_rid": self._rid,
            f"{self._prefix}_sid": self._sid,
            f"{self._prefix}_rtime": rtime,
            f"{self._prefix}_sign": b64encode(mac).decode(),
        }

    def explain(self, draft: Draft, moment: Moment) -> Explained:
        text = f"{self._sid}{self._rid}{moment.text('unix-ms')}"
        return Explained(text, self.headers(draft, draft.wire(), moment))


NATIONAL = Scheme(NationalOptions, lambda _: ("rid", "app_secret"), NationalSigner)
