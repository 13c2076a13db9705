"""XML replies as the same plain tree that JSON gives, by one rule.

- The document is an object with one key, the root element's name.
- An element without attributes and children is its text. White space alone is empty text; other text is kept as it is.
- Any other element is an object: ``@name`` for each attribute, one key per child name, ``#text`` for text beside them.
- Children of one name become a list when there are several; a single one stands by itself.
- Names lose their namespace. Where that would merge two names in one element, the document is refused.
- Comments, processing instructions and namespace declarations count for nothing.

Document type declarations, and with them entities of the document's own, are refused (CWE-611, CWE-776).
"""

from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from schemas.errors import UpstreamCharset, UpstreamMalformed, UpstreamOversize

XmlTree = str | list["XmlTree"] | dict[str, "XmlTree"]

MAX_DEPTH = 64
MAX_ELEMENTS = 100_000


def parse_xml(text: str) -> XmlTree:
    """Parse one XML 1.0 document that is already decoded; its declaration's charset is ignored.

    Raises UpstreamMalformed, UpstreamOversize beyond 100,000 elements, and UpstreamCharset where a character reference
    hides U+FFFD.
    """
    builder = _Builder(namespaces="xmlns" in text, references="&#" in text)
    parser = DefusedXMLParser(target=builder, forbid_dtd=True)
    try:
        parser.feed(text)
        parser.close()
    except DefusedXmlException:
        raise UpstreamMalformed(step="xml", rule="document_type") from None
    except ParseError:
        raise UpstreamMalformed(step="xml", rule="syntax") from None
    return builder.document


class _Element:
    __slots__ = ("members", "names", "text")

    def __init__(self) -> None:
        self.members: dict[str, XmlTree] = {}
        self.names: dict[str, str] | None = None
        self.text: list[str] = []


class _Builder:
    """The parser's target: builds the tree while it reads, so that depth and size are refused early."""

    def __init__(self, namespaces: bool, references: bool) -> None:
        self._open = [_Element()]
        self._count = 0
        self._namespaces = namespaces
        self._references = references

    @property
    def document(self) -> XmlTree:
        return self._open[0].members

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > MAX_ELEMENTS:
            raise UpstreamOversize(elements=MAX_ELEMENTS)
        if len(self._open) > MAX_DEPTH:
            raise UpstreamMalformed(step="xml", rule="too_deep")
        element = _Element()
        if self._namespaces:
            _claim(self._open[-1], _local(tag), tag)
        for name, value in attributes.items():
            key = "@" + _local(name)
            if self._namespaces:
                _claim(element, key, name)
            self._check(value)
            element.members[key] = value
        self._open.append(element)

    def data(self, text: str) -> None:
        self._open[-1].text.append(text)

    def end(self, tag: str) -> None:
        element = self._open.pop()
        text = "".join(element.text)
        self._check(text)
        if not text or text.isspace():
            text = ""
        value: XmlTree = text
        if element.members:
            value = element.members
            if text:
                value["#text"] = text
        members = self._open[-1].members
        key = _local(tag) if self._namespaces else tag
        if key not in members:
            members[key] = value
        elif isinstance(before := members[key], list):
            before.append(value)
        else:
            members[key] = [before, value]

    def _check(self, text: str) -> None:
        # The decoder searched the raw text; only a character reference can still hide it.
        if self._references and "\ufffd" in text:
            raise UpstreamCharset(rule="broken_characters")


def _claim(element: _Element, key: str, full: str) -> None:
    """One key of the tree belongs to one full name: two namespaces may not meet in it."""
    if element.names is None:
        element.names = {}
    if element.names.setdefault(key, full) != full:
        raise UpstreamMalformed(step="xml", rule="namespace_clash")


def _local(name: str) -> str:
    return name.rpartition("}")[2]
