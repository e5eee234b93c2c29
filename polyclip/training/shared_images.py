"""What a run on several corpora leaves out: images that another of its corpora tests or validates on."""

from typing import cast

from polyclip.core.progress import console
from polyclip.data.corpus import load_corpus
from polyclip.data.joined import JoinedReader
from polyclip.data.opened import OpenedCorpus
from polyclip.errors import DataError


def report_shared_images(name: str) -> None:
    """Say how many images of each corpus are left out of training because another one holds them out.

    Args:
        name: Of the corpora together, as `load_corpus` takes it.

    Raises:
        DataError: Every training image of a corpus is held out by another one.

    """
    corpus = load_corpus(name)
    if corpus.weights is None:
        return
    reader = cast(JoinedReader, corpus.reader)
    for _, own in reader.parts:
        train = count_images(own, "train")
        if train and train == reader.count_left_out(own, "train"):
            raise DataError(
                f"All {train} training images of corpus {own.name!r} are test or validation images of another corpus "
                "of this run, so that nothing could be trained from it. Leave one of the corpora out, or give the "
                "images the same split in both."
            )
        out = reader.count_left_out(own)
        if out:
            console.print(
                f"corpus {own.name!r}: {out} of {train + count_images(own, 'validation')} training and validation "
                "images left out, since another corpus of this run holds them out",
                highlight=False,
                soft_wrap=True,
            )


def count_images(corpus: OpenedCorpus, split: str) -> int:
    """Count the images of a split."""
    return len(corpus.reader.split_concepts(corpus.folder, split))
