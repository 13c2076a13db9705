"""``none``: nothing is signed. For what is not reached over the network; over it, a platform that asks for nothing."""

from connectors.signing.base import Explained, Moment, NoOptions, Scheme
from connectors.wire import Draft, Send, WireRequest


class Unsigned:
    async def sign(self, draft: Draft, moment: Moment, send: Send) -> WireRequest:  # noqa: ARG002
        return draft.wire()

    def refused(self, request: WireRequest) -> bool:  # noqa: ARG002
        return False

    def explain(self, draft: Draft, moment: Moment) -> Explained:  # noqa: ARG002
        return Explained("")


NONE = Scheme(NoOptions, lambda _: (), lambda _options, _secrets: Unsigned())
