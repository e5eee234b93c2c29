"""Readers of corpora, one file per storage format.

A reader is a module with these functions; `folder` is the corpus' folder:

- `languages(folder) -> list[str]`: the corpus' own names of the languages that have a caption.
- `styles(folder) -> tuple[str, ...]`: styles of images; one where each concept has one image.
- `read(folder, language, split) -> list[Row]`: captions of a language and split, in the corpus' order.
- `split_concepts(folder, split) -> dict[str, Row]`: every concept of a split, without captions.
- `pictures(folder, style) -> Mapping[str, ImageSource]`: image of every concept, decoded when it is opened.

`split` is "train", "validation" or "test". Unknown languages, splits and styles raise UnknownName, bad data raises
DataError. A reader of shards also has the functions of `polyclip.data.shards.scan.Format`, `table`, and `indexed`.
"""
