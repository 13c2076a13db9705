"""Which source's records are not what the catalogue says: asked only after a rule could not read them.

The declarative engine makes canonical records by construction; a connector with code of its own may not, and then its
answer is a defect of that connector, not of the request.
"""

from collections.abc import Sequence
from dataclasses import replace

import orjson
from pydantic import ValidationError

from gateway.profile.collect import Gathered
from schemas.errors import ConnectorFault
from schemas.records import CATALOGUE


def isolate(gathered: Sequence[Gathered]) -> list[Gathered]:
    """The same, with ConnectorFault in the place of each answer that holds a record out of form."""
    return [one if _sound(one) else replace(one, reply=None, error=ConnectorFault()) for one in gathered]


def _sound(one: Gathered) -> bool:
    if one.reply is None:
        return True
    model = CATALOGUE[one.item.dataset].model
    for record in one.reply.records:
        try:
            model.model_validate_json(orjson.dumps(record))
        except ValidationError as error:
            # A required field may be absent: the consent need not cover it.
            if any(fault["type"] != "missing" for fault in error.errors(include_input=False, include_url=False)):
                return False
        except TypeError:
            return False
    return True
