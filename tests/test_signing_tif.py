"""tif and rio against their known answer."""

import pytest

from connectors.signing import SCHEMES
from connectors.signing.base import Moment, Signer
from connectors.wire import Draft, WireReply, WireRequest

AT = Moment(1700000000.9, "abc123nonce")
ANSWER = "b3a106ee8c31daebea0e6f9180ea48eae2461e299b64a0c26316b3da38daa65f"
DRAFT = Draft("POST", "https://tif.example", "/api", body={"a": "b"}, encode="json", headers={"Accept": "text/x"})


async def no_send(_: WireRequest) -> WireReply:
    raise AssertionError("this scheme sends nothing of its own")


def signer(name: str) -> Signer:
    return SCHEMES[name].build({}, {"paasid": "my-paas", "token": "test-token"})


@pytest.mark.parametrize(("name", "answer"), [("tif", ANSWER), ("rio", ANSWER.upper())])
async def test_the_known_answer_in_the_headers_beside_what_was_there(name: str, answer: str) -> None:
    request = await signer(name).sign(DRAFT, AT, no_send)
    assert request == WireRequest(
        "POST",
        "https://tif.example/api",
        {
            "Accept": "text/x",
            "Content-Type": "application/json; charset=utf-8",
            f"x-{name}-paasid": "my-paas",
            f"x-{name}-timestamp": "1700000000",
            f"x-{name}-nonce": "abc123nonce",
            f"x-{name}-signature": answer,
        },
        b'{"a":"b"}',
    )


async def test_a_refusal_cannot_be_mended_by_asking_again() -> None:
    tif = signer("tif")
    assert not tif.refused(await tif.sign(DRAFT, AT, no_send))


def test_the_explanation_shows_the_text_and_hides_the_token() -> None:
    shown = signer("tif").explain(DRAFT, AT)
    assert shown.canonical == "1700000000<token>abc123nonce1700000000"
    assert shown.headers["x-tif-signature"] == ANSWER
    assert "test-token" not in repr(shown)
