"""``tif`` and its twin ``rio``: hex(SHA256(ts + token + nonce + ts)) in x-tif-* or x-rio-* headers."""

from collections.abc import Mapping
from hashlib import sha256

from connectors.signing.base import HeaderSigner, Heard, Moment, NoOptions, Scheme, header_scheme, heard
from connectors.signing.verifying import Window, required
from connectors.wire import WireRequest


class TifSigner(HeaderSigner):
    window = Window(180, 1)
    folds_case = True

    def __init__(self, prefix: str, upper: bool, paasid: str, token: str) -> None:
        self._prefix, self._upper, self._paasid, self._token = prefix, upper, paasid, token
        self.signature_header = f"{prefix}-signature"

    def headers(self, request: WireRequest, moment: Moment) -> dict[str, str]:  # noqa: ARG002
        digest = sha256(self._text(moment, self._token).encode("utf-8", "replace")).hexdigest()
        return {
            f"{self._prefix}-paasid": self._paasid,
            f"{self._prefix}-timestamp": moment.text("unix-s"),
            f"{self._prefix}-nonce": moment.nonce,
            f"{self._prefix}-signature": digest.upper() if self._upper else digest,
        }

    def canonical(self, request: WireRequest, moment: Moment, charset: str = "utf-8") -> str:  # noqa: ARG002
        return self._text(moment, "<token>")

    def moment_of(self, headers: Mapping[str, str]) -> Heard:
        ts, nonce = (required(headers, f"{self._prefix}-{name}") for name in ("timestamp", "nonce"))
        return heard(ts, "unix-s", nonce)

    @staticmethod
    def _text(moment: Moment, token: str) -> str:
        ts = moment.text("unix-s")
        return ts + token + moment.nonce + ts


def _scheme(prefix: str, upper: bool) -> Scheme:
    return header_scheme(
        NoOptions,
        lambda _: ("paasid", "token"),
        lambda _, secrets: TifSigner(prefix, upper, secrets["paasid"], secrets["token"]),
    )


TIF = _scheme("x-tif", upper=False)
RIO = _scheme("x-rio", upper=True)
