"""Registering what a lender or the operator sends: a consent that is called signed is proven so first."""

from consent.consents import GrantConsent
from consent.log.signatures import thumbprint
from consent.signatures import Trusted, prove
from gateway.settings import Settings
from schemas.consent import ConsentGrant
from schemas.errors import ConfigurationError
from schemas.profile import Assurance


def trusted(settings: Settings) -> Trusted:
    """Raises ConfigurationError for a key set of another form."""
    try:
        return {uscc: {thumbprint(key) for key in jwks["keys"]} for uscc, jwks in settings.signers.items()}
    except (KeyError, TypeError):
        raise ConfigurationError(at="signers", mend="a JWKS of Ed25519 or P-256 keys for each code") from None


def grant_command(settings: Settings, grant: ConsentGrant, actor: str) -> GrantConsent:
    """Raises ConsentSignatureInvalid, and InvalidValue where the grant could never be honoured."""
    proven = prove(grant, trusted(settings)) if grant.assurance is Assurance.SIGNED else None
    return GrantConsent(grant, actor, proven=proven)
