"""What a vision tower can name by itself: the classes its own classifier was trained on, what stands above them, and their rows.

A row of a classifier points to where images of its class lie, so it is an image of the class that costs nothing.
"""

from polyclip.models.vocabulary.classes import Classifier, Vocabulary, vocabulary_of

__all__ = ["Classifier", "Vocabulary", "vocabulary_of"]
