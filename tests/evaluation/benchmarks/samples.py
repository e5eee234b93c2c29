"""Benchmark folders in the layouts in which they are distributed: tiny images, captions of the starter corpus."""

import csv
import gzip
import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import cycle, islice
from pathlib import Path

import pyarrow
from PIL import Image
from pyarrow import parquet

from polyclip.data.corpus import load_corpus
from polyclip.evaluation.benchmarks._files import map_codes_to_packs
from polyclip.evaluation.benchmarks.wit import COLUMNS
from polyclip.evaluation.facts import load_facts
from polyclip.languages.schema import load_language

SMALL = 6  # images of a partial folder
XTD = {"XTD10": "en es it ko pl ru tr zh", "MIC": "de fr", "STAIR": "jp"}


@cache
def spoken(code: str, count: int) -> list[str]:
    """Captions of the starter corpus in a language, or in English where it has none; over again if they are few."""
    corpus = load_corpus("emoji")
    having = corpus.reader.languages(corpus.folder)
    locale = (
        code
        if code in having
        else corpus.get_locale(load_language(code))
        if code in map_codes_to_packs("xm3600").values()
        else "en"
    )
    rows = corpus.reader.read(corpus.folder, locale if locale in having else "en", "test")
    return list(islice(cycle([caption for row in rows for caption in row.captions]), count))


def picture(number: int) -> bytes:
    """A small image, another for each number below 200."""
    out = io.BytesIO()
    Image.new("RGB", (12, 9), (number * 53 % 256, number * 29 % 256, number)).save(out, "PNG")
    return out.getvalue()


def draw(folder: Path, names: Iterable[str]) -> None:
    """Image files of these names; from the 200th on they are links to earlier ones."""
    folder.mkdir(parents=True, exist_ok=True)
    first: list[Path] = []
    for number, name in enumerate(names):
        if number < 200:
            first.append(folder / name)
            first[-1].write_bytes(picture(number))
        else:
            (folder / name).hardlink_to(first[number % 200])


def write(path: Path, lines: Iterable[str], end: str = "\n") -> None:
    """Lines without an end on the last, as most official files are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = end.join(lines).encode()
    path.write_bytes(gzip.compress(data, 1) if path.suffix == ".gz" else data)


def coco(count: int) -> list[str]:
    """Names as in XTD10: four of five of train2014."""
    return [f"COCO_{'val' if number % 5 == 4 else 'train'}2014_{number:012}.jpg" for number in range(count)]


def xm3600(folder: Path, count: int = SMALL) -> Path:
    """captions.jsonl and images/; the official counts where all 3,600 are written, two captions each otherwise.

    The region is that of image number / 2.
    """
    split = load_facts("xm3600").splits["test"]
    codes = list(split.captions)
    keys = [f"{number:016x}" for number in range(count)]
    draw(folder / "images", [f"{key}.jpg" for key in keys])
    text = {code: iter(spoken(code, split.captions[code])) for code in codes}
    lines = []
    for number, key in enumerate(keys):
        entry: dict[str, object] = {
            "image/key": key,
            "image/locale": codes[number // 2 % 36] if count < 3600 else codes[number // 100],
        }
        for code in codes:
            total = split.captions[code] if count == split.pictures else 2 * count
            own = list(islice(text[code], (number + 1) * total // count - number * total // count))
            entry[code] = {"caption": own, "caption/tokenized": own, "caption/tokenized/lowercase": own}
        lines.append(json.dumps(entry, ensure_ascii=False))
    write(folder / "captions.jsonl", lines)
    return folder


def shard(path: Path, rows: list[Mapping[str, object]]) -> None:
    """One parquet file, two rows a group, images as the hub keeps them: bytes and no path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path, row_group_size=2)


def xm3600_parquet(folder: Path, codes: str = "sw te en") -> Path:
    """The hub's copy; sw in two shards."""
    for code in codes.split():
        captions = spoken(code, 2 * SMALL)
        rows = [
            {
                "image_id": f"{number:016x}",
                "image_locale": ("sw", "te", "fr")[number // 2],
                "captions": captions[2 * number : 2 * number + 2],
                "captions_tokenized": captions[:1],
                "captions_tokenized_lowercase": captions[:1],
                "image": {"bytes": picture(number), "path": None},
            }
            for number in range(SMALL)
        ]
        parts = [rows[:3], rows[3:]] if code == "sw" else [rows]
        for part, some in enumerate(parts):
            shard(folder / "data" / f"{code}-{part:05}-of-{len(parts):05}.parquet", some)
    return folder


def xm3600_babel(folder: Path) -> Path:
    """Babel-ImageNet's file."""
    names = [f"{number:016x}.jpg" for number in range(SMALL)]
    draw(folder / "images", names)
    captions = {code: [spoken(code, 2 * SMALL)[2 * n : 2 * n + 2] for n in range(SMALL)] for code in ("sw", "te")}
    (folder / "xm3600.json").write_text(json.dumps({"images": names, "captions": captions}), "utf-8")
    return folder


def xm3600_clip_benchmark(folder: Path) -> Path:
    """CLIP_benchmark's cache, with another machine's folders."""
    names = [f"{number:016x}.jpg" for number in range(SMALL)]
    draw(folder / "images", names)
    for code in ("sw", "te"):
        entry = {
            "image_paths": [f"/root/xm3600/images/{name}" for name in names],
            "annotations": spoken(code, SMALL),
            "indicies": list(range(SMALL)),
        }
        (folder / f"crossmodal3600_captions-{code}.json").write_text(json.dumps(entry, ensure_ascii=False), "utf-8")
    return folder


def xm3600_uclip(folder: Path) -> Path:
    """uCLIP's files."""
    names = [f"{number:016x}.jpg" for number in range(SMALL)]
    draw(folder / "images", names)
    for code in ("sw", "te"):
        rows = [
            {"filename": name, "captions_en": "x", "captions_translated": text}
            for name, text in zip(names, spoken(code, SMALL), strict=True)
        ]
        (folder / f"captions_{code}.json").write_text(json.dumps(rows, ensure_ascii=False), "utf-8")
    return folder


def xtd10(folder: Path, count: int = 1000) -> Path:
    """The repository's three folders; the files of XTD10/ but English end lines with CR LF."""
    names = coco(count)
    draw(folder / "images", names)
    write(folder / "XTD10" / "test_image_names.txt", [*names, ""])
    packs = map_codes_to_packs("xtd")
    for place, codes in XTD.items():
        for code in codes.split():
            crlf = place == "XTD10" and code != "en"
            write(folder / place / f"test_1kcaptions_{code}.txt", spoken(packs[code], count), "\r\n" if crlf else "\n")
    write(folder / "MIC" / "test_1kcaptions_en.txt", spoken("en", count))
    return folder


def flores(folder: Path, listed: str, count: int = 1000, languages: int = 201) -> Path:
    """One file a language; real codes first, then codes no pack has."""
    names = coco(count) if listed.startswith("test") else [f"{1000 + number}.jpg" for number in range(count)]
    draw(folder / "images", names)
    write(folder / listed, names)
    real = map_codes_to_packs("flores")
    others = [f"q{a}{b}_Latn" for a in "abcdefghijkl" for b in "abcdefghijkl"]
    for code in [*list(real)[: languages - 1], *others][:languages]:
        write(folder / f"{code}.txt", spoken(real.get(code, "en"), count))
    return folder


def multi30k(folder: Path, split: str = "test_2016_flickr", count: int = 0) -> Path:
    """One set of the repository, task 1, or task 2 where the name says so."""
    official = load_facts("multi30k").splits[split]
    count = count or official.pictures
    task, _, name = split.rpartition("/")
    names = [f"{2000 + number}.jpg" for number in range(count)] if "mscoco" not in split else coco(count)
    draw(folder / "images", names)
    home = folder / "data" / (task or "task1")
    written = [f"{file}#{500 + number}" for number, file in enumerate(names)] if "mscoco" in split else names
    write(home / "image_splits" / (f"{name}_images.txt" if task else f"{name}.txt"), [*written, ""])
    for code in official.captions:
        texts = spoken(code, 5 * count)
        for part in range(5) if task else (0,):
            write(home / "raw" / (f"{name}.{part + 1}.{code}.gz" if task else f"{name}.{code}.gz"), texts[part::5])
    return folder


def xflickrco(folder: Path, count: int = 2000) -> Path:
    """annotations/<lang>/test.jsonl.

    The second half of each language is its own images of COCO, as ids are numbers there and text before.
    """
    half = count // 2
    flickr = [f"{3000 + number}.jpg" for number in range(half)]
    shared = [f"COCO_val2014_{number:012}.jpg" for number in range(half + 1)]
    draw(folder / "flickr30k-images", flickr)
    draw(folder / "val2014", shared)
    for code in load_facts("xflickrco").splits["test"].captions:
        names = flickr + (shared[1:] if code == "ja" else shared[:-1])
        rows = [
            {"sentences": [text], "id": name[:-4] if name in flickr[:1] else number, "img_path": name}
            for number, (name, text) in enumerate(zip(names, spoken(code, count), strict=True))
        ]
        write(folder / "annotations" / code / "test.jsonl", [json.dumps(row, ensure_ascii=False) for row in rows])
    return folder


def xflickrco_parquet(folder: Path) -> Path:
    """The hub's copy: one sentence a row, as text."""
    for code in ("id", "ja"):
        rows = [
            {"id": str(number), "image": {"bytes": picture(number), "path": None}, "sentences": text}
            for number, text in enumerate(spoken(code, SMALL))
        ]
        shard(folder / "data" / f"{code}-00000-of-00001.parquet", rows)
    return folder


def wit(folder: Path, codes: Iterable[str] = ("ar", "ko", "tr"), *, whole: bool = False) -> Path:
    """IGLUE's test as the hub has it; one Arabic row is a lone no-break space."""
    official = load_facts("wit").splits["test"]
    for code in codes:
        pictures, total = (official.galleries[code], official.captions[code]) if whole else (SMALL, SMALL + 2)
        captions = spoken(code, total)
        rows = []
        for number in range(pictures):
            own = captions[number : number + 1] + (captions[pictures:] if number == 0 else [])
            own = ["\u00a0"] if code == "ar" and number == 1 else own
            rows.append(
                {"image_id": str(number), "image": {"bytes": picture(number % 200), "path": "x.jpg"}, "captions": own}
            )
        shard(folder / "data" / f"{code}-00000-of-00001.parquet", rows)
    return folder


def wit_tables(folder: Path) -> Path:
    """WIT's own tables, and the four of six images that could be downloaded."""
    draw(folder / "mine", [f"{number}.jpg" for number in range(SMALL)])
    out = io.StringIO()
    writer = csv.writer(out, delimiter="\t", lineterminator="\n")
    writer.writerow(COLUMNS)
    for code in ("sw", "zh-TW", "xx"):
        for number, text in enumerate(spoken("sw", SMALL)):
            row = dict.fromkeys(COLUMNS, "") | {
                "language": code,
                "image_url": f"https://upload.wikimedia.org/{number}.jpg",
            }
            row |= {
                "caption_reference_description": f'{text}\n"{number}"' if number else "",
                "context_page_description": "x" * 200_000,
            }
            writer.writerow(row.values())
    (folder / "wit_v1.test.all-00000-of-00005.tsv.gz").write_bytes(gzip.compress(out.getvalue().encode(), 1))
    write(
        folder / "images.tsv", [f"https://upload.wikimedia.org/{number}.jpg\tmine/{number}.jpg" for number in range(4)]
    )
    return folder


def member(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    """One file of a shard."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))


def webdataset(folder: Path) -> Path:
    """Two shards as CLIP_benchmark writes them."""
    (folder / "test").mkdir(parents=True)
    texts = spoken("sw", 2 * SMALL)
    for part in range(2):
        with tarfile.open(folder / "test" / f"{part}.tar", "w") as archive:
            for number in range(part * 3, part * 3 + 3):
                member(archive, f"s{number:07}.png", picture(number))
                member(archive, f"s{number:07}.txt", "\n".join(texts[2 * number : 2 * number + 2]).encode())
    (folder / "test" / "nshards.txt").write_text("2", "utf-8")
    (folder / "dataset_type.txt").write_text("retrieval", "utf-8")
    return folder


def retrieval(folder: Path) -> Path:
    """One's own file: Swahili under a code of Flores, a group of two, one line of another split."""
    draw(folder, [f"{number}.jpg" for number in range(SMALL)])
    entries = [
        {
            "image": f"{n}.jpg",
            "captions": {"swh_Latn": spoken("sw", 2 * SMALL)[2 * n : 2 * n + 2], "te": spoken("te", SMALL)[n : n + 1]},
        }
        for n in range(SMALL)
    ]
    entries[0]["group"] = entries[1]["group"] = "scene"
    entries[5]["split"] = "train"
    write(folder / "captions.jsonl", [json.dumps(entry, ensure_ascii=False) for entry in entries])
    return folder
