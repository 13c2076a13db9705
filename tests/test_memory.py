"""gateway.memory: the collector looks seldom, and not at what stands when the server is up."""

import gc
from collections.abc import Iterator

import pytest

from gateway import memory


@pytest.fixture
def collector() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


@pytest.mark.usefixtures("collector")
def test_what_stands_is_not_looked_at_again_and_later_cycles_still_are() -> None:
    memory.settle()
    assert gc.get_freeze_count() > 1000
    assert gc.get_threshold()[0] == memory.YOUNG
    assert gc.isenabled()
    cycle: list[object] = []
    cycle.append(cycle)
    del cycle
    assert gc.collect() >= 1
