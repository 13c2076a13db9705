"""Which signatures prove a message's body: what comes unasked is believed for nothing else."""

from connectors.signing.apisix_hmac import ApisixOptions
from connectors.signing.hmac_template import HmacTemplateOptions
from connectors.signing.rfc9421 import Rfc9421Options
from schemas.base import Model

_ALWAYS = frozenset({"wechatpay-v3", "jws-detached", "rsa2", "sm2-params", "sm2-envelope", "placeholder-sm2"})


def covers_body(scheme: str, options: Model) -> bool:
    """Whether a message that verifies under ``scheme`` with these options can have no other body and no other time."""
    if isinstance(options, HmacTemplateOptions):
        headers = options.headers.values()
        timed = "{ts}" in options.text and "{ts}" in headers
        return timed and "{body" in options.text and any("{mac}" in header for header in headers)
    if isinstance(options, ApisixOptions):
        return options.digest
    if isinstance(options, Rfc9421Options):
        return "content-digest" in options.components
    return scheme in _ALWAYS
