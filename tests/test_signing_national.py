"""national against its known answer, under both header prefixes."""

import pytest

from connectors.signing import SCHEMES
from connectors.signing.base import Moment
from connectors.wire import Draft
from tests.test_signing_tif import no_send

AT = Moment(1700000000, "abc123nonce")
ANSWER = "63xR17hACSJcpKxvj3LhDJXhtA6WFwGAg3Yx/Wnu7vI="
SECRETS = {"rid": "rid-001", "app_secret": "test-secret"}
DRAFT = Draft("POST", "https://n.example", "/api", body={"uniscid": "x"}, encode="json")


@pytest.mark.parametrize("prefix", ["gjzwfwpt", "gjgxjhpt"])
async def test_the_known_answer_in_the_headers(prefix: str) -> None:
    request = await SCHEMES["national"].build({"sid": "s_test_001", "prefix": prefix}, SECRETS).sign(DRAFT, AT, no_send)
    assert {k: v for k, v in request.headers.items() if k.startswith(prefix)} == {
        f"{prefix}_rid": "rid-001",
        f"{prefix}_sid": "s_test_001",
        f"{prefix}_rtime": "1700000000000",
        f"{prefix}_sign": ANSWER,
    }


def test_the_explanation_shows_the_text_and_no_secret() -> None:
    shown = SCHEMES["national"].build({"sid": "s_test_001"}, SECRETS).explain(DRAFT, AT)
    assert shown.canonical == "s_test_001rid-0011700000000000"
    assert shown.headers["gjzwfwpt_sign"] == ANSWER
    assert "test-secret" not in repr(shown)
