"""What holds for every test."""

import logging
from collections.abc import Iterator

import pytest
import structlog

from tests.faults.nursery import Nursery
from tests.faults.nursery import nursery as forking


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """A command that a test ran configures logging to a stream that is closed with the test."""
    yield
    structlog.reset_defaults()
    root = logging.getLogger()
    root.handlers[:] = [h for h in root.handlers if type(h).__module__.startswith(("_pytest", "pytest"))]


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Where gateway processes come from, for the tests that hurt them."""
    with forking() as held:
        yield held
