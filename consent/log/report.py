"""What the verifier says: the verdict on an exported log, for people and as JSON."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from consent.log.note import Checkpoint

Kind = Literal["file", "vkey", "checkpoint", "entry", "tile", "timestamp", "history"]


@dataclass(frozen=True, slots=True)
class Problem:
    """What is broken: the file, where entries are concerned their indexes (first and last), and in words why."""

    kind: Kind
    path: str
    text: str
    first: int | None = None
    last: int | None = None

    def where(self) -> str:
        if self.first is None:
            return ""
        return f"entry {self.first}: " if self.first == self.last else f"entries {self.first} to {self.last}: "


@dataclass(frozen=True, slots=True)
class Report:
    """``intact``: how many leading entries the signed root vouches for. ``heads``: both notes, where history forked.

    Keys are shown as NAME+KEYID: ``signers`` of the log, ``cosigners`` with the time in POSIX seconds, ``rotations`` as
    (entry, old key, new key). ``stamped``: the sizes of the heads that a stamp is there for.
    """

    problem: Problem | None
    checkpoint: Checkpoint | None = None
    signers: tuple[str, ...] = ()
    trusted: bool = False
    intact: int = 0
    heads: tuple[str, ...] = ()
    cosigners: tuple[tuple[str, int], ...] = ()
    rotations: tuple[tuple[int, str, str], ...] = ()
    stamped: tuple[int, ...] = ()

    @property
    def ok(self) -> bool:
        return self.problem is None

    def text(self) -> str:
        """For people, several lines; nothing in it can drive a terminal."""
        lines = []
        if self.problem:
            lines.append(f"broken: {self.problem.path}: {self.problem.where()}{self.problem.text}")
            if self.intact:
                lines.append(f"the signed root vouches for entries 0 to {self.intact - 1}")
        elif self.intact:
            lines.append(f"intact up to entry {self.intact - 1}")
        else:
            lines.append("intact: the log is empty")
        if self.ok and self.trusted:
            lines.append(f"signed by {', '.join(self.signers)}")
        elif self.ok:
            lines.append("consistent, signer not trusted")
        lines += [f"key changed at entry {index}: {old} to {new}" for index, old, new in self.rotations]
        lines += [f"co-signed by {name} at {utc(time)}" for name, time in self.cosigners]
        if self.stamped:
            held = f"{len(self.stamped)} heads, the newest of {self.stamped[-1]} entries"
            lines.append(f"time-stamped: {held}; `openssl ts -verify` says by whom and when")
        for name, head in zip(("remembered head", "exported head"), self.heads, strict=False):
            lines += [f"{name}:", *head.split("\n")[:-1]]
        return "".join(printable(line) + "\n" for line in lines)

    def as_json(self) -> str:
        head, problem = self.checkpoint, self.problem
        return json.dumps(
            {
                "ok": self.ok,
                "trusted": self.trusted,
                "signers": self.signers,
                "cosigners": [{"name": name, "time": time} for name, time in self.cosigners],
                "rotations": [{"entry": index, "old": old, "new": new} for index, old, new in self.rotations],
                "stamped": self.stamped,
                "origin": head and head.origin,
                "size": head and head.size,
                "root": head and head.root.hex(),
                "intact": self.intact,
                "problem": problem and {name: getattr(problem, name) for name in Problem.__slots__},
                "heads": self.heads,
            }
        )


def utc(time: int) -> str:
    try:
        return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"{time} s"


def printable(text: str) -> str:
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
