"""What every simulated platform is: it verifies, looks up, and answers in its own dialect."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from math import ceil
from typing import ClassVar, TypeVar

from connectors.sandbox.verify import Refused, Why
from connectors.sandbox.wire import Answer, Call, dump
from connectors.sandbox.world import World

T = TypeVar("T")


class Platform(ABC):
    id: ClassVar[str]

    def __init__(self, world: World, secrets: Mapping[str, str]) -> None:
        self.world = world
        self.secrets = secrets

    def answer(self, call: Call) -> Answer:
        try:
            return self.serve(call)
        except Refused as refused:
            if refused.why is Why.NOT_FOUND:
                return Answer(dump({"message": "not found"}), Why.NOT_FOUND, status=404)
            return self.refuse(refused.why)

    @abstractmethod
    def serve(self, call: Call) -> Answer:
        """The answer to a good call; Refused otherwise."""

    @abstractmethod
    def refuse(self, why: Why) -> Answer:
        """The platform's own way to say so."""


def route(call: Call, method: str, services: Mapping[str, T]) -> T:
    """What stands for the path below the prefix; Refused(NOT_FOUND) for a wrong method or path."""
    found = services.get(call.service)
    if found is None or call.method != method:
        raise Refused(Why.NOT_FOUND)
    return found


def page_of(rows: list[T], page: int, size: int) -> tuple[list[T], int]:
    """The rows of ``page`` (from 1) and the number of pages."""
    return rows[(page - 1) * size : page * size], ceil(len(rows) / size)
