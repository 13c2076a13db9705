"""The secrets of a sandbox, all derived from its seed: good for invented data and nothing else.

Names are those of docs/platforms.md. The same seed gives the same secrets, so a gateway's settings outlive a restart.
"""

from collections.abc import Iterator
from functools import cache
from hashlib import sha256, shake_256
from itertools import count
from math import gcd

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from connectors.sandbox.support import DISTRICTS

Secrets = dict[str, dict[str, str]]

_SM2_ORDER = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123  # GB/T 32918.5
_RSA_E = 65537


def _derive(seed: int, what: str) -> str:
    return sha256(f"xinqiao sandbox {seed} {what}".encode()).hexdigest()


def _sm2_private(seed: int, what: str) -> str:
    return f"{int(_derive(seed, what), 16) % (_SM2_ORDER - 2) + 1:064x}"


def _small_primes() -> tuple[int, ...]:
    return tuple(p for p in range(3, 2000, 2) if all(p % q for q in range(3, int(p**0.5) + 1, 2)))


def _primes(material: bytes) -> Iterator[int]:
    """Fermat base-2 probable primes of 1024 bits in the order in which ``material`` leads to them."""
    small = _small_primes()
    drawn = (shake_256(material + number.to_bytes(4)).digest(128) for number in count())
    candidates = (int.from_bytes(digest) | 3 << 1022 | 1 for digest in drawn)
    return (c for c in candidates if all(c % p for p in small) and pow(2, c - 1, c) == 1)


@cache
def rsa_key(seed: int, what: str = "sh-tax private_key") -> rsa.RSAPrivateKey:
    """A 2048-bit key; ``cryptography`` checks it on construction."""
    found = (p for p in _primes(_derive(seed, what).encode()) if gcd(p - 1, _RSA_E) == 1)
    p, q = next(found), next(found)
    d = pow(_RSA_E, -1, (p - 1) * (q - 1))
    numbers = rsa.RSAPrivateNumbers(
        p, q, d, d % (p - 1), d % (q - 1), rsa.rsa_crt_iqmp(p, q), rsa.RSAPublicNumbers(_RSA_E, p * q)
    )
    return numbers.private_key()


def secrets_of(seed: int) -> Secrets:
    def key(what: str) -> str:
        return _derive(seed, what)[:40]

    pem = rsa_key(seed).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return {
        "sh-registry": {"rid": "sandbox-rid", "app_secret": key("sh-registry")},
        "sh-hrss": {"app_id": "sandbox-hrss", "app_key": key("sh-hrss")},
        "sh-hpf": {
            "app_id": "sandbox-hpf",
            "private_key": _sm2_private(seed, "sh-hpf"),
            "sm4_key": _derive(seed, "sh-hpf sm4")[:32],
        },
        "sh-housing": {"access_key": "sandbox-housing", "secret_key": key("sh-housing")},
        "sh-tax": {"app_id": "sandbox-tax", "private_key": pem},
        "sh-court": {"client_id": "sandbox-court", "client_secret": key("sh-court")},
        "credit-sh": {"paasid": "sandbox-credit", "token": key("credit-sh")},
        "ccrc-receivables": {"client_id": "sandbox-ccrc", "client_secret": key("ccrc-receivables")},
        "guarantee-fund": {
            "app_id": "sandbox-guarantee",
            "private_key": _sm2_private(seed, "guarantee-fund"),
            "secret": key("guarantee-fund secret"),
        },
        "yunlian": {"mer_id": "sandbox-yunlian", "private_key": _sm2_private(seed, "yunlian")},
        "core-enterprise": {"access_key": "sandbox-core", "secret_key": key("core-enterprise")},
        "acfic-sh": {"paasid": "sandbox-acfic", "token": key("acfic-sh")},
        "pudong-credit": {"app_id": "sandbox-pudong", "app_key": key("pudong-credit")},
        **{f"district-{name}": {"app_id": f"sandbox-{name}", "app_key": key(f"district-{name}")} for name in DISTRICTS},
        "sh-ywtb": {"client_id": "sandbox-ywtb", "client_secret": key("sh-ywtb")},
    }
