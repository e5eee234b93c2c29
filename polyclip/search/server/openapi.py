"""The description of the API as OpenAPI 3.1, at /openapi.json."""

from importlib.metadata import version
from typing import Any

from pydantic.json_schema import models_json_schema

from polyclip.search.server.answers import Answer, Health, Indexes, Refusal
from polyclip.search.server.body import Question

Part = dict[str, Any]
JSON = "application/json"
TEXT: Part = {"type": "string"}
ERRORS = {
    400: "The request is malformed.",
    401: "A token is needed.",
    403: "Another site's page made the request.",
    404: "There is no such index, image or page.",
    413: "The body or its image is too large.",
    415: "The body is of another kind, or its image of another format.",
    421: "The server does not answer to this host name.",
    422: "A value is out of bounds, there is nothing to search for, or the image is damaged.",
    500: "A fault of the server, which its log describes.",
    503: "Too many requests are waiting; Retry-After says in how many seconds to ask again.",
}
EVERYWHERE = (401, 403, 421, 500, 503)  # any request may be answered with these


def refer(name: str) -> Part:
    """Return a reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def describe_answers(what: str, media: str, schema: Part, *errors: int) -> Part:
    """Return the responses of an operation: 200, the errors named, and those of every request."""
    found: Part = {"200": {"description": what, "content": {media: {"schema": schema}}}}
    return found | {
        str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted({*errors, *EVERYWHERE})
    }


def describe_get(name: str, summary: str, media: str, schema: Part, *errors: int) -> Part:
    """Return an address that is only asked, with its one operation."""
    responses = describe_answers(summary, media, schema, *errors)
    return {"get": {"operationId": name, "summary": summary, "responses": responses}}


def describe_search() -> Part:
    """Return the operations of /api/search."""
    answers = describe_answers("The images found.", JSON, refer("Answer"), 400, 404, 413, 415, 422)
    fields = Question.model_json_schema()["properties"]
    picture = {"type": "string", "contentMediaType": "application/octet-stream", "description": "An image file."}
    bodies = {
        JSON: {"schema": refer("Question")},
        "application/x-www-form-urlencoded": {"schema": {"type": "object", "properties": fields}},
        "multipart/form-data": {"schema": {"type": "object", "properties": fields | {"picture": picture}}},
    }
    asked = [{"name": name, "in": "query", "schema": schema} for name, schema in fields.items()]
    get: Part = {"operationId": "search", "summary": "Search by words, or by an image of the index."}
    post: Part = {"operationId": "searchByBody", "summary": "Search by words, or by an image that is sent."}
    return {
        "get": get | {"parameters": asked, "responses": answers},
        "post": post | {"requestBody": {"required": True, "content": bodies}, "responses": answers},
    }


def describe_image(name: str, edge: int) -> Part:
    """Return the operation of an image's address."""
    what = f"The image as WebP, at most {edge:,} pixels a side."
    found = describe_get(name, what, "image/webp", {}, 404, 422)
    found["get"]["responses"]["304"] = {"description": "The image is still the one of If-None-Match."}
    found["parameters"] = [
        {"name": "index", "in": "path", "required": True, "schema": TEXT},
        {"name": "row", "in": "path", "required": True, "schema": {"type": "integer", "minimum": 0}},
    ]
    return found


def describe_api(small: int, large: int) -> Part:
    """Describe all addresses of the API.

    Args:
        small: Pixels on the longer side of a small image, at most.
        large: Pixels on the longer side of a large image, at most.

    Returns:
        An OpenAPI 3.1 document.

    """
    _, schemas = models_json_schema(
        [(model, "serialization") for model in (Question, Answer, Indexes, Health, Refusal)],
        ref_template="#/components/schemas/{model}",
    )
    health = describe_get("health", "That the server answers; asked without a token.", JSON, refer("Health"))
    health["get"]["security"] = [{}]
    return {
        "openapi": "3.1.0",
        "info": {"title": "polyclip serve", "version": version("polyclip"), "summary": "Image search in any language."},
        "security": [{}, {"token": []}],
        "paths": {
            "/api/search": describe_search(),
            "/api/indexes": describe_get("indexes", "The indexes served.", JSON, refer("Indexes")),
            "/small/{index}/{row}": describe_image("small", small),
            "/large/{index}/{row}": describe_image("large", large),
            "/health": health,
            "/metrics": describe_get("metrics", "Counts in Prometheus' text format.", "text/plain", TEXT),
            "/openapi.json": describe_get("openapi", "This document.", JSON, {"type": "object"}),
        },
        "components": {
            "schemas": schemas["$defs"],
            "responses": {
                str(status): {"description": what, "content": {JSON: {"schema": refer("Refusal")}}}
                for status, what in ERRORS.items()
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }
