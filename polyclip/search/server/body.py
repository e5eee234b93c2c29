"""Questions sent as JSON: checked key by key before anything is searched."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request

from polyclip.core.expected import describe_expected
from polyclip.search.server.errors import RequestError
from polyclip.search.server.query import LONGEST, MOST, TOP

MEDIA = "application/json"
LARGEST = 2**16  # bytes
Name = Annotated[str, Field(max_length=255)]


class Question(BaseModel):
    """A question in JSON: the fields of the form, apart from the image."""

    model_config = ConfigDict(extra="forbid", strict=True)
    q: str = Field("", max_length=LONGEST, description="Words in any language.")
    like: int | None = Field(None, ge=0, description="Instead of words: the row of an image of the index.")
    lang: str = Field("", max_length=80, description="Language of the words, any code or name; empty: detect it.")
    model: Name = Field("", description="Name of an index; empty: the first one.")
    beside: Name = Field("", description="Name of a second index.")
    folder: str = Field("", max_length=4096, description="Only images in this folder or below it.")
    least: float = Field(-1.0, ge=-1, le=1, description="Least similarity.")
    all: bool = Field(False, description="Each of several files with the same image.")
    top: int = Field(TOP, ge=1, le=MOST, description="Images, at most.")


async def read_json(request: Request) -> dict[str, str]:
    """Read a question sent as JSON, and return it as the fields of a form.

    Raises:
        RequestError: (413) The body is too large, or (400) it is no such question.

    """
    body = bytearray()
    async for block in request.stream():
        body += block
        if len(body) > LARGEST:
            raise RequestError(413, f"The JSON has more than {LARGEST:,} bytes; ask a shorter question.", key="")
    try:
        question = Question.model_validate_json(bytes(body))
    except ValidationError as error:
        raise RequestError(400, describe_fault(error.errors(include_url=False)[0])) from error
    return {name: str(value) for name, value in question.model_dump(exclude_defaults=True).items()}


def describe_fault(fault: Any) -> str:
    """Describe a fault of a question in one sentence, without repeating what was sent."""
    known = ", ".join(Question.model_fields)
    if fault["type"] == "json_invalid":
        return f"The body is not JSON: {fault['ctx']['error']}. Expected an object with keys among {known}."
    if not fault["loc"]:
        return f"The body is not a JSON object. Expected one with keys among {known}."
    key = "".join(letter for letter in str(fault["loc"][0])[:40] if letter.isprintable())
    if fault["type"] == "extra_forbidden":
        return f"The JSON has an unknown key '{key}'; known are {known}."
    return f"'{key}' in the JSON is not as expected: {describe_expected(fault)}."
