"""The signing schemes by the names that a manifest's ``[auth] scheme`` uses."""

from collections.abc import Mapping
from types import MappingProxyType

from connectors.signing.base import Scheme
from connectors.signing.bg_hmac import BG_HMAC
from connectors.signing.hmac_template import HMAC_TEMPLATE
from connectors.signing.national import NATIONAL
from connectors.signing.oauth2_client import OAUTH2_CLIENT
from connectors.signing.rsa2 import RSA2
from connectors.signing.sm2_params import SM2_PARAMS
from connectors.signing.tif import RIO, TIF

SCHEMES: Mapping[str, Scheme] = MappingProxyType(
    {
        "tif": TIF,
        "rio": RIO,
        "national": NATIONAL,
        "bg-hmac": BG_HMAC,
        "rsa2": RSA2,
        "oauth2-client": OAUTH2_CLIENT,
        "sm2-params": SM2_PARAMS,
        "hmac-template": HMAC_TEMPLATE,
    }
)
