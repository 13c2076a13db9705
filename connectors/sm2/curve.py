"""The curve sm2p256v1 (GB/T 32918.5), and what is computed in Python: a public key, and the digest of a message."""

from connectors.sm2.symmetric import sm3

P = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
A = P - 3
B = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93
N = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
G = (
    0x32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7,
    0xBC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0,
)


def on_curve(x: int, y: int) -> bool:
    return max(x, y) < P and (y * y - x * x * x - A * x - B) % P == 0


def multiply(k: int) -> tuple[int, int]:
    """k times the base point. Not constant-time: it runs once, when a key is loaded, and never per signature."""
    x, y = G
    for bit in bin(k)[3:]:
        slope = (3 * x * x + A) * pow(2 * y, -1, P) % P
        x, y = _chord(slope, x, y, x)
        if bit == "1":
            slope = (G[1] - y) * pow(G[0] - x, -1, P) % P
            x, y = _chord(slope, x, y, G[0])
    return x, y


def _chord(slope: int, x: int, y: int, other_x: int) -> tuple[int, int]:
    third = (slope * slope - x - other_x) % P
    return third, (slope * (x - third) - y) % P


def message_digest(point: bytes, user_id: bytes, message: bytes) -> bytes:
    """e = SM3(ZA, M) with ZA = SM3(ENTL, ID, a, b, G, P) (GB/T 32918.2, 5.5 and 6.1)."""
    curve = b"".join(number.to_bytes(32) for number in (A, B, *G))
    za = sm3((8 * len(user_id)).to_bytes(2) + user_id + curve + point)
    return sm3(za + message)
