"""A model is known by its tensors, however its file is laid out; an index goes on with the same model made again."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from polyclip.errors import RunError, WeightsError
from polyclip.models.model_identity import hash_model
from polyclip.search.index import Index, update_index
from tests.command import polyclip
from tests.toy import write_corpus, write_text_encoder, write_vision_tower

TENSORS = {"b": torch.arange(6.0).view(2, 3), "a": torch.ones(4).half(), "c": torch.zeros(0)}
METADATA = {"recipe": "x", "polyclip": "1"}


def write_in_order(path: Path, names: list[str]) -> Path:
    """Write the tensors by hand in this order, behind metadata in the same order."""
    header: dict[str, object] = {"__metadata__": dict(sorted(METADATA.items(), reverse=names != sorted(names)))}
    data = b""
    for name in names:
        own = TENSORS[name].numpy().tobytes()
        kind = {torch.float32: "F32", torch.float16: "F16"}[TENSORS[name].dtype]
        place = [len(data), len(data) + len(own)]
        header[name] = {"dtype": kind, "shape": list(TENSORS[name].shape), "data_offsets": place}
        data += own
    text = json.dumps(header, indent=len(names)).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def test_the_layout_of_a_file_does_not_count_and_everything_in_it_does(tmp_path: Path) -> None:
    one, other = (write_in_order(tmp_path / "".join(names), names) for names in (["a", "b", "c"], ["c", "b", "a"]))
    assert one.read_bytes() != other.read_bytes() and hash_model(one) == hash_model(other)
    assert all(torch.equal(load_file(other)[name], TENSORS[name]) for name in TENSORS)
    save_file(TENSORS, tmp_path / "theirs", METADATA)
    assert hash_model(tmp_path / "theirs") == hash_model(one)
    changed = [
        ({**TENSORS, "a": TENSORS["a"] + 1}, METADATA),
        ({**TENSORS, "b": TENSORS["b"].view(3, 2)}, METADATA),
        ({**TENSORS, "c": torch.zeros(0).half()}, METADATA),
        ({"x" if name == "a" else name: tensor for name, tensor in TENSORS.items()}, METADATA),
        (TENSORS, METADATA | {"recipe": "y"}),
    ]
    found = set()
    for tensors, metadata in changed:
        save_file(tensors, tmp_path / "changed", metadata)
        found.add(hash_model(tmp_path / "changed"))
    assert len(found | {hash_model(one)}) == len(changed) + 1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x" * 100,
        (10**18).to_bytes(8, "little") + b"{}",
        b"\x02" + bytes(7) + b"[]",
        b"\x0a" + bytes(7) + b'{"a": [1]}',
        b"\x2e" + bytes(7) + b'{"a":{"dtype":"F32","data_offsets":[0,10**9]}}'[:46],
    ],
)
def test_what_is_no_model_is_named(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "aligner.safetensors").write_bytes(data)
    with pytest.raises(WeightsError, match=r"aligner\.safetensors is damaged or truncated"):
        hash_model(tmp_path / "aligner.safetensors")
    with pytest.raises(WeightsError, match="cannot be read"):
        hash_model(tmp_path)


def test_an_index_goes_on_with_the_same_model_made_again(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus")
    towers = [write_text_encoder(tmp_path / "text"), write_vision_tower(tmp_path / "vision")]
    inputs = ["--corpus", corpus, "--text-encoder", towers[0], "--vision-tower", towers[1]]
    command = ["align", "--lang", "sw", "--method", "heads", *inputs, "--epochs", 1]
    for name, seed in (("one", 3), ("again", 3), ("other", 4)):
        said = polyclip(*command, "--seed", seed, "--out", tmp_path / name)
        assert said.code == 0, said.err
    made = update_index(corpus.parent, tmp_path / "one", tmp_path / "index")
    again = update_index(corpus.parent, tmp_path / "again", tmp_path / "index")
    assert (made.encoded, again.encoded) == (24, 0) and again.index.manifest.model == str(tmp_path / "again")
    assert len(Index.open(tmp_path / "index", model=tmp_path / "one").search("mraba", 30)) == 24
    shutil.rmtree(tmp_path / "one")
    with pytest.raises(RunError, match="by another model than .*other"):
        Index.open(tmp_path / "index", model=tmp_path / "other")
