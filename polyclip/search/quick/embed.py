"""One text query of a run to its embedding, where that needs no torch."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from polyclip.core.json import parse_json
from polyclip.core.storage import describe_file, get_cache_folder, hash_parts
from polyclip.errors import PolyclipError
from polyclip.models.e5_file import FILE_SHA256, LAYERS, PREFIX, name_identity
from polyclip.models.text_adapter import list_text_adapters, read_text_adapter
from polyclip.search.quick.encoder import Array, encode
from polyclip.search.quick.head import apply, can_apply
from polyclip.search.quick.tokens import Pieces, get_pieces_path, tokenize

HEAD = "text.head."
OTHERS = ("vision.", "log_scale", "logit_bias")  # tensors that a text query does not need


def embed_text(run: Path, text: str) -> Array | None:
    """Embed a text, normalized already, with a run's text side.

    Args:
        run: The run folder.
        text: The query.

    Returns:
        A unit vector [dim]; None where the run has another text encoder, something trained in it, or another kind of
        head, or where its encoder's files were not verified on this machine yet.

    """
    side = read_text_side(run / "aligner.safetensors")
    weights, pieces = find_weights(), get_pieces_path()
    if side is None or weights is None or not pieces.is_file():
        return None
    head, adapter = side
    found = apply(head, encode(weights, tokenize(PREFIX + text, Pieces(pieces)), adapter))
    return found if np.isfinite(found).all() and found.any() else None  # torch's side says what is wrong with the head


def read_text_side(path: Path) -> tuple[dict[str, Array], Mapping[str, Array]] | None:
    """Tensors of the text head by name, and vectors of the text adapter; None where the text side is another than this
    package can run.
    """
    try:
        with safe_open(path, "numpy") as handle:
            metadata, names = handle.metadata() or {}, list(handle.keys())
            adapter = find_text_adapter(metadata.get("text_encoder", ""))
            if adapter is None:
                return None
            own = {name.removeprefix(HEAD): name for name in names if name.startswith(HEAD)}
            if any(not name.startswith((HEAD, *OTHERS)) for name in names) or not can_apply(dict.fromkeys(own)):
                return None
            return {name: handle.get_tensor(full).astype(np.float32) for name, full in own.items()}, adapter
    except (SafetensorError, OSError):
        return None  # torch's side says what is wrong with it


def find_text_adapter(identity: str) -> Mapping[str, Array] | None:
    """Vectors of the adapter with which e5-small has this identity: none for the encoder as it is, None for another."""
    if identity and identity == compute_identity():
        return {}
    try:
        known = [read_text_adapter(name, FILE_SHA256) for name in list_text_adapters()]
    except PolyclipError:
        return None  # torch's side says what is wrong with it
    return next((one.vectors for one in known if identity and identity == compute_identity(one.identity)), None)


def compute_identity(adapter: str = "") -> str:
    """Identity of the default text encoder as converted on this machine, with an adapter of this hash; empty where it
    was not converted.
    """
    manifest = get_folder() / "manifest.json"
    try:
        hashes = parse_json(manifest.read_bytes())["hashes"]
    except (OSError, ValueError, KeyError):
        return ""
    return hash_parts(json.dumps(hashes, sort_keys=True), name_identity(PREFIX, LAYERS, adapter))


def get_folder() -> Path:
    """Folder of the converted weights."""
    return get_cache_folder() / "weights" / f"e5-small-{FILE_SHA256[:12]}"


def find_weights() -> Path | None:
    """The converted weights, if nobody wrote to them since their hash was verified."""
    path = get_folder() / "model.safetensors"
    try:
        return path if path.with_suffix(".verified").read_text("utf-8") == describe_file(path) else None
    except OSError:
        return None
