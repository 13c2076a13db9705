"""sh-court: OAuth 2.0 client credentials (RFC 6749 §4.4), a continuation key, Chinese dates."""

import hmac
from base64 import b64decode
from collections.abc import Mapping
from hashlib import sha256
from typing import Any
from urllib.parse import unquote_plus

from connectors.sandbox import verify
from connectors.sandbox.platforms.base import Platform, route
from connectors.sandbox.series import Row
from connectors.sandbox.verify import Refused, Why
from connectors.sandbox.wire import Answer, Call, dump, form, pairs, text_of
from connectors.sandbox.world import World

_LIFETIME = 1800
_PAGE = 10
_KINDS = {"enforcement": "被执行人", "dishonest_debtor": "失信被执行人", "judgment": "裁判文书"}
_ROLES = {"defendant": "被告", "plaintiff": "原告", "third_party": "第三人"}


class Court(Platform):
    id = "sh-court"

    def __init__(self, world: World, secrets: Mapping[str, str]) -> None:
        super().__init__(world, secrets)
        self._tokens: dict[str, float] = {}
        """Token -> Unix time of its end, oldest first."""

    def serve(self, call: Call) -> Answer:
        if call.service == "oauth2/token" and call.method == "POST":
            return self._token(call)
        route(call, "GET", {"api/cases": True})
        token = (call.headers.get("Authorization") or "").removeprefix("Bearer ")
        if self._tokens.get(token, 0.0) <= call.now:
            raise Refused(Why.TOKEN)
        asked = pairs(call.query)
        uscc = text_of(asked, "cardNum")
        e, rows = self.world.rows(self.id, "judicial", uscc)
        start = self._start(uscc, asked.get("cursor", ""))
        following = start + _PAGE
        result = {
            "cardNum": e.uscc if e else uscc,
            "sjrq": _day(self.world.today()),
            "data": [_row(row) for row in rows[start:following]],
            "next": self._cursor(uscc, following) if following < len(rows) else None,
        }
        verdict = "answered" if rows else "no_record"
        return Answer(dump({"status": "success", "result": result}), verdict, uscc=uscc)

    def _token(self, call: Call) -> Answer:
        given = form(call.body)
        if given.get("grant_type") != "client_credentials":
            return Answer(dump({"error": "unsupported_grant_type"}), Why.MALFORMED, status=400)
        client, secret = _basic(call.headers.get("Authorization")) or (
            given.get("client_id", ""),
            given.get("client_secret", ""),
        )
        try:
            verify.known(client, self.secrets["client_id"])
            verify.signed(secret, self.secrets["client_secret"])
        except Refused as refused:
            challenge = {"WWW-Authenticate": 'Basic realm="sh-court"'}
            return Answer(dump({"error": "invalid_client"}), refused.why, status=401, headers=challenge)
        while self._tokens and self._tokens[oldest := next(iter(self._tokens))] <= call.now:
            del self._tokens[oldest]
        seed = f"{self.world.seed} {call.now} {len(self._tokens)}"
        token = sha256(f"{seed} {self.secrets['client_secret']}".encode()).hexdigest()
        self._tokens[token] = call.now + _LIFETIME
        granted = {"access_token": token, "token_type": "Bearer", "expires_in": _LIFETIME}
        return Answer(dump(granted), "token", headers={"Cache-Control": "no-store"})

    def _cursor(self, uscc: str, start: int) -> str:
        """Bound to the enterprise, so that nobody counts through other people's pages."""
        mac = hmac.digest(
            self.secrets["client_secret"].encode(), f"{uscc} {start}".encode("utf-8", "replace"), "sha256"
        )
        return f"c{start}.{mac.hex()[:12]}"

    def _start(self, uscc: str, cursor: str) -> int:
        digits = cursor.partition(".")[0].removeprefix("c")
        if not cursor:
            return 0
        if not (digits.isascii() and digits.isdigit()) or len(digits) > 6 or cursor != self._cursor(uscc, int(digits)):
            raise Refused(Why.MALFORMED)
        return int(digits)

    def refuse(self, why: Why) -> Answer:
        if why is Why.TOKEN:
            challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
            return Answer(dump({"error": "invalid_token"}), why, status=401, headers=challenge)
        return Answer(dump({"status": "busy" if why is Why.BUSY else "error", "result": None}), why)


def _basic(header: str | None) -> tuple[str, str] | None:
    """Client id and secret of RFC 6749 §2.3.1: form-encoded, then joined by a colon."""
    if not header or not header.startswith("Basic "):
        return None
    try:
        client, _, secret = b64decode(header[6:], validate=True).decode().partition(":")
    except ValueError:
        return ("", "")
    return unquote_plus(client), unquote_plus(secret)


def _day(day: Any) -> str:
    return f"{day:%Y年%m月%d日}"


def _row(r: Row) -> dict[str, object]:
    amount: Any = r["amount"]
    return {
        "caseType": _KINDS[str(r["kind"])], "caseCode": r["case_number"], "iname": r["name"], "courtName": r["court"],
        "gistId": r["basis"] or "", "regDate": _day(r["filed_on"]), "publishDate": _day(r["published_on"]),
        "execMoney": float(amount), "performance": r["performance"] or "", "partyRole": _ROLES[str(r["role"])],
        "closed": "是" if r["closed"] else "否",
    }  # fmt: skip
