"""SM2 (GB/T 32918) with SM3 (GB/T 32905) and SM4 (GB/T 32907): what signatures and envelopes of platforms are made of.

Two backends do the arithmetic of SM2: the system's libcrypto 3 through ctypes (EVP), and gmssl_pyx where there is none.
The first use runs known-answer tests; a backend that fails one is never used. An operation takes less than a
millisecond, but a hundred at once would hold the event loop for tens of them: connectors.aside keeps them off it.
"""

from connectors.sm2.encryption import CipherForm
from connectors.sm2.keys import DEFAULT_ID, PrivateKey, PublicKey, SignatureForm
from connectors.sm2.symmetric import Sm4Mode, hmac_sm3, sm3, sm4_decrypt, sm4_encrypt

__all__ = [
    "DEFAULT_ID",
    "CipherForm",
    "PrivateKey",
    "PublicKey",
    "SignatureForm",
    "Sm4Mode",
    "hmac_sm3",
    "sm3",
    "sm4_decrypt",
    "sm4_encrypt",
]
