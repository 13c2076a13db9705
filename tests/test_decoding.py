"""From bytes to a plain tree, strictly: charsets (fault U10), JSON (U11), what is not the declared form (U12), XML."""

import json
import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.decoding import MISSING, at, compile_decoder, decode_text, path_keys
from connectors.json_tree import MAX_BRACKETS, _Doubt, _quick, parse_json
from connectors.wire import xml_document
from connectors.xml_tree import MAX_ELEMENTS, parse_xml
from schemas.errors import InvalidValue, UpstreamCharset, UpstreamMalformed, UpstreamOversize

NAME = "某某镕㙍（虚构）公司"  # 㙍 is in GB18030 and not in GBK
UTF8_HEADER = "application/json; charset=UTF-8"

# --- Charsets --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header", [None, "text/xml", "text/xml; charset=gb18030", 'text/xml; charset="GBK"', "text/xml; charset=utf-8"]
)
@pytest.mark.parametrize("declared", [("gb18030",), ("GBK",), ("gb2312",), ("utf-8", "gb18030"), ("gb18030", "utf-8")])
def test_gb18030_is_read_with_no_wrong_or_right_header(header: str | None, declared: tuple[str, ...]) -> None:
    assert decode_text(NAME.encode("gb18030"), header, declared) == NAME


@pytest.mark.parametrize("header", [None, UTF8_HEADER, "text/xml; charset=gbk", "text/xml; charset=klingon"])
@pytest.mark.parametrize(
    "declared", [("utf-8",), ("utf-8", "gb18030"), ("gbk", "utf-8"), ("gb18030", "utf-16", "utf-8")]
)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_utf8_where_declared_is_never_read_as_something_else(
    header: str | None, declared: tuple[str, ...], mark: str
) -> None:
    assert decode_text((mark + NAME).encode(), header, declared) == NAME


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-be"])
def test_utf16_is_read_by_its_mark(codec: str) -> None:
    body = ("\ufeff" if codec == "utf-16-be" else "") + NAME
    assert decode_text(body.encode(codec), None, ("utf-16",)) == NAME
    assert decode_text(body.encode(codec), "text/xml; charset=utf-16", ("utf-8", "gb18030", "utf-16")) == NAME


def test_among_the_others_the_header_chooses_if_it_is_declared() -> None:
    body = ("\ufeff" + "蘀").encode("utf-16-le")  # also valid GB18030, as other characters
    assert body.decode("gb18030", "replace") != "蘀"
    assert decode_text(body, "text/xml; charset=utf-16", ("gb18030", "utf-16")) == "蘀"


@pytest.mark.parametrize(
    ("body", "declared"),
    [
        pytest.param(NAME.encode("gb18030"), ("utf-8",), id="GB18030 where UTF-8 is declared"),
        pytest.param(NAME.encode("utf-16"), ("utf-8", "gb18030"), id="UTF-16 undeclared"),
        pytest.param(NAME.encode("utf-16-le"), ("utf-16",), id="UTF-16 without a mark"),
        pytest.param(NAME.encode()[:-1], ("utf-8",), id="half a character at the end"),
        pytest.param(NAME.encode("gb18030")[:-1], ("gb18030",), id="half a GB18030 character at the end"),
        pytest.param("名".encode("gb18030")[:1] + b'"}', ("gb18030",), id="half a character before a quote"),
        pytest.param(b"\xed\xa0\x80", ("utf-8",), id="a surrogate in UTF-8"),
        pytest.param(b"\xc0\xaf", ("utf-8",), id="overlong"),
    ],
)
def test_bytes_of_another_charset_are_refused(body: bytes, declared: tuple[str, ...]) -> None:
    with pytest.raises(UpstreamCharset) as raised:
        decode_text(body, None, declared)
    assert raised.value.details == {"rule": "undecodable"}


@pytest.mark.parametrize("text", ["某\ufffd公司", "锟斤拷公司"])
@pytest.mark.parametrize("codec", ["utf-8", "gb18030"])
def test_text_that_was_broken_before_it_came_is_refused(text: str, codec: str) -> None:
    with pytest.raises(UpstreamCharset) as raised:
        decode_text(text.encode(codec), None, (codec,))
    assert raised.value.details == {"rule": "broken_characters"}


@pytest.mark.parametrize("body", [("\ufeff" + "文").encode(), "你好你好你好你好".encode()])
def test_utf8_where_only_gb18030_is_declared_is_refused_instead_of_misread(body: bytes) -> None:
    with pytest.raises(UpstreamCharset):
        decode_text(body, None, ("gb18030",))


def test_a_short_gb18030_text_that_happens_to_fit_utf8_is_still_read() -> None:
    body = "模".encode("gb18030")
    assert len(body.decode("utf-8")) == 1
    assert decode_text(body, None, ("gb18030",)) == "模"


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufffd\ufeff斤")))
@settings(max_examples=150, deadline=None)
def test_what_was_encoded_as_declared_comes_back(text: str) -> None:
    assert decode_text(text.encode(), None, ("gb18030", "utf-8")) == text
    try:
        text.encode("gb18030").decode()
    except UnicodeDecodeError:  # cannot be taken for UTF-8
        assert decode_text(text.encode("gb18030"), None, ("utf-8", "gb18030")) == text


@pytest.mark.parametrize("charsets", [(), ("latin-1",), ("utf-8", "big5")])
def test_a_charset_that_cannot_be_strict_is_not_declared(charsets: tuple[str, ...]) -> None:
    with pytest.raises(InvalidValue):
        decode_text(b"", None, charsets)


# --- JSON ------------------------------------------------------------------------------------------------------

# Cases of the three kinds of JSONTestSuite (N. Seriot): must be accepted, must be refused, ours to decide.
ACCEPTED: list[tuple[str, Any]] = [
    ("[]", []),
    ("{}", {}),
    (" [1] \r\n\t", [1]),
    ('""', ""),
    ("null", None),
    ("true", True),
    ("-1", -1),
    ('{"":0}', {"": 0}),
    ('{"a\\u0000b":0}', {"a\x00b": 0}),
    ('["\\u0000"]', ["\x00"]),
    ('["\\uD801\\udc37"]', ["\U00010437"]),
    ('["\\u0821\\"\\\\\\/\\b\\f\\n\\r\\t"]', ['\u0821"\\/\b\f\n\r\t']),
    ('["\\\\uD800"]', ["\\uD800"]),
    ('["\\\\ufffd"]', ["\\ufffd"]),
    ('["\\u951f"]', ["锟"]),
    ('["\x7f\u2028\U0010ffff\uffff"]', ["\x7f\u2028\U0010ffff\uffff"]),
    ("[0.1]", [Decimal("0.1")]),
    ("[219857.50670000000000001]", [Decimal("219857.50670000000000001")]),
    ("[1E+2]", [Decimal(100)]),
    ("[0e1]", [Decimal(0)]),
    ("[123e65]", [Decimal("123e65")]),
    ("[-0.000000000000000000000000000000000000000000000000000000000000000000000000000001]", [Decimal("-1e-78")]),
    ("[" + "9" * 100 + "]", [int("9" * 100)]),
    # ours to decide: big integers stay exact, minus zero is zero
    ("[100000000000000000000]", [100000000000000000000]),
    ("[-0]", [0]),
    ("[-0.0]", [Decimal("0.0")]),
]


@pytest.mark.parametrize(("text", "tree"), ACCEPTED)
def test_valid_json_is_read(text: str, tree: Any) -> None:
    assert parse_json(text) == tree


def test_minus_zero_has_lost_its_sign() -> None:
    assert str(parse_json("[-0, -0.0, -0e1]")) == "[0, Decimal('0'), Decimal('0')]"


SYNTAX = """
[1 true]|[a]|["": 1]|[""],|[,1]|[1,,2]|["x",,]|["x"]]|["",]|["x"|[x|[3[4]]|[,]|[-]|[   , ""]|["a",4,1,|[1,]|[*]|[""
[fals]|[nul]|[tru]|[++1234]|[+1]|[+Inf]|[-01]|[-1.0.]|[-2.]|[.-1]|[.2e-3]|[0.1.2]|[0.3e+]|[0.3e]|[0.e1]|[0E+]|[0e]
[1.0e+]|[1.0e-]|[1 000.0]|[1eE2]|[2.e+3]|[2.e-3]|[9.e+]|[1+2]|[0x1]|[0x42]|[-foo]|[- 1]|[-012]|[-.123]|[1ea]|[1.8H-3]
[012]|[１]|["x", truth]|{"x", null}|{"x"::"b"}|{"a":"a" 123}|{key: 'value'}|{"a" b}|{:"b"}|{"a" "b"}|{"a":|{"a"|{1:1}
{null:null,null:null}|{"id":0,,,,,}|{'a':0}|{"id":0,}|{"a":"b"}/**/|{"a":"b"}//|{"a":/*comment*/"b"}|{"a":"b",,"c":1}
{a: "b"}|{"a":"a|{"a":"b"}#|[" "|["\\uD800\\u"]|["\\uD800\\u1"]|["\\u00A"]|["\\x00"]|["\\a"]|["\\"]|["\\\\\\"]|["\\
['single']|abc|"|[\\u0020"asd"]|[\\n]|""x|[1]x|[1]]|<.>|[<null>]|aå|[True]|1]|{"x": true,|[][]|]|{}}|{"":|{"a":/*
{"a":"b"}{}|[\\u000A""]|[undefined]|{]|{,|{[|{"a|{'a'|["\\{["\\{["\\{["\\{|*|[\u2060]|\ufeff[]|\u200b[]|\x0c[]|[\x0c]
["\x00"]|["a\ttab"]|[1]\x00|\x00| |[\x00]|'a'|\u00a0[]
""".strip("\n")


@pytest.mark.parametrize(
    "text", [*re.split(r"[|\n]", SYNTAX), "", "\n", '["new\nline"]', "\ufeff[]", "[" * 65 + "x", '["', "{" * 3]
)
def test_what_the_grammar_does_not_have_is_refused(text: str) -> None:
    with pytest.raises(UpstreamMalformed) as raised:
        parse_json(text)
    assert raised.value.details["rule"] in ("syntax", "too_deep")


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ('{"a":1,"a":2}', "duplicate_key"),  # JSONTestSuite would accept it; RFC 7493 does not
        ('{"a":1,"b":{"c":1,"\\u0063":1}}', "duplicate_key"),
        ("[NaN]", "constant"),
        ("[Infinity]", "constant"),
        ("[-Infinity]", "constant"),
        ("[1e400]", "number_out_of_range"),
        ("[123.456e-789]", "number_out_of_range"),
        ("[0.4e" + "9" * 30 + "]", "number_out_of_range"),
        ("[" + "1" * 101 + "]", "number_too_long"),
        ("[" + "1" * 5000 + "]", "number_too_long"),
        ("[0." + "1" * 5000 + "]", "number_too_long"),
        ('["\\uD800"]', "lone_surrogate"),
        ('["\\udfaa"]', "lone_surrogate"),
        ('["\\uDd1e\\uD834"]', "lone_surrogate"),
        ('["\\uD888\\u1234"]', "lone_surrogate"),
        ('{"\\uDFAA":0}', "lone_surrogate"),
        ('{"a":[{"b":"\\uD800\\n"}]}', "lone_surrogate"),
        ("[" * 65 + "]" * 65, "too_deep"),
        ('{"a":' * 65 + "1" + "}" * 65, "too_deep"),
        ("[" * 100_000, "too_deep"),
        ('{"a":[' * 50_000, "too_deep"),
        ("[" * 50_000 + "]" * 50_000, "too_deep"),
    ],
)
def test_json_that_would_mislead_is_refused_by_name(text: str, rule: str) -> None:
    with pytest.raises(UpstreamMalformed) as raised:
        parse_json(text)
    assert raised.value.details == {"step": "json", "rule": rule}


@pytest.mark.parametrize("text", ['["\\ufffd"]', '{"\\uFFFD":1}', '["\\u951f\\u65a4\\u62f7"]', '["\\u951F斤拷", 1]'])
def test_escapes_do_not_hide_broken_characters(text: str) -> None:
    with pytest.raises(UpstreamCharset):
        parse_json(text)


def test_sixty_four_levels_are_read_also_beside_many_brackets_in_strings() -> None:
    deep = "[" * 64 + "]" * 64
    assert parse_json(deep) == json.loads(deep)
    wide = "[" + "[{}]," * 100 + "0]"
    assert parse_json(wide) == json.loads(wide)
    doubtful = json.dumps([{"a": [":"]}, ["[]"], deep[:40] + deep[-40:]])
    assert parse_json(doubtful) == json.loads(doubtful)
    noisy = json.dumps(['[{"\\', {"a": ["]"]}] * 100)
    assert parse_json(noisy) == json.loads(noisy)
    with pytest.raises(UpstreamMalformed):
        parse_json('["[",' * 65 + "1" + "]" * 65)
    with pytest.raises(UpstreamMalformed):
        parse_json('{"a":"' + "[" * 100)


JSON_TREES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=12,
)


@given(JSON_TREES, st.booleans())
@settings(max_examples=60, deadline=None)
def test_what_was_written_is_read_back(tree: Any, ascii_only: bool) -> None:
    text = json.dumps(tree, ensure_ascii=ascii_only)
    if "\ufffd" not in str(tree):
        assert parse_json(text) == tree


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value="-1e40", max_value="1e40", places=12))
@settings(max_examples=100, deadline=None)
def test_no_digit_of_a_decimal_is_lost(number: Decimal) -> None:
    read = parse_json(f"{number:f}")
    assert read == number
    assert isinstance(read, Decimal)


@given(st.text('[]{}",:\\1ae.- \n\u0001锟', max_size=40))
@settings(max_examples=400, deadline=None)
def test_any_text_is_read_or_refused_with_a_typed_error(text: str) -> None:
    try:
        tree = parse_json(text)
    except UpstreamMalformed:
        return
    assert tree == json.loads(text, parse_float=Decimal)


@pytest.mark.parametrize(
    "text",
    [
        '{"code":"00","rows":[{"a":"2026-11-24 10:00:00","b":0.10},{"a":"http://a.example/","b":[]}]}',
        json.dumps({"at": "10:00", "path": 'C:\\"x\\', "rows": [{"a\n:": "x : "}]}, indent=1),
        "[" + '{"a":{"b":[1]}},' * 100 + "0]",
        '{"a:" : 1}',
        '["' + "9" * 90 + '"]',
        '"text"',
    ],
)
def test_usual_replies_are_read_the_quick_way(text: str) -> None:
    assert _quick(text) == json.loads(text, parse_float=Decimal)


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":2}',
        '{"a":1,"a":":"}',
        '{"a":":","a":1}',
        '{"a" :1,"a" :2,"b":":"}',
        '{"a":"\\":","a":"\\\\"}',
        '{"a":{"b":1,"c":2},"a":[{}]}',
        '[{"a":[{"b":1}],"a":[]}, {"x":" :"}]',
        "[" + "1" * 101 + "]",
        "[-" + "1" * 100 + "]",
        "[" * 65 + "]" * 65,
        "[" * 5000,
        "[1e400]",
        "[\ud800]",
        '["\ud800"]',
    ],
)
def test_in_doubt_the_quick_way_is_not_taken(text: str) -> None:
    with pytest.raises(_Doubt):
        _quick(text)


@pytest.mark.parametrize("inner", ["[]", "{}", '{"a":[":"]}'])
def test_a_reply_of_ever_more_arrays_or_objects_is_given_up(inner: str) -> None:
    each = inner.count("[") + inner.count("{")
    fits = (MAX_BRACKETS - 1) // each
    assert len(parse_json(f"[{','.join([inner] * fits)}]")) == fits  # type: ignore[arg-type]
    with pytest.raises(UpstreamOversize) as raised:
        parse_json(f"[{','.join([inner] * (fits + 1))}]")
    assert raised.value.details == {"brackets": MAX_BRACKETS}


NAMES = st.sampled_from(["a", "b", "a:", ":", " :", '\\"', "\\\\", '\\":', "\\u0061"])
MEMBERS = st.recursive(
    NAMES.map(lambda name: f'"{name}"') | st.sampled_from(["1", "-0.0", "1.50", "{}", "[]"]),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{' ,'.join(items)}]")
        | st.lists(st.tuples(NAMES, st.sampled_from([":", " :", "\n: "]), inner), max_size=3).map(
            lambda pairs: "{" + ",".join(f'"{name}"{colon}{value}' for name, colon, value in pairs) + "}"
        )
    ),
    max_leaves=8,
)


@given(MEMBERS)
@settings(max_examples=300, deadline=None)
def test_no_name_that_comes_twice_passes_whatever_stands_around_it(text: str) -> None:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) != len(pairs):
            raise LookupError
        return dict(pairs)

    try:
        tree = json.loads(text, object_pairs_hook=once, parse_float=Decimal)
    except LookupError:
        with pytest.raises(_Doubt):
            _quick(text)
    else:
        assert parse_json(text) == tree


# --- XML -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("<a/>", {"a": ""}),
        ("<a> \n </a>", {"a": ""}),
        ("<a> x </a>", {"a": " x "}),
        ("<a>x&amp;<![CDATA[<y>]]>&#x4e00;<!-- not this --> z</a>", {"a": "x&<y>一 z"}),
        ("<a><b>1</b></a>", {"a": {"b": "1"}}),
        ("<a>\n <b>1</b>\n <b>2</b>\n <b/>\n</a>", {"a": {"b": ["1", "2", ""]}}),
        ("<a><b/><b/></a>", {"a": {"b": ["", ""]}}),
        ("<a><b><c>1</c></b><b><c>2</c></b></a>", {"a": {"b": [{"c": "1"}, {"c": "2"}]}}),
        ('<a id="1">x</a>', {"a": {"@id": "1", "#text": "x"}}),
        ('<a id="&#22269;"/>', {"a": {"@id": "国"}}),
        ("<a>x<b>1</b>y</a>", {"a": {"b": "1", "#text": "xy"}}),
        ("<?xml version='1.0' encoding='GBK'?>\n<?pi x?><a>国</a>", {"a": "国"}),
        (
            '<s:E xmlns:s="urn:s" xmlns="urn:d"><s:B s:x="1" y="2"><R>1</R><R>2</R></s:B></s:E>',
            {"E": {"B": {"@x": "1", "@y": "2", "R": ["1", "2"]}}},
        ),
        ('<a xmlns:n="urn:n"><n:b/><c><b/></c></a>', {"a": {"b": "", "c": {"b": ""}}}),
    ],
)
def test_xml_becomes_a_tree_by_one_rule(text: str, tree: Any) -> None:
    assert parse_xml(text) == tree


ENTITY = '<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>'
OUTSIDE = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "syntax"),
        ("<a>", "syntax"),
        ("<a></b>", "syntax"),
        ("<a/><b/>", "syntax"),
        ("<a>&nbsp;</a>", "syntax"),
        ("<a>&#0;</a>", "syntax"),
        ("<a>\x00</a>", "syntax"),
        ('<a x="1" x="2"/>', "syntax"),
        ("<n:a/>", "syntax"),
        ("<!DOCTYPE html><html/>", "document_type"),
        (ENTITY, "document_type"),
        (OUTSIDE, "document_type"),
        ('<a xmlns:n="urn:n"><b/><n:b/></a>', "namespace_clash"),
        ('<a xmlns:n="urn:n" n:x="1" x="2"/>', "namespace_clash"),
        ("<a>" * 65 + "</a>" * 65, "too_deep"),
        ("<a>" * 100_000, "too_deep"),
    ],
)
def test_xml_that_is_broken_or_unsafe_is_refused_by_name(text: str, rule: str) -> None:
    with pytest.raises(UpstreamMalformed) as raised:
        parse_xml(text)
    assert raised.value.details == {"step": "xml", "rule": rule}


@pytest.mark.parametrize("text", ["<a>&#xFFFD;</a>", '<a b="&#65533;"/>'])
def test_references_do_not_hide_broken_characters(text: str) -> None:
    with pytest.raises(UpstreamCharset):
        parse_xml(text)


def test_elements_without_end_are_given_up() -> None:
    with pytest.raises(UpstreamOversize):
        parse_xml("<a>" + "<b/>" * MAX_ELEMENTS + "</a>")


XML_NAMES = st.sampled_from(["a", "tyshxydm", "单位名称", "x-1"])
XML_TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffd\ufffe\uffff")
)


@given(st.dictionaries(XML_NAMES, XML_TEXT.filter(lambda t: t == "" or not t.isspace()), min_size=1))
@settings(max_examples=100, deadline=None)
def test_what_our_own_writer_writes_is_read_back(members: dict[str, str]) -> None:
    document = xml_document({"Envelope": members}, "gb18030")  # type: ignore[dict-item]
    try:
        tree = compile_decoder(("gb18030",), ("xml",))(document, None)
    except UpstreamCharset:
        assert "锟斤拷" in str(members)
    else:
        assert tree == {"Envelope": members}


# --- Paths and steps -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "value"),
    [("", {"a": {"b": None}, "c": [1]}), ("a", {"b": None}), ("a.b", None), ("c", [1])],
)
def test_a_path_names_keys_level_by_level(path: str, value: Any) -> None:
    assert at({"a": {"b": None}, "c": [1]}, path_keys(path)) == value


@pytest.mark.parametrize("path", ["x", "a.x", "a.b.x", "c.0", "c.x"])
def test_what_is_not_there_is_missing_and_not_null(path: str) -> None:
    assert at({"a": {"b": None}, "c": [1]}, path_keys(path)) is MISSING
    assert repr(MISSING) == "MISSING"


def test_json_text_inside_gb18030_xml_is_reached_in_steps() -> None:
    inner = '{"head":{"rtn":"0000"},"body":{"name":"某某（虚构）","sum":0.10}}'
    body = xml_document({"Envelope": {"resp": inner}}, "gb18030")
    tree = compile_decoder(("gb18030",), ("xml", "at:Envelope.resp", "json"))(body, "text/xml; charset=utf-8")
    assert tree == {"head": {"rtn": "0000"}, "body": {"name": "某某（虚构）", "sum": Decimal("0.10")}}


@pytest.mark.parametrize(
    ("body", "tree"),
    [
        (
            b'{"code":"00","r":{"datas":"{\\"rows\\":[1.50]}"}}',
            {"code": "00", "r": {"datas": {"rows": [Decimal("1.50")]}}},
        ),
        (b'{"code":"01","r":{"datas":""}}', {"code": "01", "r": {"datas": ""}}),
        (b'{"code":"01","r":{"datas":null}}', {"code": "01", "r": {"datas": None}}),
        (b'{"code":"01","r":{}}', {"code": "01", "r": {}}),
        (b'{"code":"01","r":[]}', {"code": "01", "r": []}),
        (b'{"code":"01"}', {"code": "01"}),
    ],
)
def test_text_inside_an_envelope_is_read_in_its_place(body: bytes, tree: Any) -> None:
    assert compile_decoder(("utf-8",), ("json", "within:r.datas", "json"))(body, None) == tree


def test_json_written_twice_and_xml_inside_json_are_read() -> None:
    assert compile_decoder(("utf-8",), ("json", "json"))(b'"{\\"a\\":1}"', None) == {"a": 1}
    assert compile_decoder(("utf-8",), ("json", "within:x", "xml", "at:x.a"))(b'{"x":"<a>1</a>"}', None) == "1"


LOGIN = b"<!DOCTYPE html><html><body>Please sign in</body></html>"
STEPS = {
    "json": ("json",),
    "xml": ("xml",),
    "deep": ("json", "at:data.text", "json"),
    "within": ("json", "within:t", "json"),
}


@pytest.mark.parametrize(
    ("steps", "body", "details"),
    [
        ("json", LOGIN, {"step": "json", "rule": "syntax"}),
        ("xml", LOGIN, {"step": "xml", "rule": "document_type"}),
        ("json", b"", {"step": "json", "rule": "syntax"}),
        ("xml", b"", {"step": "xml", "rule": "syntax"}),
        ("json", b'{"a":1}<html>', {"step": "json", "rule": "syntax"}),
        ("json", '{"a":1}'.encode("utf-16-le"), {"step": "json", "rule": "syntax"}),
        ("deep", b'{"code":500}', {"step": "at", "at": "data.text"}),
        ("deep", b'{"data":{"text":{}}}', {"step": "json", "rule": "not_text"}),
        ("deep", b'{"data":{"text":""}}', {"step": "json", "rule": "syntax"}),
        ("within", b'{"t":{}}', {"step": "json", "rule": "not_text", "at": "t"}),
        ("within", b'{"t":"{"}', {"step": "json", "rule": "syntax"}),
    ],
)
def test_a_page_or_an_empty_body_is_malformed_and_never_no_record(
    steps: str, body: bytes, details: dict[str, str]
) -> None:
    with pytest.raises(UpstreamMalformed) as raised:
        compile_decoder(("utf-8",), STEPS[steps])(body, "text/html")
    assert raised.value.details == details


def test_a_login_page_that_is_well_formed_xml_lacks_the_declared_path() -> None:
    with pytest.raises(UpstreamMalformed):
        compile_decoder(("utf-8",), ("xml", "at:Envelope.Body"))(b"<html><body>Please sign in</body></html>", None)


@pytest.mark.parametrize(
    "steps",
    [
        (),
        ("at:a",),
        ("within:a", "json"),
        ("json", "at:"),
        ("json", "within:a"),
        ("json", "within:a", "at:b"),
        ("yaml",),
        ("json:a",),
    ],
)
def test_steps_that_make_no_sense_are_refused_when_they_are_compiled(steps: tuple[str, ...]) -> None:
    with pytest.raises(InvalidValue):
        compile_decoder(("utf-8",), steps)
