"""``tif`` and its twin ``rio``: hex(SHA256(ts + token + nonce + ts)) in x-tif-* or x-rio-* headers."""

from hashlib import sha256

from connectors.signing.base import Explained, HeaderSigner, Moment, NoOptions, Scheme
from connectors.wire import Draft, WireRequest


class TifSigner(HeaderSigner):
    def __init__(self, prefix: str, upper: bool, paasid: str, token: str) -> None:
        self._prefix, self._upper, self._paasid, self._token = prefix, upper, paasid, token

    def headers(self, draft: Draft, request: WireRequest, moment: Moment) -> dict[str, str]:  # noqa: ARG002
        digest = sha256(self._text(moment, self._token).encode()).hexdigest()
        return {
            f"{self._prefix}-paasid": self._paasid,
            f"{self._prefix}-timestamp": moment.text("unix-s"),
            f"{self._prefix}-nonce": moment.nonce,
            f"{self._prefix}-signature": digest.upper() if self._upper else digest,
        }

    def explain(self, draft: Draft, moment: Moment) -> Explained:
        return Explained(self._text(moment, "<token>"), self.headers(draft, draft.wire(), moment))

    @staticmethod
    def _text(moment: Moment, token: str) -> str:
        ts = moment.text("unix-s")
        return ts + token + moment.nonce + ts


def _scheme(prefix: str, upper: bool) -> Scheme:
    return Scheme(
        NoOptions,
        lambda _: ("paasid", "token"),
        lambda _, secrets: TifSigner(prefix, upper, secrets["paasid"], secrets["token"]),
    )


TIF = _scheme("x-tif", upper=False)
RIO = _scheme("x-rio", upper=True)
