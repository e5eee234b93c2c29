"""Class names of a vision encoder: the classes of its own classifier, their hypernyms, and the classifier's rows.

A classifier's row points to where images of its class lie, so it serves as an image of the class at no cost.
"""

from polyclip.models.vocabulary.classes import Classifier, ClassVocabulary, build_vocabulary

__all__ = ["ClassVocabulary", "Classifier", "build_vocabulary"]
