"""``rsa2``: RSA PKCS#1 v1.5 with SHA-256 over the sorted parameters, base64."""

from base64 import b64encode
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from connectors.aside import aside
from connectors.signing.base import Explained, Moment, Scheme, TimeForm
from connectors.signing.keys import as_bytes, rsa_private_key, rsa_public_key
from connectors.signing.parameters import ParameterOptions, Parameters, ParameterVerifier, with_parameters
from connectors.wire import Draft, Send, WireRequest


class Rsa2Options(ParameterOptions):
    """``skip = ["sign_type"]`` where the platform does not sign that parameter either."""

    ts: TimeForm = "yyyy-MM-dd HH:mm:ss"


class Rsa2Signer:
    def __init__(self, options: Rsa2Options, secrets: Mapping[str, str]) -> None:
        self._field = options.sign
        self._key = rsa_private_key(secrets["private_key"])
        self._parameters, self._masked = Parameters(options, secrets), Parameters(options, None)

    async def sign(self, draft: Draft, moment: Moment, send: Send) -> WireRequest:  # noqa: ARG002
        draft, _ = self._parameters.complete(draft, moment)
        return with_parameters(draft, {self._field: await aside(self._signature, draft)}).wire()

    def refused(self, request: WireRequest) -> bool:  # noqa: ARG002
        return False

    def explain(self, draft: Draft, moment: Moment) -> Explained:
        complete, _ = self._parameters.complete(draft, moment)
        masked, added = self._masked.complete(draft, moment)
        return Explained(self._masked.text(masked), {}, {**added, self._field: self._signature(complete)})

    def _signature(self, draft: Draft) -> str:
        text = self._parameters.text(draft).encode(draft.charset)
        return b64encode(self._key.sign(text, PKCS1v15(), SHA256())).decode()


def _check(options: Rsa2Options, secrets: Mapping[str, str]) -> ParameterVerifier:
    key = rsa_public_key(secrets)

    def holds(text: bytes, signature: str) -> bool:
        try:
            key.verify(as_bytes(signature, "base64") or b"", text, PKCS1v15(), SHA256())
        except InvalidSignature:
            return False
        return True

    return ParameterVerifier(options, secrets, holds)


def _verify_needs(options: Rsa2Options) -> set[str]:
    return {"platform_key"} | options.named()


RSA2 = Scheme(Rsa2Options, lambda options: {"private_key"} | options.named(), Rsa2Signer, _verify_needs, _check)
