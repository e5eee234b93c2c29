"""Panics of libraries written in Rust, which are not among Python's ordinary exceptions."""


def is_panic(error: BaseException) -> bool:
    """Whether an error is a panic of Rust code, such as the tokenizers' where their file contradicts itself.

    Args:
        error: Anything that was raised.

    Returns:
        True for pyo3's PanicException, which no module exports and which is no `Exception`.

    """
    return type(error).__name__ == "PanicException"
