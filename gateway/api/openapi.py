"""OpenAPI 3.1 from the route table and the models: one generator, no second description to keep in step."""

import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from gateway.api.routing import ANYTHING, Problem, Route

_TITLES = {
    200: "OK",
    201: "Created",
    202: "Accepted",
    204: "No content",
    303: "Go on there",
    400: "The request is wrong",
    401: "No valid access token, or a callback without a valid signature",
    403: "The caller may not, or the consent does not cover this",
    404: "No such object for this caller",
    405: "The path has no such method",
    406: "Not a representation that is offered",
    409: "In conflict with the object's state",
    410: "Deleted on request of the subject, or no longer waited for",
    413: "The body is too large",
    415: "Not application/json",
    422: "Understood, but not acceptable",
    429: "Too often",
    503: "Ask again later",
}


def openapi(routes: Sequence[Route], version: str) -> dict[str, Any]:
    models: set[type[BaseModel]] = {Problem}
    for route in routes:
        models |= {m for m in [route.takes, *route.answers.values()] if isinstance(m, type)}
    ordered = sorted(models, key=lambda m: m.__name__)
    inputs = {m for route in routes if isinstance(m := route.takes, type)}
    names, definitions = models_json_schema(
        [(m, "validation" if m in inputs else "serialization") for m in ordered],
        ref_template="#/components/schemas/{model}",
    )
    refs: dict[type[BaseModel], str] = {
        model: schema["$ref"] for (model, _mode), schema in names.items() if issubclass(model, BaseModel)
    }
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(_plain(route.path), {})[route.method.lower()] = _operation(route, refs)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Xinqiao 信桥",
            "version": version,
            "description": "One signed, traceable enterprise credit profile from public data platforms, "
            "with the enterprise's consent. "
            "经企业授权，从公共数据平台取数、互相核验，给出一份签名、可追溯的企业信用画像。",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": definitions.get("$defs", {}),
            "securitySchemes": {
                "lender": {
                    "type": "oauth2",
                    "flows": {"clientCredentials": {"tokenUrl": "/oauth/token", "scopes": {}}},
                }
            },
        },
    }


def _plain(path: str) -> str:
    """Without the router's patterns: ``{path:.+}`` is ``{path}`` to the reader."""
    return re.sub(r":[^}]+}", "}", path)


def _operation(route: Route, refs: dict[type[BaseModel], str]) -> dict[str, Any]:
    parameters = [
        {"name": part[1:-1].split(":")[0], "in": "path", "required": True, "schema": {"type": "string"}}
        for part in route.path.split("/")
        if part.startswith("{")
    ]
    parameters += [
        {
            "name": name,
            "in": "query",
            "required": name in route.needs,
            "description": text,
            "schema": {"type": "string"},
        }
        for name, text in route.query.items()
    ]
    parameters += [
        {"name": name, "in": "header", "required": False, "description": text, "schema": {"type": "string"}}
        for name, text in route.headers.items()
    ]
    responses: dict[str, Any] = {}
    for status, body in route.answers.items():
        schema = {"schema": {"$ref": refs[body]}} if isinstance(body, type) else {}
        media = "application/json" if isinstance(body, type) else body
        others: dict[str, Any] = {other: {} for other in route.also} if status == min(route.answers) else {}
        content = {"content": {media: schema, **others}} if media else {}
        responses[str(status)] = {"description": _TITLES[status], **content}
    errors = {*route.errors, *((401, 403, 429) if route.lender else ()), *((400, 413) if route.takes else ())}
    if route.takes and route.takes != ANYTHING:
        errors.add(415)
    if route.query:
        errors.add(400)
    for status in sorted(errors):
        responses[str(status)] = {
            "description": _TITLES[status],
            "content": {"application/problem+json": {"schema": {"$ref": refs[Problem]}}},
        }
    operation: dict[str, Any] = {
        "operationId": f"{route.method.lower()}_{re.sub(r'[^a-z0-9]+', '_', _plain(route.path)).strip('_')}",
        "summary": route.summary,
        "tags": [route.tag],
        "responses": responses,
    }
    if parameters:
        operation["parameters"] = parameters
    if isinstance(route.takes, type):
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": refs[route.takes]}}},
        }
    elif route.takes:
        operation["requestBody"] = {"required": True, "content": {route.takes: {"schema": {"type": "object"}}}}
    if route.lender:
        operation["security"] = [{"lender": []}]
    return operation
