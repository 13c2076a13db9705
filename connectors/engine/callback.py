"""What a platform sends by itself: let in by its signature, and read as far as it must be to know what it answers."""

import hashlib
from dataclasses import dataclass

from connectors.engine.plan import Callback, Plan, seconds
from connectors.engine.rules import Tree, is_empty
from connectors.ports import Arrived
from connectors.signing.verifying import Verifier, Window, judge, read
from connectors.wire import WireRequest
from schemas.manifest import Ack


@dataclass(frozen=True, slots=True)
class Heard:
    """A callback whose signature holds. ``nonce`` must not come twice in ``seconds``; ``ticket`` is the platform's id
    in it, empty where it has none; ``again``: it says that the answer comes later."""

    nonce: str
    seconds: float
    ticket: str
    again: bool
    arrived: Arrived


class Receiver:
    """The callbacks of one data set. ``verifier`` has the platform's keys."""

    def __init__(self, plan: Plan, terms: Callback, verifier: Verifier) -> None:
        self._plan, self._terms, self._verifier = plan, terms, verifier
        fresh = terms.signed.fresh
        past = verifier.window.past if fresh is None else seconds(fresh)
        self._window = Window(past, verifier.window.ahead)

    @property
    def ack(self) -> Ack:
        return self._terms.ack

    def decoded(self, body: bytes, content_type: str | None) -> Tree:
        return self._plan.judge.decode(body, content_type)

    def named(self, tree: Tree) -> str:
        """The platform's id, as the reply to the submit would give it; empty where there is none."""
        value = None if self._terms.ticket is None else self._terms.ticket(tree)
        named = isinstance(value, str | int) and not isinstance(value, bool) and not is_empty(value)
        return str(value) if named else ""

    async def hear(self, request: WireRequest, now: float) -> Heard:
        """``request`` as it came, ``now`` in Unix seconds. Raises UpstreamSignature before anything of it is read, and
        what decoding raises."""
        claim = await read(self._verifier, request)
        judge(claim, self._window, now)
        body = request.body if claim.opened is None else claim.opened
        kind = next((text for name, text in request.headers.items() if name.lower() == "content-type"), None)
        tree = self.decoded(body, kind)
        return Heard(
            claim.nonce,
            self._window.past + self._window.ahead,
            self.named(tree),
            self._plan.judge.busy(tree),
            Arrived(hashlib.sha256(request.body).digest(), kind, body),
        )
