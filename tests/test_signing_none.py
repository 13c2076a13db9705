"""none: what is sent is what was drafted."""

from connectors.signing import SCHEMES
from connectors.signing.base import Explained, Moment
from connectors.wire import Draft, WireReply, WireRequest

AT = Moment(1700000000.9, "abc123nonce")
DRAFT = Draft("GET", "local://bank", "/table/accounts", query=(("uscc", "x"),), headers={"Accept": "text/x"})


async def no_send(_: WireRequest) -> WireReply:
    raise AssertionError("this scheme sends nothing of its own")


async def test_nothing_is_added_nothing_can_be_renewed_and_nothing_is_explained() -> None:
    signer = SCHEMES["none"].build({}, {})
    request = await signer.sign(DRAFT, AT, no_send)
    assert request == DRAFT.wire()
    assert not signer.refused(request)
    assert signer.explain(DRAFT, AT) == Explained("")
