"""What is damaged and which command reads it: each target is a small valid folder, made by the package's own writers.

`FOLDER` in a command is the folder of one input, a copy of the target's; encoders and runs lie beside it in the lab,
which is written once.
"""

import gzip
import json
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree
from unittest.mock import patch

import openpyxl
from PIL import Image
from safetensors.torch import load_file, save_file

from polyclip.core.storage import hash_file
from polyclip.core.toml import LANGUAGES
from polyclip.data.corpus import load_corpus
from tests.command import polyclip
from tests.evaluation.benchmarks import samples
from tests.fuzz import mutations
from tests.fuzz.mutations import Mutation
from tests.sharded import Item, write_parquet, write_tars
from tests.sharded import write_pack as write_sharded_pack
from tests.toy import write_corpus, write_text_encoder, write_vision_tower
from tests.translation.engines.test_lexicon import write_dictd

FOLDER, LAB = "FOLDER", "LAB"
Build = Callable[[Path, Path], object]  # lab and the target's folder


@dataclass(frozen=True)
class Target:
    """A kind of file: who writes a valid one, how it is damaged, and the commands that read it."""

    name: str
    files: tuple[str, ...]
    build: Build
    change: Mutation
    commands: tuple[str, ...]
    repair: Callable[[Path], object] | None = None  # what else names the file's hash


TOWER = "timm:test_efficientnet,weights=LAB/vision/test_efficientnet.safetensors"
ENCODERS = f"--text-encoder huggingface:LAB/text --vision-tower {TOWER}"
OPTIONS = f"{ENCODERS} --method heads --batch-size 8 --allow-leakage x"
ALIGN = f"align --lang sw {OPTIONS} --epochs 1 --out FOLDER/out --corpus FOLDER"
ALIGN_TE = ALIGN.replace("--lang sw", "--lang te --lang sw")
ALIGN_RUN = f"align --lang sw {OPTIONS} --epochs 2 --seed 3 --out FOLDER/run --corpus LAB/corpus/toy.toml"
ALIGN_TOY = f"align --lang sw {OPTIONS} --epochs 1 --out FOLDER/out --corpus LAB/corpus/toy.toml"
ALIGN_TEXT, ALIGN_VISION = (ALIGN_TOY.replace(f"LAB/{part}", f"FOLDER/{part}") for part in ("text", "vision"))
EVAL_RUN = "eval retrieval --data LAB/bench --model FOLDER/run --json FOLDER/o.json"
SEARCH_RUN = "search mraba --images LAB/pictures --model FOLDER/run --html FOLDER/s.html"
CONTINUE = (
    "align --lang fr --epochs 1 --allow-leakage x --from FOLDER/run --corpus LAB/corpus/toy.toml --out FOLDER/out"
)
IMPORT = "index LAB/pictures --model LAB/run --out FOLDER/back --from-clip-retrieval FOLDER/layout"
CLASSIFY = "classify LAB/pictures --labels FOLDER/labels.txt --model LAB/run --csv FOLDER/t.csv"
IMAGES = "a.png a.jpg a.webp a.gif a.bmp a.tif grey.png palette.png moves.gif"
NEW = "corpus new FOLDER/photos FOLDER"
EVAL = "--model LAB/run --partial --json FOLDER/out.json"


def write_lab(lab: Path) -> None:
    """Write what all targets share: two encoders, a corpus, a run on it and another one, a benchmark and an index."""
    if (lab / "done").exists():
        return
    lab.mkdir(parents=True, exist_ok=True)
    text, vision = write_text_encoder(lab / "text"), write_vision_tower(lab / "vision")
    corpus = write_corpus(lab / "corpus", french=True)
    options = [
        "--corpus",
        corpus,
        "--text-encoder",
        text,
        "--vision-tower",
        vision,
        "--method",
        "heads",
        "--batch-size",
        8,
    ]
    for name in ("run", "other"):
        succeed("align", "--lang", "sw", *options, "--epochs", 2, "--seed", len(name), "--out", lab / name)
    samples.retrieval(lab / "bench")
    (lab / "pictures").mkdir()
    for number in range(3):
        (lab / "pictures" / f"{number}.png").write_bytes(samples.picture(number))
    (lab / "done").touch()


def succeed(*arguments: object) -> None:
    """Run a command that must succeed."""
    said = polyclip(*arguments)
    if said.code != 0:
        raise RuntimeError(said.err)


def build_run(lab: Path, folder: Path) -> None:
    """A run folder."""
    copytree(lab / "run", folder / "run")


def build_checkpoint(lab: Path, folder: Path) -> None:
    """What an interrupted run leaves, after its last epoch."""
    with patch("polyclip.training.checkpoint.remove"):
        succeed(*ALIGN_RUN.replace(LAB, str(lab)).replace(FOLDER, str(folder)).split())
    for name in ("aligner.safetensors", "result.json"):
        (folder / "run" / name).unlink()


def build_eval(lab: Path, folder: Path) -> None:
    """A result file of a benchmark, with its ranks."""
    succeed("eval", "retrieval", "--data", lab / "bench", "--model", lab / "run", "--json", folder / "o.json")


def repair_ranks(folder: Path) -> None:
    """Write the hash of changed ranks into their result."""
    table = json.loads((folder / "o.json").read_bytes())
    table["origin"]["ranks"] = hash_file(folder / "o.ranks.safetensors")
    (folder / "o.json").write_text(json.dumps(table), "utf-8")


def build_index(lab: Path, folder: Path) -> None:
    """An index of three images."""
    succeed("index", lab / "pictures", "--model", lab / "run", "--out", folder / "index")


def build_captioned(lab: Path, folder: Path) -> None:
    """Images with captions in text files beside them, one naming its language, and in both kinds of metadata."""
    for home in ("csv", "jsonl"):
        copytree(lab / "pictures", folder / home)
        (folder / home / "0.txt").write_text("mraba nyekundu\nmraba mdogo\n", "utf-8")
        (folder / home / "1.sw.txt").write_text("mraba bluu\n", "utf-8")
    (folder / "csv" / "metadata.csv").write_text("file_name,sw,en\n2.png,mraba,square\n0.png,njano,yellow\n", "utf-8")
    lines = [{"file_name": f"{n}.png", "text": f"mraba {n}"} for n in range(3)]
    (folder / "jsonl" / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)), "utf-8")


def build_captioned_index(lab: Path, folder: Path) -> None:
    """An index of three images with captions."""
    (folder / "t.csv").write_text("image,sw,en\n0.png,mraba nyekundu,red square\n2.png,mraba,square\n", "utf-8")
    captions = ("--captions", folder / "t.csv")
    succeed("index", lab / "pictures", "--model", lab / "run", "--out", folder / "index", *captions)


def build_part(lab: Path, folder: Path) -> None:
    """What an interrupted command that makes an index leaves."""
    build_index(lab, folder)
    (folder / "index" / "index.json").unlink()
    files = [
        [path.name, path.stat().st_size, path.stat().st_mtime_ns, hash_file(path)]
        for path in sorted((lab / "pictures").iterdir())
    ]
    facts = {
        "aligner": hash_file(lab / "run" / "aligner.safetensors"),
        "keys": json.dumps([key for *_, key in files]),
        "files": json.dumps(files),
    }
    vectors = load_file(folder / "index" / "vectors.1.safetensors")["vectors"]
    (folder / "index" / "parts").mkdir(exist_ok=True)
    save_file({"vectors": vectors}, folder / "index" / "parts" / "0.safetensors", facts)


def build_layout(lab: Path, folder: Path) -> None:
    """clip-retrieval's layout of three images."""
    build_index(lab, folder)
    succeed(
        "index",
        lab / "pictures",
        "--model",
        lab / "run",
        "--out",
        folder / "x",
        "--to-clip-retrieval",
        folder / "layout",
    )


def repair_index(folder: Path) -> None:
    """Write the sizes of changed files into the index."""
    path = folder / "index" / "index.json"
    table = json.loads(path.read_bytes())
    table["bytes"] = {name: (path.parent / name).stat().st_size for name in table["bytes"]}
    path.write_text(json.dumps(table), "utf-8")


def make_items() -> list[Item]:
    """Eight samples for shards."""
    return [
        (f"s{n}", samples.picture(n), {"en": [f"square {n}", "red"], "sw": [f"mraba {n}", "nyekundu"]})
        for n in range(8)
    ]


def build_tar(lab: Path, folder: Path) -> None:
    """A corpus of one tar file, with a pack."""
    write_tars(folder, make_items(), 1, "validation = 0.2\ntest = 0.3")


def build_parquet(lab: Path, folder: Path) -> None:
    """A corpus of one parquet file, with a pack."""
    write_parquet(folder / "0.parquet", make_items(), 3)
    write_sharded_pack(
        folder,
        "parquet",
        "0.parquet",
        "validation = 0.2\ntest = 0.3\n[shards.captions]\nsw = 'caption_sw'\nen = 'caption_en'",
    )


def build_dataset(lab: Path, folder: Path) -> None:
    """A data set that the library `datasets` saved."""
    from datasets import Dataset, Features, Image, Value

    rows = {
        "image": [{"bytes": samples.picture(n), "path": None} for n in range(8)],
        "sw": [f"mraba {n}" for n in range(8)],
    }
    Dataset.from_dict(rows, Features({"image": Image(), "sw": Value("string")})).save_to_disk(str(folder / "d"))
    extra = "validation = 0.2\ntest = 0.3\n[shards.captions]\nsw = 'sw'"
    write_sharded_pack(folder, "datasets", "d", extra)


def build_tei(lab: Path, folder: Path) -> None:
    """A dictionary of FreeDict."""
    entry = '<entry><form><orth>{}</orth></form><sense><cit type="trans"><quote>{}</quote></cit></sense></entry>'
    inner = "".join(
        entry.format(*pair) for pair in (("red", "ఎరుపు"), ("square", "చదరం"), ("small", "చిన్న"), ("black", "నలుపు"))
    )
    (folder / "own.tei").write_text(
        f'<TEI xmlns="http://www.tei-c.org/ns/1.0"><text><body>{inner}</body></text></TEI>', "utf-8"
    )


def build_emoji(lab: Path, folder: Path) -> None:
    """Tables of the starter corpus, cut after 39 concepts."""
    corpus = load_corpus("emoji")
    lines = (corpus.folder / "concepts.tsv").read_text("utf-8").splitlines(keepends=True)[:40]
    (folder / "c" / "captions").mkdir(parents=True)
    (folder / "c" / "concepts.tsv").write_text("".join(lines), "utf-8")
    kept = {line.split("\t")[0] for line in lines}
    for code in ("en", "sw"):
        rows = (
            gzip.decompress((corpus.folder / "captions" / f"{code}.tsv.gz").read_bytes())
            .decode()
            .splitlines(keepends=True)
        )
        (folder / "c" / "captions" / f"{code}.tsv.gz").write_bytes(
            gzip.compress("".join(r for r in rows if r.split("\t")[0] in kept).encode())
        )
    for style in ("noto", "fluent", "fluent-flat"):
        write_drawings(corpus.folder / f"{style}.tar", folder / "c" / f"{style}.tar", kept)
    (folder / "e.toml").write_text('name = "e"\nabout = "x"\nreader = "emoji"\nfolder = "c"\n', "utf-8")


def write_drawings(old: Path, new: Path, kept: set[str]) -> None:
    """Write the drawings of some concepts."""
    with tarfile.open(old) as source, tarfile.open(new, "w") as found:
        for member in source:
            if member.name.removesuffix(".webp") in kept:
                found.addfile(member, source.extractfile(member))


def build_translated(lab: Path, folder: Path) -> None:
    """A corpus translated by a table."""
    write_corpus(folder / "base")
    write_own(lab, folder)
    succeed("translate", folder / "base" / "toy.toml", "--to", "te", "--with", "file", "--model", folder / "own.jsonl",
            "--partial", "--split", "train", "--split", "validation", *FILTERS.split(),
            "--out", folder / "t")  # fmt: skip


FILTERS = "--script off --language off --length off --copies off --repeats off --no-markers"


def repair_translated(folder: Path) -> None:
    """Write the hash of changed captions into their pack."""
    lines = (folder / "t" / "corpus.toml").read_text("utf-8").splitlines()
    digest = hash_file(folder / "t" / "captions.jsonl")
    (folder / "t" / "corpus.toml").write_text(
        "\n".join(f'captions_sha256 = "{digest}"' if line.startswith("captions_sha256") else line for line in lines),
        "utf-8",
    )


def write_own(lab: Path, folder: Path) -> None:
    """Translations of some of the toy corpus' captions: tab-separated, and JSON lines."""
    pairs = [("red", "ఎరుపు"), ("small red square", "చిన్న ఎరుపు"), ("blue", "నీలం"), ("huge blue square", "పెద్ద నీలం")]
    (folder / "own.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in pairs), "utf-8")
    (folder / "own.jsonl").write_text(
        "".join(json.dumps({"source": a, "translation": b}) + "\n" for a, b in pairs), "utf-8"
    )


def build_dictd(lab: Path, folder: Path) -> None:
    """A dictionary in dictd's format."""
    entries = {"red": "red /r/ <adj>\nఎరుపు\n", "square": "square\n1. చదరం (x)\n", "small": "small\nచిన్న, చిన్నది\n"}
    write_dictd(folder, {key: text.encode() for key, text in entries.items()})


def build_photos(lab: Path, folder: Path) -> None:
    """Photographs and every kind of table of their captions."""
    copytree(lab / "pictures", folder / "photos")
    rows = [
        ["image", "Swahili", "en", "split"],
        *([f"{n}.png", f"mraba {n}", f"square {n}", "train"] for n in range(3)),
    ]
    (folder / "t.csv").write_text("\n".join(",".join(row) for row in rows) + "\n", "utf-8")
    (folder / "t.tsv").write_text("\n".join("\t".join(row) for row in rows) + "\n", "utf-16")
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.active.merge_cells("B2:B3")
    book.save(folder / "t.xlsx")
    images = [
        {"id": n, "file_name": f"{n}.png", "filename": f"{n}.png", "split": "train", "sentences": [{"raw": "x"}]}
        for n in range(3)
    ]
    notes = [{"image_id": n, "caption": f"mraba {n}", "id": n} for n in range(3)]
    (folder / "coco.json").write_text(json.dumps({"images": images, "annotations": notes}), "utf-8")
    (folder / "karpathy.json").write_text(json.dumps({"images": images, "dataset": "x"}), "utf-8")
    lines = [{"file_name": f"{n}.png", "text": f"mraba {n}"} for n in range(3)]
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)), "utf-8")
    (folder / "results.token").write_text(
        "".join(f"{n}.png#{k}\tmraba {n} {k}\n" for n in range(3) for k in range(2)), "utf-8"
    )


def build_classes(lab: Path, folder: Path) -> None:
    """An ImageFolder whose classes are named in a table; the same as JSON beside it."""
    names = {"n01440764": ("samaki", "tench"), "n01443537": ("samaki wa dhahabu", "goldfish")}
    for place, name in enumerate(names):
        for home in (folder / "tsv", folder / "json", folder / "babel" / "val"):
            (home / name).mkdir(parents=True)
            for number in range(2):
                file = f"{number}.png" if home.name != "val" else f"ILSVRC2012_val_{2 * place + number + 1:08}.JPEG"
                (home / name / file).write_bytes(samples.picture(2 * place + number))
    (folder / "tsv" / "classnames.tsv").write_text(
        "class\tsw\ten\n" + "".join(f"{k}\t{a}\t{b}\n" for k, (a, b) in names.items()), "utf-8"
    )
    (folder / "json" / "classnames.json").write_text(
        json.dumps({k: {"sw": [a], "en": b} for k, (a, b) in names.items()}), "utf-8"
    )
    labels = {"SW": [[0, 1], [a for a, _ in names.values()]], "EN": [[0, 1], [b for _, b in names.values()]]}
    (folder / "babel" / "babel_imagenet.json").write_text(json.dumps(labels), "utf-8")
    (folder / "babel" / "nllb_dist13b_prompts.json").write_text(
        json.dumps({"SW": ["picha ya {}", "{} ."], "EN": ["a {}"]}), "utf-8"
    )


def build_images(lab: Path, folder: Path) -> None:
    """An image in every format that is read."""
    (folder / "p").mkdir()
    image = Image.open(lab / "corpus" / "red-small.png").resize((24, 20))
    for suffix in ("png", "jpg", "webp", "gif", "bmp", "tif"):
        exif = Image.Exif()
        exif[274], exif[270], exif[282] = 6, "a", 72.0
        image.save(folder / "p" / f"a.{suffix}", **({} if suffix in ("gif", "bmp") else {"exif": exif}))
    image.convert("I;16").save(folder / "p" / "grey.png")
    image.convert("P").save(folder / "p" / "palette.png", transparency=0)
    image.save(folder / "p" / "moves.gif", save_all=True, append_images=[image.rotate(90)])


def build_labels(lab: Path, folder: Path) -> None:
    """Labels to classify with."""
    (folder / "labels.txt").write_text("mraba\tsquare\nduara\tcircle\n", "utf-8")


def build_language(lab: Path, folder: Path) -> None:
    """A language pack."""
    (folder / "sw.toml").write_bytes((LANGUAGES / "sw.toml").read_bytes())


def build_encoders(lab: Path, folder: Path) -> None:
    """Weights and settings of both encoders."""
    copytree(lab / "text", folder / "text")
    copytree(lab / "vision", folder / "vision")


def benchmark(name: str, sample: Callable[[Path], object], file: str, change: Mutation, more: str = "") -> Target:
    """A file of a benchmark's folder, read by `polyclip eval`."""
    label = f"{name} {Path(file).name}"
    return Target(
        label, (file,), lambda lab, folder: sample(folder / "d"), change, (f"eval {name} --data FOLDER/d {EVAL}{more}",)
    )


def table(file: str, change: Mutation) -> Target:
    """A table that the importer reads."""
    options = " --lang sw" if file.endswith(("json", "jsonl", "token")) else ""
    return Target(f"table {file}", (file,), build_photos, change, (f"{NEW}/{file} --out FOLDER/ours{options}",))


def change_utf16(data: bytes, source: object) -> bytes:
    """Change a table in UTF-16."""
    try:
        return (
            mutations.change_table(data.decode("utf-16").encode(), source).decode("utf-8", "replace").encode("utf-16")
        )  # type: ignore[arg-type]
    except UnicodeDecodeError:
        return mutations.change_bytes(data, source)  # type: ignore[arg-type]


m = mutations
BESIDE = tuple(f"index FOLDER/{home} --model LAB/run --out FOLDER/index" for home in ("csv", "jsonl"))
UPDATE = "index LAB/pictures --model LAB/run --out FOLDER/index --captions FOLDER/t.csv"
SEARCH_CAPTIONS = ("search mraba --index FOLDER/index", "search mraba --index FOLDER/index --json", UPDATE)
SEARCHES = ("search mraba --index FOLDER/index", "index LAB/pictures --model LAB/run --out FOLDER/index")
TRANSLATE = "translate LAB/corpus/toy.toml --to te --partial --out FOLDER/t --json " + FILTERS
TARGETS = (
    Target(
        "corpus.toml", ("c/toy.toml",), lambda lab, f: write_corpus(f / "c"), m.change_toml, (f"{ALIGN}/c/toy.toml",)
    ),
    Target(
        "corpus.toml shown",
        ("c/toy.toml",),
        lambda lab, f: write_corpus(f / "c"),
        m.change_toml,
        ("corpora show FOLDER/c/toy.toml",),
    ),
    Target(
        "captions.jsonl",
        ("c/captions.jsonl",),
        lambda lab, f: write_corpus(f / "c"),
        m.change_json,
        (
            f"{ALIGN}/c/toy.toml",
            f"eval retrieval --data FOLDER/c {EVAL}",
            "leakage LAB/corpus/toy.toml FOLDER/c/toy.toml",
        ),
    ),
    Target(
        "run.toml",
        ("run/run.toml",),
        build_run,
        m.change_toml,
        (EVAL_RUN, SEARCH_RUN, ALIGN_RUN, "report FOLDER/run --no-pictures", CONTINUE),
    ),
    Target(
        "result.json",
        ("run/result.json",),
        build_run,
        m.change_json,
        (
            "report FOLDER/run --no-pictures",
            "compare LAB/other FOLDER/run",
            "compare FOLDER/run LAB/other --json",
            "report FOLDER/run",
        ),
    ),
    Target("log.jsonl", ("run/log.jsonl",), build_run, m.change_json, ("report FOLDER/run --no-pictures",)),
    Target(
        "ranks",
        ("o.ranks.safetensors",),
        build_eval,
        m.change_tensors,
        ("compare FOLDER/o.json FOLDER/o.json",),
        repair_ranks,
    ),
    Target("eval --json", ("o.json",), build_eval, m.change_json, ("compare FOLDER/o.json FOLDER/o.json",)),
    Target("aligner", ("run/aligner.safetensors",), build_run, m.change_tensors, (EVAL_RUN, SEARCH_RUN, CONTINUE)),
    Target(
        "checkpoint",
        ("run/checkpoint-heads.safetensors",),
        build_checkpoint,
        m.change_tensors,
        (f"{ALIGN_RUN} --resume",),
    ),
    Target("index.json", ("index/index.json",), build_index, m.change_json, SEARCHES),
    Target("index table", ("index/pictures.1.parquet",), build_index, m.change_parquet, SEARCHES, repair_index),
    Target("index vectors", ("index/vectors.1.safetensors",), build_index, m.change_tensors, SEARCHES, repair_index),
    Target("captions beside", ("csv/0.txt", "csv/1.sw.txt"), build_captioned, m.change_table, BESIDE[:1]),
    Target("captions metadata.csv", ("csv/metadata.csv",), build_captioned, m.change_table, BESIDE[:1]),
    Target("captions metadata.jsonl", ("jsonl/metadata.jsonl",), build_captioned, m.change_json, BESIDE[1:]),
    Target(
        "captions table",
        ("t.csv",),
        build_photos,
        m.change_table,
        ("index FOLDER/photos --model LAB/run --out FOLDER/index --captions FOLDER/t.csv",),
    ),
    Target(
        "captions corpus",
        ("c/captions.jsonl",),
        lambda lab, f: write_corpus(f / "c"),
        m.change_json,
        ("index FOLDER/c --model LAB/run --out FOLDER/index --captions FOLDER/c/toy.toml",),
    ),
    Target(
        "index captions",
        ("index/captions.1.parquet",),
        build_captioned_index,
        m.change_parquet,
        SEARCH_CAPTIONS,
        repair_index,
    ),
    Target(
        "index caption vectors",
        ("index/caption_vectors.1.safetensors",),
        build_captioned_index,
        m.change_tensors,
        SEARCH_CAPTIONS,
        repair_index,
    ),
    Target("index part", ("index/parts/0.safetensors",), build_part, m.change_tensors, SEARCHES[1:]),
    Target("layout parquet", ("layout/metadata/metadata_0.parquet",), build_layout, m.change_parquet, (IMPORT,)),
    Target("layout npy", ("layout/img_emb/img_emb_0.npy",), build_layout, m.change_bytes, (IMPORT,)),
    Target("layout json", ("layout/polyclip.json",), build_layout, m.change_json, (IMPORT,)),
    Target("tar", ("00000.tar",), build_tar, m.change_tar, (f"{ALIGN}/sharded.toml --no-english",)),
    Target("parquet", ("0.parquet",), build_parquet, m.change_parquet, (f"{ALIGN}/sharded.toml --no-english",)),
    Target(
        "datasets",
        ("d/data-00000-of-00001.arrow", "d/state.json", "d/dataset_info.json"),
        build_dataset,
        m.change_json,
        (f"{ALIGN}/sharded.toml --no-english", "corpus new FOLDER/d --out FOLDER/ours"),
    ),
    Target("shards corpus.toml", ("sharded.toml",), build_tar, m.change_toml, (f"{ALIGN}/sharded.toml --no-english",)),
    Target("emoji concepts", ("c/concepts.tsv",), build_emoji, m.change_table, (f"{ALIGN}/e.toml",)),
    Target("emoji captions", ("c/captions/sw.tsv.gz",), build_emoji, m.change_gzip, (f"{ALIGN}/e.toml",)),
    Target(
        "translated captions",
        ("t/captions.jsonl",),
        build_translated,
        m.change_json,
        (f"{ALIGN_TE}/t/corpus.toml",),
        repair_translated,
    ),
    Target(
        "translated corpus.toml", ("t/corpus.toml",), build_translated, m.change_toml, (f"{ALIGN_TE}/t/corpus.toml",)
    ),
    Target(
        "translations tsv",
        ("own.tsv",),
        write_own,
        m.change_table,
        (f"{TRANSLATE} --with file --model FOLDER/own.tsv",),
    ),
    Target(
        "translations jsonl",
        ("own.jsonl",),
        write_own,
        m.change_json,
        (f"{TRANSLATE} --with file --model FOLDER/own.jsonl",),
    ),
    Target(
        "lexicon tsv", ("own.tsv",), write_own, m.change_table, (f"{TRANSLATE} --with lexicon --model FOLDER/own.tsv",)
    ),
    Target(
        "lexicon tei", ("own.tei",), build_tei, m.change_markup, (f"{TRANSLATE} --with lexicon --model FOLDER/own.tei",)
    ),
    Target(
        "dictd index",
        ("own.index",),
        build_dictd,
        m.change_table,
        (f"{TRANSLATE} --with lexicon --model FOLDER/own.index",),
    ),
    Target(
        "dictd text",
        ("own.dict.dz",),
        build_dictd,
        m.change_gzip,
        (f"{TRANSLATE} --with lexicon --model FOLDER/own.index",),
    ),
    table("t.csv", m.change_table),
    table("t.tsv", change_utf16),
    table("t.xlsx", m.change_zip),
    table("coco.json", m.change_json),
    table("karpathy.json", m.change_json),
    table("metadata.jsonl", m.change_json),
    table("results.token", m.change_table),
    benchmark("retrieval", samples.retrieval, "d/captions.jsonl", m.change_json),
    benchmark("webdataset", samples.webdataset, "d/test/1.tar", m.change_tar, " --lang sw"),
    benchmark("webdataset", samples.webdataset, "d/test/nshards.txt", m.change_table, " --lang sw"),
    benchmark("wit", samples.wit_tables, "d/images.tsv", m.change_table),
    benchmark("wit", samples.wit_tables, "d/wit_v1.test.all-00000-of-00005.tsv.gz", m.change_gzip),
    benchmark("wit", samples.wit, "d/data/tr-00000-of-00001.parquet", m.change_parquet, " --lang tr"),
    benchmark("xm3600", samples.xm3600, "d/captions.jsonl", m.change_json, " --lang sw"),
    benchmark("xm3600", samples.xm3600_parquet, "d/data/te-00000-of-00001.parquet", m.change_parquet, " --lang te"),
    benchmark("xm3600", samples.xm3600_babel, "d/xm3600.json", m.change_json),
    benchmark("xm3600", samples.xm3600_clip_benchmark, "d/crossmodal3600_captions-sw.json", m.change_json),
    benchmark("xm3600", samples.xm3600_uclip, "d/captions_sw.json", m.change_json),
    benchmark("xtd10", lambda f: samples.xtd10(f, 6), "d/STAIR/test_1kcaptions_jp.txt", m.change_table, " --lang ja"),
    benchmark(
        "xtd200", lambda f: samples.flores(f, "test_image_names.txt", 4, 3), "d/test_image_names.txt", m.change_table
    ),
    benchmark(
        "multi30k", lambda f: samples.multi30k(f, count=4), "d/data/task1/raw/test_2016_flickr.de.gz", m.change_gzip
    ),
    benchmark("xflickrco", lambda f: samples.xflickrco(f, 4), "d/annotations/ja/test.jsonl", m.change_json),
    benchmark(
        "xflickrco", samples.xflickrco_parquet, "d/data/id-00000-of-00001.parquet", m.change_parquet, " --lang id"
    ),
    Target(
        "classnames.tsv",
        ("tsv/classnames.tsv",),
        build_classes,
        m.change_table,
        (f"eval imagefolder --data FOLDER/tsv {EVAL}",),
    ),
    Target(
        "classnames.json",
        ("json/classnames.json",),
        build_classes,
        m.change_json,
        (f"eval imagefolder --data FOLDER/json {EVAL}",),
    ),
    Target(
        "babel labels",
        ("babel/babel_imagenet.json",),
        build_classes,
        m.change_json,
        (f"eval babel-imagenet --data FOLDER/babel {EVAL}",),
    ),
    Target(
        "babel prompts",
        ("babel/nllb_dist13b_prompts.json",),
        build_classes,
        m.change_json,
        (f"eval babel-imagenet --data FOLDER/babel {EVAL}",),
    ),
    Target(
        "images",
        tuple(f"p/{name}" for name in IMAGES.split()),
        build_images,
        m.change_bytes,
        ("dedupe FOLDER/p", "search mraba --images FOLDER/p --model LAB/run --html FOLDER/s.html"),
    ),
    Target("labels", ("labels.txt",), build_labels, m.change_table, (CLASSIFY,)),
    Target(
        "language pack",
        ("sw.toml",),
        build_language,
        m.change_toml,
        ("languages check FOLDER/sw.toml", "languages show FOLDER/sw.toml"),
    ),
    Target("encoder config.json", ("text/config.json",), build_encoders, m.change_json, (ALIGN_TEXT,)),
    Target(
        "encoder tokenizer.json",
        ("text/tokenizer.json", "text/tokenizer_config.json"),
        build_encoders,
        m.change_json,
        (ALIGN_TEXT,),
    ),
    Target("encoder weights", ("text/model.safetensors",), build_encoders, m.change_tensors, (ALIGN_TEXT,)),
    Target(
        "tower weights", ("vision/test_efficientnet.safetensors",), build_encoders, m.change_tensors, (ALIGN_VISION,)
    ),
)
