"""The signing schemes by the names that a manifest's ``[auth] scheme`` uses."""

from collections.abc import Mapping
from types import MappingProxyType

from connectors.signing.apisix_hmac import APISIX_HMAC
from connectors.signing.base import Scheme
from connectors.signing.bg_hmac import BG_HMAC
from connectors.signing.hmac_template import HMAC_TEMPLATE
from connectors.signing.jws_detached import JWS_DETACHED
from connectors.signing.md5_rotating import MD5_ROTATING
from connectors.signing.national import NATIONAL
from connectors.signing.none import NONE
from connectors.signing.oauth2_client import OAUTH2_CLIENT
from connectors.signing.placeholder_sm2 import PLACEHOLDER_SM2
from connectors.signing.rfc9421 import RFC9421
from connectors.signing.rsa2 import RSA2
from connectors.signing.sm2_envelope import SM2_ENVELOPE
from connectors.signing.sm2_params import SM2_PARAMS
from connectors.signing.tif import RIO, TIF
from connectors.signing.wechatpay_v3 import WECHATPAY_V3

SCHEMES: Mapping[str, Scheme] = MappingProxyType(
    {
        "tif": TIF,
        "rio": RIO,
        "national": NATIONAL,
        "bg-hmac": BG_HMAC,
        "apisix-hmac": APISIX_HMAC,
        "md5-rotating": MD5_ROTATING,
        "rsa2": RSA2,
        "wechatpay-v3": WECHATPAY_V3,
        "rfc9421": RFC9421,
        "jws-detached": JWS_DETACHED,
        "oauth2-client": OAUTH2_CLIENT,
        "sm2-params": SM2_PARAMS,
        "sm2-envelope": SM2_ENVELOPE,
        "placeholder-sm2": PLACEHOLDER_SM2,
        "hmac-template": HMAC_TEMPLATE,
        "none": NONE,
    }
)
