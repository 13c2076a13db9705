"""``md5-rotating``: lower-case hex MD5(appKey + secret + requestTime), the secret had by two refreshing calls.

The application's secret gets a refresh secret (about 48 hours), and that gets the request secret (about a quarter of an
hour) which signs business calls. MD5 and a secret in plain concatenation are the platform's choice, not ours.
"""

from collections.abc import Mapping
from hashlib import md5
from typing import Annotated
from urllib.parse import urlencode

from pydantic import StringConstraints

from connectors.signing.base import Explained, Moment, Scheme, heard
from connectors.signing.parameters import parameters_of, texts_of, with_parameters
from connectors.signing.renewal import Issued, Renewal, issued, read_answer, read_lifetime
from connectors.signing.verifying import Claim, Why, Window, required, same
from connectors.wire import Draft, Send, WireRequest
from schemas.base import Model
from schemas.errors import UpstreamDenied, UpstreamMalformed

_Path = Annotated[str, StringConstraints(pattern=r"^/[^?#\s]*$")]


class Md5Options(Model):
    """Where the two secrets are had, under the platform's base URL, by a GET."""

    refresh_path: _Path
    request_path: _Path


class Md5Signer:
    def __init__(self, options: Md5Options, secrets: Mapping[str, str]) -> None:
        self._options = options
        self._app_key, self._app_secret = secrets["app_key"], secrets["app_secret"]
        self._refresh, self._request = Renewal(), Renewal()

    async def sign(self, draft: Draft, moment: Moment, send: Send) -> WireRequest:
        async def fetch_refresh() -> Issued:
            url = draft.base_url + self._options.refresh_path
            return await self._asked(self._refresh, url, self._app_secret, "refreshSecret", moment, send)

        async def fetch_request() -> Issued:
            url = draft.base_url + self._options.request_path
            secret = await self._refresh.get(fetch_refresh)
            try:
                return await self._asked(self._request, url, secret, "requestSecret", moment, send)
            except UpstreamDenied:
                self._refresh.refused(secret)
            secret = await self._refresh.get(fetch_refresh)
            return await self._asked(self._request, url, secret, "requestSecret", moment, send)

        secret = await self._request.get(fetch_request)
        return with_parameters(draft, self._parameters(secret, moment.text("unix-ms"))).wire()

    def refused(self, request: WireRequest) -> bool:
        given, _ = parameters_of(request)
        for secret in tuple(self._request.held()):
            if self._parameters(secret, str(given["requestTime"]))["sign"] == given["sign"]:
                self._request.refused(secret)
        return True

    def explain(self, draft: Draft, moment: Moment) -> Explained:  # noqa: ARG002
        ts = moment.text("unix-ms")
        return Explained(
            f"{self._app_key}<request_secret>{ts}", {}, {**self._parameters("", ts), "sign": "<md5 of the text>"}
        )

    async def _asked(self, renewal: Renewal, url: str, secret: str, name: str, moment: Moment, send: Send) -> Issued:
        asked_at = renewal.clock()
        query = urlencode(self._parameters(secret, moment.text("unix-ms")))
        answer = read_answer(
            await send(WireRequest("GET", f"{url}?{query}", {"Accept": "application/json"}, b"")), name
        )
        if answer.get("code") != "00":
            raise UpstreamDenied(at=name)
        given = answer.get("datas")
        if not isinstance(given, dict):
            raise UpstreamMalformed(at="datas")
        value = given.get(name)
        if not isinstance(value, str) or not value:
            raise UpstreamMalformed(at=f"datas.{name}")
        end = f"{name}EndTime"
        return issued(value, asked_at, read_lifetime(given.get(end), moment.unix, f"datas.{end}"))

    def _parameters(self, secret: str, ts: str) -> dict[str, str]:
        return {"appKey": self._app_key, "requestTime": ts, "sign": _sign(self._app_key, secret, ts)}


class Md5Verifier:
    """For a message under a request secret that is known: the secret ``request_secret``."""

    window = Window(300, 300)
    aside = False

    def __init__(self, _: Md5Options, secrets: Mapping[str, str]) -> None:
        self._app_key, self._secret = secrets["app_key"], secrets["request_secret"]

    def read(self, request: WireRequest) -> Claim:
        given = texts_of(parameters_of(request)[0])
        app_key, ts, sign = (required(given, name) for name in ("appKey", "requestTime", "sign"))
        right = _sign(self._app_key, self._secret, ts)
        if not same(app_key, self._app_key):
            why: Why | None = Why.UNKNOWN_KEY
        else:
            why = None if same(sign, right) else Why.FORGED
        return Claim(f"{self._app_key}<request_secret>{ts}", heard(ts, "unix-ms", "").unix, right, why)


def _sign(app_key: str, secret: str, ts: str) -> str:
    return md5((app_key + secret + ts).encode("utf-8", "replace"), usedforsecurity=False).hexdigest()


MD5_ROTATING = Scheme(
    Md5Options,
    lambda _: ("app_key", "app_secret"),
    Md5Signer,
    lambda _: ("app_key", "request_secret"),
    Md5Verifier,
)
