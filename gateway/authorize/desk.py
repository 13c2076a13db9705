"""What the pages and the lender's routes share: the identity check, secrets of forms, buckets and templates."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from consent.vault import hkdf
from gateway.authorize.buckets import Buckets
from gateway.authorize.identity import IdentityCheck, SandboxCode
from gateway.services import Services

HERE = Path(__file__).parent


@dataclass(slots=True)
class Desk:
    """``identity`` is None where nobody's identity can be checked: then no enterprise can be asked."""

    identity: IdentityCheck | None
    platforms: Mapping[str, Mapping[str, str]]
    secret: bytes
    links: Buckets
    checks: Buckets
    strangers: Buckets
    templates: Environment

    def form_secret(self, token_hash: str, visit: str) -> str:
        """What a form must bring back: only a page that this link and this browser were given holds it."""
        return hmac.digest(self.secret, f"{token_hash}\x00{visit}".encode(), "sha256").hex()

    def render(self, template: str, **values: Any) -> str:
        return self.templates.get_template(template).render(values)


DESK = web.AppKey("desk", Desk)


def token_hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def open_desk(services: Services, identity: IdentityCheck | None) -> Desk:
    """In production there is no identity check but one that was given; else the sandbox's code stands in."""
    secret = hkdf(services.keys.pseudonym, b"authorize")
    if identity is None and not services.settings.production:
        identity = SandboxCode(hkdf(secret, b"sandbox code"))
    return Desk(
        identity,
        {name: connector.names for name, connector in services.connectors.items()},
        hkdf(secret, b"form"),
        links=Buckets(60, 1.0),
        # A real check sends a message each time it begins.
        checks=Buckets(10, 60.0),
        strangers=Buckets(20, 5.0),
        templates=Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        ),
    )
