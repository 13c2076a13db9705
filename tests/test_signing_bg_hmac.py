"""bg-hmac against its known answer, and the old APISIX headers over the same text."""

import hmac
from base64 import b64encode

from connectors.signing import SCHEMES
from connectors.signing.base import Moment
from connectors.wire import Draft
from tests.test_signing_tif import no_send

AT = Moment(1636447760, "abc123nonce")  # Tue, 09 Nov 2021 08:49:20 GMT
SECRETS = {"access_key": "test", "secret_key": "tet"}
ANSWER = "KJJG0L/1ilAOrfHxAsJR67f6oVm38fwREEp9hFnAcis="
DRAFT = Draft(
    "POST", "https://bg.example", "/restapi/prod/IC33000020211105003270/post", (("v", "123"), ("test", "123"))
)


async def test_the_known_answer_with_the_query_in_any_order() -> None:
    request = await SCHEMES["bg-hmac"].build({}, SECRETS).sign(DRAFT, AT, no_send)
    assert request.headers == {
        "X-BG-HMAC-ACCESS-KEY": "test",
        "X-BG-HMAC-ALGORITHM": "hmac-sha256",
        "X-BG-HMAC-SIGNATURE": ANSWER,
        "X-BG-DATE-TIME": "Tue, 09 Nov 2021 08:49:20 GMT",
    }


async def test_old_apisix_has_the_same_signature_under_other_names() -> None:
    request = await SCHEMES["bg-hmac"].build({"dialect": "apisix"}, SECRETS).sign(DRAFT, AT, no_send)
    assert request.headers == {
        "X-HMAC-ACCESS-KEY": "test",
        "X-HMAC-ALGORITHM": "hmac-sha256",
        "X-HMAC-SIGNATURE": ANSWER,
        "Date": "Tue, 09 Nov 2021 08:49:20 GMT",
    }


def test_an_empty_value_stands_as_a_name_with_an_equals_sign_and_values_as_on_the_wire() -> None:
    draft = Draft("GET", "https://bg.example/base", "/x", (("name", "虚构 公司"), ("b", ""), ("a", "1/2")))
    shown = SCHEMES["bg-hmac"].build({}, SECRETS).explain(draft, AT)
    query = "a=1%2F2&b=&name=%E8%99%9A%E6%9E%84%20%E5%85%AC%E5%8F%B8"
    assert shown.canonical == f"GET\n/base/x\n{query}\ntest\nTue, 09 Nov 2021 08:49:20 GMT\n"
    assert sorted(draft.wire().url.partition("?")[2].split("&")) == query.split("&")
    mac = hmac.digest(b"tet", shown.canonical.encode(), "sha256")
    assert shown.headers["X-BG-HMAC-SIGNATURE"] == b64encode(mac).decode()


def test_the_query_can_be_signed_decoded() -> None:
    draft = Draft("GET", "https://bg.example", "/x", (("name", "虚构 公司"), ("a", "1/2")))
    shown = SCHEMES["bg-hmac"].build({"query": "decoded"}, SECRETS).explain(draft, AT)
    assert "\na=1/2&name=虚构 公司\n" in shown.canonical
