"""Hashes that no two lists share, and files that are there whole or not at all."""

from pathlib import Path

import pytest

from polyclip.core.storage import hash_file, hash_parts, write_atomically, write_text


def test_no_two_lists_have_one_hash() -> None:
    lists = [("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), ("", "abc"), (), ("",), ("c", "ab")]
    assert len({hash_parts(*parts) for parts in lists}) == len(lists)
    assert hash_parts("é") == hash_parts("é".encode())


def test_a_file_is_moved_into_place_whole(tmp_path: Path) -> None:
    path = tmp_path / "below" / "a.txt"
    write_text(path, "old", what="a text")
    with pytest.raises(KeyError), write_atomically(path, what="a text") as temporary:
        temporary.write_text("half of the new", "utf-8")
        assert path.read_text("utf-8") == "old"
        raise KeyError
    assert path.read_text("utf-8") == "old" and [found.name for found in path.parent.iterdir()] == ["a.txt"]
    before = hash_file(path)
    with write_atomically(path, what="a text") as temporary:
        temporary.write_text("new", "utf-8")
        assert hash_file(path) == before
    assert path.read_text("utf-8") == "new" and hash_file(path) != before
