"""The description at ``/openapi.json``: valid OpenAPI 3.1, and nothing of the route table missing from it."""

import json
import re
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway.api.openapi import openapi
from gateway.api.routing import Route
from gateway.app import ROUTES

DOCUMENT: dict[str, Any] = json.loads(json.dumps(openapi(ROUTES, "0.0.0")))


def operation(route: Route) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["paths"][re.sub(r":[^}]+}", "}", route.path)][route.method.lower()]
    return found


def test_it_is_valid_openapi_3_1() -> None:
    assert DOCUMENT["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(DOCUMENT).validate()


def test_it_holds_the_routes_and_no_others() -> None:
    described = {(m.upper(), p) for p, methods in DOCUMENT["paths"].items() for m in methods}
    assert described == {(r.method, re.sub(r":[^}]+}", "}", r.path)) for r in ROUTES}


@pytest.mark.parametrize("route", ROUTES, ids=lambda r: f"{r.method} {r.path}")
def test_a_route_is_described_with_its_answers_parameters_and_guard(route: Route) -> None:
    said = operation(route)
    assert said["summary"] == route.summary
    assert {str(s) for s in route.answers} <= said["responses"].keys()
    assert ("401" in said["responses"]) == (route.lender or 401 in route.errors)
    assert bool(said.get("security")) == route.lender
    parameters = {(p["in"], p["name"]): p["required"] for p in said.get("parameters", [])}
    for name in re.findall(r"{([a-z_]+)", route.path):
        assert parameters["path", name] is True
    for name in route.query:
        assert parameters["query", name] == (name in route.needs)
    assert {n for where, n in parameters if where == "header"} == route.headers.keys()
    assert ("requestBody" in said) == bool(route.takes)
    first = next(iter(said["responses"].values()))
    assert set(route.also) <= first.get("content", {}).keys()


def test_every_problem_is_described_as_one() -> None:
    for methods in DOCUMENT["paths"].values():
        for said in methods.values():
            for status, response in said["responses"].items():
                if int(status) >= 400:
                    assert response["content"].keys() == {"application/problem+json"}


def test_every_schema_in_it_is_a_json_schema() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert {"Consent", "ConsentGrant", "ProfileRequest", "ProfileAnswer", "Problem"} <= schemas.keys()
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_operation_ids_are_unique() -> None:
    ids = [said["operationId"] for methods in DOCUMENT["paths"].values() for said in methods.values()]
    assert len(ids) == len(set(ids)) == len(ROUTES)
