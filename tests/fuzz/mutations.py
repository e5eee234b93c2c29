"""Damage files: by bytes, and by what they hold (JSON, TOML, tables, tensors, archives, columns).

Every function takes the whole content and a source of randomness, and returns other content; equal seeds give equal
content. Where the content has been damaged before, so that its format cannot be parsed, bytes are changed instead.
"""

import copy
import gzip
import io
import json
import tarfile
import tomllib
import zipfile
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import tomli_w
from pyarrow import parquet

Mutation = Callable[[bytes, Random], bytes]
TEXTS = (
    "", " ", "x", "x" * 5_000, "a\nb", "a\r\nb\tc", "\x00", "a\x00b", "\x1b[31mred\x1b[0m", "\u202egnp.exe", "\ud83d",
    "\udce9.png", "\u200b", "..", "../../etc/passwd", "/etc/passwd", "/dev/zero", "/dev/stdin", "file:///etc/passwd",
    "s3://x/y.tar", "https://localhost:1/x", "hub:me/mine", "C:\\x", "a/" * 3_000, "[" * 300, "{0..9999999999}",
    "{00000..99999}", "*", "**/*", "%s", "{}", "{0.__class__}", "nan", "-1", "1e999", "9" * 5_000, "sw", "en",
    "swh_Latn", "huggingface:/nowhere", "timm:resnet50,weights=/nowhere", "[b]x[/b]",
    "<script>alert(1)</script>", "ſ", "İ",
    "e\u0301", "🏳️\u200d🌈", "ﷺ" * 50,
)  # fmt: skip
NUMBERS = (
    0,
    -1,
    1,
    2**31,
    2**63,
    -(2**63),
    10**30,
    0.5,
    -0.0,
    1e308,
    1e-320,
    float("nan"),
    float("inf"),
    255,
    10**4_299,
)
VALUES = (None, True, False, [], {}, [[]], [{}], {"": ""}, [None], *NUMBERS, *TEXTS)
FLOATS = tuple(np.array(number, "float32").tobytes() for number in (0, 3e38, 1e-40, float("nan"), float("inf")))
BYTES = (
    b"\x00", b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"\r", b"\n", b"\t", b"\x80", b"\xed\xa0\x80",
    b"\x1b[2J", b'"', b"{",
    b"[" * 3_000, b'{"a":' * 3_000, b"9" * 5_000, b"\\ud83d", b"\\u0000", b"NaN", b"-Infinity", b"1e999", b"\x00" * 600,
    b"\xff" * 64, b"../", b"\xe2\x80\xae", b"<!--", b"]]>", b"'''", b"=",
)  # fmt: skip


def pick(source: Random, values: Any) -> Any:
    """One of some values: unlike `Random.choice`, also of a tuple of anything."""
    return values[source.randrange(len(values))]


def change_bytes(data: bytes, source: Random) -> bytes:
    """Flip, insert, repeat, remove or cut bytes, one to four times."""
    found = bytearray(data)
    for _ in range(source.randint(1, 4)):
        place = source.randrange(len(found) + 1)
        length = min(source.choice((1, 1, 2, 4, 8, 64, 1024)), len(found) - place)
        here, other = found[place : place + length], source.randrange(len(found) + 1)
        odd = pick(source, BYTES)
        taken, put = source.choice((
            (length, bytes(source.randrange(256) for _ in range(min(length, 64)))),
            (0, odd),
            (length, odd[:4_096]),
            (length, b""),
            (0, here * source.choice((1, 2, 100))),
            (len(found), b""),
            (1, bytes([here[0] ^ 1 << source.randrange(8)]) if here else b"\x01"),
            (length, found[other : other + length]),
        ))  # fmt: skip
        found[place : place + taken] = put
    return bytes(found)


def list_places(value: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Every place of a value within dictionaries and lists: what holds it, and its key."""
    if isinstance(value, dict):
        for key in value:
            found.append((value, key))
            list_places(value[key], found)
    elif isinstance(value, list):
        for key, part in enumerate(value):
            found.append((value, key))
            list_places(part, found)
    return found


def change_value(value: Any, source: Random) -> Any:
    """Replace, remove, rename, repeat or wrap one to three values of a tree."""
    found = [copy.deepcopy(value)]
    for _ in range(source.choice((1, 1, 1, 2, 3))):
        holder, key = pick(source, list_places(found, []))
        inner, kind = holder is not found, source.randrange(6)
        if kind == 0 and inner:
            del holder[key]
        elif kind == 1 and isinstance(holder, dict):
            holder[pick(source, TEXTS)] = holder.pop(key)
        elif kind == 2 and isinstance(holder, list) and inner:
            holder[key:key] = [holder[key]] * source.choice((1, 3, 50))
        elif kind == 3:
            holder[key] = change_scalar(holder[key], source)
        elif kind == 4:
            holder[key] = copy.deepcopy(pick(source, list_places(found, []))[0])
        else:
            holder[key] = copy.deepcopy(pick(source, VALUES))
    return found[0]


def change_scalar(value: Any, source: Random) -> Any:
    """Change a number or a text a little, or wrap a value."""
    if isinstance(value, int | float) and not isinstance(value, bool) and source.random() < 0.8:
        return source.choice((value + 1, -value, value * 1_000_000, value - 1))
    if isinstance(value, str) and source.random() < 0.8:
        place = source.randrange(len(value) + 1)
        return value[:place] + pick(source, TEXTS) + value[place:]
    return pick(source, ([value], {"x": value}, str(value)))


def write_json(value: Any, source: Random) -> bytes:
    """JSON with half surrogates as they come: escaped, or as bytes that are not UTF-8."""
    try:
        return json.dumps(value, ensure_ascii=source.random() < 0.5).encode("utf-8", "surrogatepass")
    except (ValueError, RecursionError):  # a number of 4,300 digits, or a tree that holds itself
        return b"9" * 5_000


def change_json(data: bytes, source: Random) -> bytes:
    """Change a JSON document, or one line of JSON lines."""
    if source.random() < 0.25:
        return change_bytes(data, source)
    lines = data.split(b"\n")
    whole = source.random() < 0.5
    number = source.randrange(len(lines))
    for text, place in ((data, None), (lines[number], number)) if whole else ((lines[number], number), (data, None)):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            continue
        changed = write_json(change_value(value, source), source)
        return changed if place is None else b"\n".join([*lines[:place], changed, *lines[place + 1 :]])
    return change_bytes(data, source)


def change_toml(data: bytes, source: Random) -> bytes:
    """Change a TOML document."""
    try:
        value = tomllib.loads(data.decode())
        if source.random() < 0.25:
            return change_bytes(data, source)
        return tomli_w.dumps(change_value(value, source)).encode("utf-8", "surrogatepass")
    except (
        ValueError,
        TypeError,
        AttributeError,
        RecursionError,
    ):  # TOML has no null and no other document than a table
        return change_bytes(data, source)


def change_table(data: bytes, source: Random) -> bytes:
    """Change cells, columns and lines of a table with tabs, commas or semicolons."""
    if source.random() < 0.3:
        return change_bytes(data, source)
    lines = data.split(b"\n")
    for _ in range(source.choice((1, 1, 2))):
        number = source.randrange(len(lines))
        delimiter = max((b"\t", b",", b";"), key=lines[number].count)
        cells = lines[number].split(delimiter)
        place = source.randrange(len(cells))
        kind = source.randrange(5)
        if kind == 0:
            del cells[place]
        elif kind == 1:
            cells.insert(place, cells[place])
        elif kind == 2:
            lines[number:number] = [lines[number]] * source.choice((1, 5))
            continue
        else:
            cells[place] = str(pick(source, (*TEXTS, *NUMBERS[:-1]))).encode("utf-8", "surrogatepass")
        lines[number] = delimiter.join(cells)
    return b"\n".join(lines)


def change_text_value(text: str, source: Random) -> str:
    """Change text that may itself be JSON or TOML, as in the metadata of tensors."""
    for change in (change_json, change_toml):
        try:
            (json.loads if change is change_json else tomllib.loads)(text)
        except (ValueError, RecursionError):
            continue
        return change(text.encode("utf-8", "surrogatepass"), source).decode("utf-8", "replace")
    return str(pick(source, TEXTS))


def change_tensors(data: bytes, source: Random) -> bytes:
    """Change the header of safetensors (sizes, offsets, types, names, metadata), its length, or the numbers."""
    size = int.from_bytes(data[:8], "little")
    kind = source.randrange(6)
    try:
        header = json.loads(data[8 : 8 + size])
    except (ValueError, RecursionError):
        header = None
    kind = kind if isinstance(header, dict) else 0
    if kind == 0:
        return change_bytes(data, source)
    body = data[8 + size :]
    if kind == 1:
        return source.choice((0, 7, size + 1, 2**31, 2**63, 10**8)).to_bytes(8, "little") + data[8:]
    if kind == 2 and body:
        numbers = bytearray(body)
        place = source.randrange(len(body))
        numbers[place : place + 4] = pick(source, FLOATS)
        return data[: 8 + size] + bytes(numbers[: len(body)])
    facts = header.get("__metadata__")
    if kind in (3, 4) and isinstance(facts, dict) and facts:
        name = pick(source, list(facts))
        facts[name] = change_text_value(str(facts[name]), source)
    else:
        header = change_value(header, source)
    text = write_json(header, source)
    return len(text).to_bytes(8, "little") + text + body


def change_gzip(data: bytes, source: Random, inner: Mutation = change_table) -> bytes:
    """Change what is compressed, or the compressed bytes."""
    try:
        return (
            gzip.compress(inner(gzip.decompress(data), source)) if source.random() < 0.7 else change_bytes(data, source)
        )
    except (OSError, EOFError, zlib.error):
        return change_bytes(data, source)


def change_tar(data: bytes, source: Random) -> bytes:
    """Change names, kinds, sizes, links and content of members, or bytes of the headers and the rest."""
    if source.random() < 0.3:
        return change_bytes(data, source)
    out = io.BytesIO()
    try:
        with (
            tarfile.open(fileobj=io.BytesIO(data)) as old,
            tarfile.open(fileobj=out, mode="w", format=source.choice((0, 1, 2))) as new,
        ):
            members = old.getmembers()
            chosen = source.randrange(len(members))
            for number, member in enumerate(members):
                content = handle.read() if (handle := old.extractfile(member)) else b""
                if number == chosen:
                    content = change_member(member, content, source)
                new.addfile(member, io.BytesIO(content))
    except (tarfile.TarError, OSError, ValueError, OverflowError):
        return change_bytes(data, source)
    return out.getvalue()


def change_member(member: tarfile.TarInfo, content: bytes, source: Random) -> bytes:
    """Change one member of a tar file; returns its content."""
    kind = source.randrange(5)
    if kind == 0:
        member.name = str(pick(source, TEXTS)) + source.choice(("", ".png", ".txt", ".json"))
    elif kind == 1:
        member.type = source.choice((b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"S", b"K", b"L", b"x", b"g", b"\xff"))
        member.linkname = str(pick(source, TEXTS))
    elif kind == 2:
        member.pax_headers = {
            str(pick(source, ("size", "path", "mtime", "GNU.sparse.map", "GNU.sparse.size", "hdrcharset", "x"))): str(
                pick(source, TEXTS)
            )
        }
    elif kind == 3:
        content = change_json(content, source)
    else:
        content = change_bytes(content, source)
    member.size = len(content)
    return content


def change_zip(data: bytes, source: Random) -> bytes:
    """Change members of a zip file, such as the sheets of a workbook, or its bytes."""
    if source.random() < 0.3:
        return change_bytes(data, source)
    out = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
            names = old.namelist()
            chosen = source.randrange(len(names))
            for number, name in enumerate(names):
                content = old.read(name)
                if number != chosen:
                    new.writestr(name, content)
                elif source.random() < 0.9:
                    new.writestr(name, change_markup(content, source))
    except (zipfile.BadZipFile, OSError, ValueError, zlib.error, NotImplementedError):
        return change_bytes(data, source)
    return out.getvalue()


def change_markup(data: bytes, source: Random) -> bytes:
    """Change XML: attributes, text and tags."""
    parts = data.split(b'"')
    if len(parts) < 3 or source.random() < 0.4:
        return change_bytes(data, source)
    place = 1 + 2 * source.randrange((len(parts) - 1) // 2)
    parts[place] = str(pick(source, (*TEXTS, *NUMBERS[:-1]))).encode("utf-8", "replace")
    return b'"'.join(parts)


def change_parquet(data: bytes, source: Random) -> bytes:
    """Change columns, their types and their cells, or bytes."""
    if source.random() < 0.3:
        return change_bytes(data, source)
    try:
        table = parquet.read_table(io.BytesIO(data))
        columns = table.to_pydict()
        name = pick(source, list(columns))
        kind = source.randrange(4)
        if kind == 0:
            del columns[name]
        elif kind == 1:
            columns[str(pick(source, TEXTS[:30])).encode("utf-8", "replace").decode()] = columns.pop(name)
        elif kind == 2:
            columns[name] = [pick(source, VALUES)] * table.num_rows
        else:
            columns[name] = change_value(columns[name], source)
        out = io.BytesIO()
        parquet.write_table(
            pa.table(columns, metadata=table.schema.metadata), out, row_group_size=source.choice((1, 2, 1000))
        )
        return out.getvalue()
    except (pa.ArrowException, ValueError, TypeError, OverflowError, KeyError, OSError, AttributeError):
        return change_bytes(data, source)
