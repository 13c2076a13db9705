"""Keys of SM2: signing (GB/T 32918.2) and encrypting (GB/T 32918.4), in the forms that platforms write."""

from typing import Literal

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from connectors.sm2.backends import backend
from connectors.sm2.curve import N, multiply, on_curve
from connectors.sm2.encryption import CipherForm, from_der, to_der
from schemas.errors import InvalidValue

DEFAULT_ID = b"1234567812345678"
"""The user id of GM/T 0009 for those who have agreed on none."""

SignatureForm = Literal["raw", "der", "decimal"]
"""``raw``: r then s, 32 bytes each. ``der``: the SEQUENCE of GM/T 0009. ``decimal``: ASCII ``r,s``."""


class PublicKey:
    """A point on the curve: 64 bytes x then y, or the same with the leading 04 of the uncompressed form."""

    def __init__(self, point: bytes) -> None:
        if len(point) == 65 and point[0] == 4:
            point = point[1:]
        x, y = int.from_bytes(point[:32]), int.from_bytes(point[32:])
        if len(point) != 64 or not on_curve(x, y):
            raise InvalidValue(what="sm2_public_key")
        self.point = point
        self._verify = backend().verifier(point)

    def encrypt(self, data: bytes, *, form: CipherForm = "c1c3c2") -> bytes:
        """``data`` is 1 to 255 bytes: a key, never a document."""
        if not 0 < len(data) < 256:
            raise InvalidValue(what="sm2_plaintext")
        return from_der(backend().sealer(self.point)(data), form)

    def verify(
        self, signature: bytes, message: bytes, *, user_id: bytes = DEFAULT_ID, form: SignatureForm = "raw"
    ) -> bool:
        """False for a wrong signature and for one that does not have its form."""
        der = _to_der(signature, form)
        return der is not None and self._verify(_identity(user_id), message, der)


class PrivateKey:
    """A number in 1..n-2 as 32 bytes, big-endian. ``public`` is its point."""

    def __init__(self, secret: bytes) -> None:
        number = int.from_bytes(secret)
        if len(secret) != 32 or not 0 < number < N - 1:
            raise InvalidValue(what="sm2_private_key")
        x, y = multiply(number)
        self.public = PublicKey(x.to_bytes(32) + y.to_bytes(32))
        self._secret = secret
        self._sign = backend().signer(secret, self.public.point)

    def __repr__(self) -> str:
        return "PrivateKey(…)"

    def decrypt(self, data: bytes, *, form: CipherForm = "c1c3c2") -> bytes:
        """InvalidValue for what was not encrypted for this key, or was changed on the way."""
        der = to_der(data, form) if len(data) < 512 else None
        opened = None if der is None else backend().opener(self._secret, self.public.point)(der)
        if opened is None:
            raise InvalidValue(what="sm2_ciphertext")
        return opened

    def sign(self, message: bytes, *, user_id: bytes = DEFAULT_ID, form: SignatureForm = "raw") -> bytes:
        der = self._sign(_identity(user_id), message)
        if form == "der":
            return der
        r, s = decode_dss_signature(der)
        return r.to_bytes(32) + s.to_bytes(32) if form == "raw" else f"{r},{s}".encode()


def _identity(user_id: bytes) -> bytes:
    """Its length in bits must fit the two bytes ENTL (GB/T 32918.2, 5.5); libcrypto stops one byte earlier."""
    if not 0 < len(user_id) < 8191:
        raise InvalidValue(what="sm2_user_id")
    return user_id


def _to_der(signature: bytes, form: SignatureForm) -> bytes | None:
    try:
        if form == "raw":
            r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
            if len(signature) != 64:
                return None
        elif form == "der":
            r, s = decode_dss_signature(signature)
        else:
            texts = signature.decode("ascii").split(",")
            r, s = (int(text) for text in texts)
            if [str(r), str(s)] != texts:
                return None
    except ValueError:
        return None
    return encode_dss_signature(r, s) if 0 < r < N and 0 < s < N else None
