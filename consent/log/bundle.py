"""An evidence bundle: one file that proves consent, permit, platform replies, profile and readings, without us.

    checkpoint         a signed head of the log (consent.log.note)
    index.html         the same for people; made of the other parts, byte for byte
    jwks.json          the keys that signed the revisions of the profile, in the order of these
    log.json           the entries, each with its inclusion proof and the keys of its own payloads
    payload/N/NAME     the payloads of entry N
    vkey               the keys that signed the checkpoint

in a ZIP file of one possible form (consent.log.archive). Every byte is held by a signature, a hash, a commitment or the
rule that says how it is written. A payload whose key is ``null`` was destroyed: its commitment is still in the log.

Trust comes from outside: keys of the log and of the gateway that the caller got elsewhere. Without them the bundle can
only be consistent in itself.
"""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from consent.log.archive import ArchiveError, pack, unpack
from consent.log.chain import Chain, Link, Unfit, chain, commitments
from consent.log.commitment import commit
from consent.log.entry import DECODER, EntryError, check_entry
from consent.log.jws import JwsError, canonical_json, kid_of, open_jws, public_jwk
from consent.log.merkle import ProofError, leaf_hash, verify_inclusion
from consent.log.note import Checkpoint, NoteError, Vkey, unbase64
from consent.log.origins import check_origins
from consent.log.page import page
from consent.log.report import printable, utc
from consent.log.rotation import MARK, Succession
from consent.log.trust import Broken, Head, cosigners, open_head, signers

FORM = "xinqiao/evidence/v1"
DESTROYED = "included, content unverifiable (destroyed)"

_KEY = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Item:
    """An entry for a bundle: its canonical bytes and inclusion proof, and key and content of each payload by name;
    None where they were destroyed."""

    index: int
    entry: bytes
    proof: Sequence[bytes]
    payloads: Mapping[str, tuple[bytes, bytes] | None]


def write_bundle(checkpoint: str, vkeys: Sequence[str], jwks: Mapping[str, Any], items: Sequence[Item]) -> bytes:
    """The bundle of entries in the order of the log; ``jwks`` has the keys that signed the profile, and may have more.
    Raises Unfit where they do not fit together, as they will not where somebody changed what is stored."""
    files = {"checkpoint": checkpoint.encode(), "vkey": "".join(f"{vkey}\n" for vkey in vkeys).encode()}
    entries = []
    for item in items:
        keys = {name: held and held[0].hex() for name, held in item.payloads.items()}
        proof = [base64.b64encode(node).decode() for node in item.proof]
        entries.append({"index": item.index, "entry": json.loads(item.entry), "proof": proof, "keys": keys})
        files |= {_path(item.index, name): held[1] for name, held in item.payloads.items() if held}
    files["log.json"] = canonical_json({"form": FORM, "entries": entries})
    known = {jwk["kid"]: jwk for jwk in jwks["keys"]}
    signed = [_kid(files[path]) for path in files if path.endswith("/profile")]
    if kids := dict.fromkeys(kid for kid in signed if kid in known):
        files["jwks.json"] = canonical_json({"keys": [dict(known[kid]) for kid in kids]})
    return pack({**files, "index.html": _Opened(files).page})


def _kid(jws: bytes) -> str | None:
    try:
        return kid_of(jws.decode())
    except (JwsError, UnicodeDecodeError):
        return None


def _path(index: int, name: str) -> str:
    return f"payload/{index}/{name}"


@dataclass(frozen=True, slots=True)
class BundleReport:
    """``problem``: the part that is broken and why. Signers are shown as NAME+KEYID, the profile's as their keys' kids;
    ``destroyed`` as (entry, payload)."""

    problem: tuple[str, str] | None
    checkpoint: Checkpoint | None = None
    profile: str | None = None
    entries: tuple[tuple[int, str, str, str], ...] = ()
    destroyed: tuple[tuple[int, str], ...] = ()
    signers: tuple[str, ...] = ()
    log_trusted: bool = False
    profile_keys: tuple[str, ...] = ()
    profile_trusted: bool = False
    cosigners: tuple[tuple[str, int], ...] = ()

    @property
    def ok(self) -> bool:
        return self.problem is None

    def text(self) -> str:
        """For people, several lines; nothing in it can drive a terminal."""
        if self.problem or not self.checkpoint:
            lines = [f"broken: {': '.join(self.problem or ())}"]
        else:
            trusted = self.log_trusted and (self.profile_trusted or not self.profile_keys)
            answer = "proven" if trusted else "consistent"
            lines = [f"{answer}: profile {self.profile}, in the log {self.checkpoint.origin} of {self.checkpoint.size}"]
            lines += [f"entry {index}: {event} {time} by {actor}" for index, event, time, actor in self.entries]
            lines += [f"entry {index}, {name}: {DESTROYED}" for index, name in self.destroyed]
            signed = f"log signed by {', '.join(self.signers)}"
            lines.append(signed if self.log_trusted else "consistent, signer of the log not trusted")
            if self.profile_keys:
                signed = f"profile signed by {', '.join(self.profile_keys)}"
                lines.append(signed if self.profile_trusted else "consistent, signer of the profile not trusted")
            lines += [f"co-signed by {name} at {utc(time)}" for name, time in self.cosigners]
        return "".join(printable(line) + "\n" for line in lines)

    def as_json(self) -> str:
        head, problem = self.checkpoint, self.problem
        return json.dumps(
            {
                "ok": self.ok,
                "problem": problem and {"path": problem[0], "text": problem[1]},
                "profile": self.profile,
                "entries": [dict(zip(("index", "event", "time", "actor"), e, strict=True)) for e in self.entries],
                "destroyed": [{"entry": index, "payload": name} for index, name in self.destroyed],
                "log": {"trusted": self.log_trusted, "signers": self.signers},
                "profile_signature": {"trusted": self.profile_trusted, "kids": self.profile_keys},
                "cosigners": [{"name": name, "time": time} for name, time in self.cosigners],
                "origin": head and head.origin,
                "size": head and head.size,
                "root": head and head.root.hex(),
            }
        )


def verify_bundle(
    data: bytes,
    vkeys: Sequence[Vkey] = (),
    jwks: Mapping[str, Any] | None = None,
    witnesses: Sequence[Vkey] = (),
) -> BundleReport:
    """``vkeys``, ``jwks``, ``witnesses``: keys from elsewhere of the log, of the gateway and of witnesses.

    Never raises for what is in the bundle: that is in the report.
    """
    try:
        opened = _Opened(unpack(data))
        if opened.read("index.html") != opened.page:
            raise Unfit("index.html", "not the page that the other parts give")
        if opened.unread:
            raise Unfit(min(opened.unread), "does not belong to this evidence")
        by = signers(opened.head, opened.succession, vkeys)
        by_witnesses = cosigners(opened.head, witnesses)
        if jwks is not None and not {jwk["x"] for jwk in opened.jwks.values()} <= {k.get("x") for k in jwks["keys"]}:
            raise Unfit("jwks.json", "not a trusted key")
    except ArchiveError as err:
        return BundleReport(("bundle", str(err)))
    except Broken as err:
        return BundleReport((err.problem.path, err.problem.text))
    except Unfit as err:
        return BundleReport((err.path, err.text))
    links = opened.chain.links()
    return BundleReport(
        None,
        opened.head.checkpoint,
        opened.chain.profile_id,
        tuple((link.index, link.event, str(link.entry["time"]), str(link.entry["actor"])) for link in links),
        tuple((link.index, name) for link in links for name, held in link.payloads.items() if held is None),
        tuple(vkey.label() for vkey in by),
        bool(vkeys),
        tuple(opened.jwks),
        bool(jwks and opened.jwks),
        tuple((vkey.label(), time) for vkey, time in by_witnesses),
    )


class _Opened:
    """The parts of a bundle, each held against the others; raises Unfit or Broken. ``jwks``: those of the keys that
    signed the profile, by their kids, as far as the profile is there."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files
        self.unread = set(files)
        self.head: Head = open_head(self.read("vkey"), self.read("checkpoint"))
        self.succession = Succession()
        self.jwks: dict[str, dict[str, str]] = {}
        try:
            links = [self._link(one) for one in self._entries()]
            self.chain: Chain = chain(links, self._profile)
            check_origins(self.chain)
            self.page = page(self.chain, self.head.checkpoint)
        except (LookupError, TypeError, ValueError, AttributeError, RecursionError):
            raise Unfit("log.json", "not entries of this log's form") from None
        if self.jwks and self._canonical("jwks.json") != {"keys": list(self.jwks.values())}:
            raise Unfit("jwks.json", "not the keys that signed, as a gateway publishes them, in their order")

    def read(self, path: str) -> bytes:
        if path not in self._files:
            raise Unfit(path, "missing")
        self.unread.discard(path)
        return self._files[path]

    def _canonical(self, path: str) -> Any:
        data = self.read(path)
        try:
            value = DECODER.decode(data.decode())
            if canonical_json(value) != data:
                raise ValueError
        except (EntryError, ValueError, RecursionError):
            raise Unfit(path, "not canonical JSON") from None
        return value

    def _entries(self) -> list[dict[str, Any]]:
        log = self._canonical("log.json")
        if log.keys() != {"form", "entries"} or log["form"] != FORM:
            raise Unfit("log.json", f"not {FORM}")
        entries: list[dict[str, Any]] = log["entries"]
        places = [one["index"] for one in entries]
        if places != sorted(set(places)):
            raise Unfit("log.json", "the entries are not in the order of the log")
        return entries

    def _link(self, one: dict[str, Any]) -> Link:
        index, entry, checkpoint = one["index"], one["entry"], self.head.checkpoint
        if one.keys() != {"index", "entry", "proof", "keys"}:
            raise Unfit("log.json", "an entry has four members")
        data = canonical_json(entry)
        try:
            check_entry(data)
            verify_inclusion(
                index, checkpoint.size, leaf_hash(data), [unbase64(node) for node in one["proof"]], checkpoint.root
            )
            if MARK in data:
                self.succession.add(index, data)
        except (EntryError, ProofError, NoteError) as err:
            raise Unfit("log.json", f"entry {index}: {err}") from None
        payloads: dict[str, bytes | None] = {}
        for name, commitment in commitments(entry, payloads.__getitem__):
            payloads[name] = self._payload(index, name, one["keys"][name], commitment)
        if one["keys"].keys() != payloads.keys():
            raise Unfit("log.json", f"entry {index}: keys of other payloads than it commits to")
        return Link(index, data, entry, payloads)

    def _payload(self, index: int, name: str, key: str | None, commitment: str) -> bytes | None:
        if key is None:
            return None
        path = _path(index, name)
        payload = self.read(path)
        if not _KEY.fullmatch(key) or commit(bytes.fromhex(key), sha256(payload).digest()) != commitment:
            raise Unfit(path, f"does not open its commitment in entry {index}")
        return payload

    def _profile(self, link: Link) -> dict[str, Any] | None:
        jws = link.payloads["profile"]
        if jws is None:
            return None
        keys = self._canonical("jwks.json")
        try:
            published = {jwk["kid"]: jwk for jwk in (public_jwk(key["x"]) for key in keys["keys"])}
        except (LookupError, TypeError):
            raise Unfit("jwks.json", "not keys as a gateway publishes them") from None
        try:
            text = jws.decode()
            profile = open_jws(text, {"keys": list(published.values())})
            kid = kid_of(text)
        except (JwsError, UnicodeDecodeError):
            raise Unfit(_path(link.index, "profile"), "not signed by a key in jwks.json") from None
        self.jwks[kid] = published[kid]
        return profile
