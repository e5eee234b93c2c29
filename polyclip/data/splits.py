"""Assignment of groups of rows to the training, validation and test split."""

import hashlib

SPLITS = {"train": range(70), "validation": range(70, 80), "test": range(80, 100)}  # percent of the groups
FOLDED = 300  # images below which a corpus without a test split of its own is tested in folds


def assign_split(group: str) -> str:
    """Assign a group to train (70 %), validation (10 %) or test (20 %) by hash.

    The result is the same in every language and on every machine.

    Args:
        group: What must stay in one split.

    Returns:
        "train", "validation" or "test".

    """
    bucket = int(hashlib.sha256(group.encode()).hexdigest()[:8], 16) % 100
    return next(split for split, buckets in SPLITS.items() if bucket in buckets)
