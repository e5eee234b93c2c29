"""[shards] of corpora/<name>.toml: images and captions in shards."""

import re

from pydantic import Field, model_validator

from polyclip.core.toml import Pack, PackValueError
from polyclip.errors import DataError

SHARE = re.compile(r"(\d+(?:\.\d+)?)(%?)")


class ShardOptions(Pack):
    """How samples are found in shards, the sizes of the validation and test split, and how many samples may be bad."""

    language: str = ""  # code of captions that name none
    image: str = "image"  # column of the image: bytes, or a path from the shard's folder
    captions: dict[str, str] = {}  # code -> column with a caption, or a list of them
    caption: str = (
        ""  # the one column of captions, where `language_column` says each row's language, or `language` that of all
    )
    language_column: str = ""
    split: str = "train"  # of a hub data set; polyclip makes its own splits of it
    revision: str = Field(default="", pattern=r"^([0-9a-f]{40})?$")  # commit of a hub data set
    validation: float = Field(default=0.1, gt=0, lt=0.5)  # share of the images, by their hash
    test: float = Field(default=0.2, gt=0, lt=0.5)
    max_bad: str = "0.1%"  # of the samples: more that cannot be read are an error

    @model_validator(mode="after")
    def _whole(self) -> "ShardOptions":
        try:
            parse_share(self.max_bad)
        except DataError as error:
            raise PackValueError(
                "shards.max_bad", repr(self.max_bad), "expected a share, such as '0.1%' or '0.001'"
            ) from error
        if self.captions and self.caption:
            raise PackValueError(
                "shards.caption",
                repr(self.caption),
                "expected either captions, a column for each language, or caption, one for all",
            )
        return self


def parse_share(text: str) -> float:
    """Parse a share such as `0.1%` or `0.001`.

    Returns:
        The share, in [0, 1].

    Raises:
        DataError: The text is not such a share.

    """
    found = SHARE.fullmatch(text.strip())
    share = float(found[1]) / (100 if found[2] else 1) if found else -1.0
    if not 0 <= share <= 1:
        raise DataError(
            f"--max-bad {text!r}: expected a share of the samples between 0 and 100 %, such as 0.1% or 0.001."
        )
    return share
