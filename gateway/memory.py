"""The garbage collector, set for a server that keeps little and makes much."""

import gc

YOUNG = 20_000
"""Net new containers between two looks at the young generation: about five profiles in flight, instead of a fifth of
one. What a request leaves behind is freed by its reference count; the collector only finds cycles."""


def settle() -> None:
    """To be called once, when the server is up: what stands then stays, and is not looked at again.

    Models, manifests and compiled statements are over a hundred thousand objects that will never be garbage; looking at
    them over and over took a fifth of a profile's CPU (docs/performance.md).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 20)
