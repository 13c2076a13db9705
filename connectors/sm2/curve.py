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
    """k times the base point, 0 < k < n - 1. Not constant-time: it runs once, when a key is loaded, and never per
    signature. In Jacobian coordinates, (x / z², y / z³), so that there is one division and not one per step."""
    gx, gy = G
    x, y, z = gx, gy, 1
    for bit in bin(k)[3:]:
        square, slope = y * y % P, 3 * (x - z * z) * (x + z * z) % P  # The curve's a is -3.
        common = 4 * x * square % P
        x, y_before, z_before = (slope * slope - 2 * common) % P, y, z
        y = (slope * (common - x) - 8 * square * square) % P
        z = 2 * y_before * z_before % P
        if bit == "1":
            zz = z * z % P
            across, up = (gx * zz - x) % P, (gy * zz * z - y) % P
            cube, common = across**3 % P, x * across * across % P
            x = (up * up - cube - 2 * common) % P
            y = (up * (common - x) - y * cube) % P
            z = z * across % P
    inverse = pow(z, -1, P)
    return x * inverse**2 % P, y * inverse**3 % P


def message_digest(point: bytes, user_id: bytes, message: bytes) -> bytes:
    """e = SM3(ZA, M) with ZA = SM3(ENTL, ID, a, b, G, P) (GB/T 32918.2, 5.5 and 6.1)."""
    curve = b"".join(number.to_bytes(32) for number in (A, B, *G))
    za = sm3((8 * len(user_id)).to_bytes(2) + user_id + curve + point)
    return sm3(za + message)
