"""What the API answers, as models: their JSON schemas are those of /openapi.json."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Schema(BaseModel):
    """An object with these keys and no others."""

    model_config = ConfigDict(extra="forbid", strict=True)


class QueryLanguage(Schema):
    """The language of a text query."""

    code: str
    name: str = Field(description="In English.")
    direction: Literal["ltr", "rtl"]
    detected: bool
    sure: bool


class Query(Schema):
    """What was asked, and how it was understood."""

    kind: Literal["words", "picture", "like"]
    text: str
    language: QueryLanguage | None


class MatchConfidence(Schema):
    """How likely the first image is right."""

    confidence: float = Field(ge=0, le=1)
    level: Literal["high", "medium", "low"]


class FoundPicture(Schema):
    """An image that was found."""

    row: int = Field(ge=0)
    path: str = Field(description="From the folder that was indexed.")
    similarity: float = Field(description="Cosine, -1 to 1; with a caption, the weighted mean of both, on that scale.")
    caption: str | None = Field(description="The caption nearest to the words; null where none was compared.")
    from_caption: float = Field(description="How much of the similarity comes from it.")
    alike: list[str] = Field(description="The same image in other files, unless each is asked for.")
    thumbnail: str = Field(description="Address of the image, small.")
    picture: str = Field(description="Address of the image, large.")


class IndexResult(Schema):
    """What one index answers."""

    index: str
    model: str
    trained: list[str] = Field(description="Codes of the model's languages.")
    searched: int = Field(ge=0)
    confidence: MatchConfidence | None
    hint: str = Field(description="That the model was not trained on the query's language; else empty.")
    more: bool
    hits: list[FoundPicture]


class Answer(Schema):
    """The answer of /api/search."""

    query: Query
    seconds: float = Field(ge=0, description="Without waiting in the queue.")
    results: list[IndexResult]


class ServedIndex(Schema):
    """An index that is served."""

    index: str
    model: str
    trained: list[str]
    pictures: int = Field(ge=0)
    folders: dict[str, int] = Field(description="Every folder, and how many images are in it and below.")


class Indexes(Schema):
    """The answer of /api/indexes."""

    indexes: list[ServedIndex]


class Health(Schema):
    """The answer of /health."""

    status: Literal["ready"]
    indexes: int = Field(ge=0)
    pictures: int = Field(ge=0)
    waiting: int = Field(ge=0, description="Questions in the queue.")


class Refusal(Schema):
    """The answer of every error."""

    error: str = Field(description="One sentence.")
