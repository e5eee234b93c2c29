"""Spreadsheets, annotation files and folders become corpora; what is wrong with them is one sentence."""

import json
import time
import unicodedata
import zipfile
from datetime import date
from pathlib import Path

import openpyxl
import pytest
from PIL import Image

from polyclip.cli.corpus import suggest_align
from polyclip.data.caption_checks import check_captions, check_corpus
from polyclip.data.corpus import Corpus, load_corpus
from polyclip.data.tables.build import Draft
from polyclip.data.tables.columns import code_of
from polyclip.data.tables.create import TableOptions, draft_corpus, write_draft
from polyclip.data.tables.describe import describe_draft
from polyclip.data.tables.read import read_table
from polyclip.data.tables.text import decode_text
from polyclip.errors import DataError, PackError, PolyclipError, UnknownName
from tests.command import polyclip

HAUSA = {
    "kare.png": "ƙaramin kare yana gudu a cikin lambu",
    "Kyanwa.PNG": "kyanwa baƙa tana barci a kan ɗaki",
    "kifi.png": "kifi mai launin ja a cikin ruwa",
    "tsuntsu.png": "tsuntsu yana tashi sama da gida",
}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for place, name in enumerate(HAUSA):
        Image.new("RGB", (8 + place, 8), (60 * place, 90, 30)).save(folder / name)
    return folder


def write_workbook(path: Path, rows: list[list[object]], merged: tuple[str, ...] = ()) -> Path:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for cells in merged:
        book.active.merge_cells(cells)
    book.save(path)
    return path


def table_of(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def draft(photos: Path, table: Path | None, **options: object) -> Draft:
    return draft_corpus(photos, table, TableOptions(**options))  # type: ignore[arg-type]


def kinds(found: Draft) -> list[str]:
    return [one.kind for one in found.suspicions]


ROWS = [["image", "Hausa", "note"], *([name, text, ""] for name, text in HAUSA.items())]


@pytest.mark.parametrize(
    ("delimiter", "encoding"),
    [(",", "utf-8"), (";", "utf-8-sig"), ("\t", "utf-16"), ("\t", "utf-16-le"), (";", "utf-16-be"), ("|", "utf-8")],
)
def test_delimiter_and_encoding_are_found_out(photos: Path, delimiter: str, encoding: str) -> None:
    text = "\r\n".join(delimiter.join(row) for row in ROWS) + "\r\n"
    found = draft(photos, table_of(photos.parent / "t.csv", text, encoding))
    assert found.captions == {"ha": {name: [text] for name, text in HAUSA.items()}}
    assert found.suspicions == []


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "Un chien noir à côté d'une église"),
        ("cp1252", "Café na mbwa mweusi kando ya nyumba"),
        ("cp1250", "Pies biega po łące i ścieżką żółtą"),
        ("cp1254", "Kedi ağaçta oturuyor, şapkalı çocuk"),
        ("cp1251", "чёрная собака бежит по траве"),
        ("cp1253", "μαύρος σκύλος τρέχει στο πάρκο"),
        ("cp1255", "כלב שחור רץ בפארק"),
        ("cp1256", "كلب أسود يجري في الحديقة"),
    ],
)
def test_windows_code_pages_are_guessed(tmp_path: Path, encoding: str, text: str) -> None:
    table = read_table(table_of(tmp_path / "t.csv", f'image;sw\na.png;"{text}"\n', encoding))
    assert table.rows == [("a.png", text)]
    assert f"Windows-{encoding[2:]}" in table.about


def test_quotes_and_line_breaks_within_cells(tmp_path: Path) -> None:
    table = read_table(table_of(tmp_path / "t.csv", 'image,sw\na.png,"mbwa, ""rex""\nmweusi"\n\nb.png,paka\n'))
    assert table.rows == [("a.png", 'mbwa, "rex"\nmweusi'), ("b.png", "paka")]
    assert list(table.numbers) == [2, 5]
    single = read_table(table_of(tmp_path / "q.tsv", 'image\tsw\na.png\t"mbwa\nb.png\tpaka\n'))
    assert single.rows == [("a.png", '"mbwa'), ("b.png", "paka")]
    named = read_table(table_of(tmp_path / "sep.csv", "sep=;\nimage;sw\na.png;mbwa, paka\n"))
    assert named.rows == [("a.png", "mbwa, paka")] and list(named.numbers) == [3]


def test_a_workbook_becomes_a_corpus_that_can_be_read_and_moved(photos: Path) -> None:
    table = write_workbook(photos.parent / "t.xlsx", [["Our photographs"], *ROWS])  # type: ignore[list-item]
    pack = write_draft(draft(photos, table), photos.parent / "ours")
    moved = photos.parent / "moved"
    moved.mkdir()
    photos.rename(moved / "photos")
    pack.parent.rename(moved / "ours")
    corpus = load_corpus(str(moved / "ours"))
    rows = [row for split in ("train", "validation", "test") for row in corpus.reader.read(corpus.folder, "ha", split)]
    assert {row.concept: row.captions for row in rows} == {name: (text,) for name, text in HAUSA.items()}
    images = corpus.reader.pictures(corpus.folder, "pictures")
    assert images["kare.png"].open().size == (8, 8)


def test_formulas_merged_cells_and_dates(photos: Path) -> None:
    rows: list[list[object]] = [
        ["image", "sw"],
        ["kare.png", "mbwa mdogo"],
        [None, "mbwa anakimbia"],
        ["kifi.png", "samaki"],
        ["tsuntsu.png", date(2024, 5, 1)],
        ["Kyanwa.PNG", '="paka"&" mweusi"'],
    ]
    found = draft(photos, write_workbook(photos.parent / "t.xlsx", rows, ("A2:A3",)))
    assert found.captions["sw"] == {"kare.png": ["mbwa mdogo", "mbwa anakimbia"], "kifi.png": ["samaki"]}
    said = " ".join(one.sentence for one in found.suspicions)
    assert "1 cell(s) are merged" in said and "1 formula(s) have no stored value" in said and "B6" in said
    assert "'2024-05-01' in row 5" in said


@pytest.mark.parametrize(
    ("rows", "captions", "expected"),
    [
        (
            [["image", "sw"], ["kare.png", '="paka"']],
            None,
            "'sw' is empty; expected captions in sw. 1 formula",
        ),
        ([["image", "sw"], ['="kare"&".png"', "paka"]], None, "'image' is empty; expected names of images. 1 formula"),
        (
            [["image", "note"], ["kare.png", date(2024, 5, 1)]],
            {"sw": ""},
            "'note' holds numbers or dates",
        ),
        ([["image", "sw", "Kiswahili"], ["kare.png", "a", "b"]], {"sw": ""}, "are both named as Swahili. Say which"),
    ],
)
def test_a_column_that_cannot_be_read_says_why(
    photos: Path, rows: list[list[object]], captions: dict[str, str] | None, expected: str
) -> None:
    with pytest.raises(DataError, match=expected):
        draft(photos, write_workbook(photos.parent / "t.xlsx", rows), captions=captions)


def test_an_example_of_captions_is_a_caption(photos: Path) -> None:
    rows: list[list[object]] = [["image", "sw"], ["kare.png", date(2024, 5, 1)], ["kifi.png", "samaki"]]
    found = draft(photos, write_workbook(photos.parent / "t.xlsx", rows))
    assert found.columns == [("image", "image", "kare.png"), ("sw", "sw", "samaki")]


def test_stored_values_of_formulas_are_read(photos: Path) -> None:
    path = write_workbook(photos.parent / "t.xlsx", [["image", "sw"], ["kare.png", '="mbwa"']])
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    sheet = parts["xl/worksheets/sheet1.xml"]
    assert sheet.count(b"<v></v>") == 1
    sheet = sheet.replace(b'r="B2"', b'r="B2" t="str"').replace(b"<v></v>", b"<v>mbwa</v>")
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in (parts | {"xl/worksheets/sheet1.xml": sheet}).items():
            archive.writestr(name, data)
    found = draft(photos, path)
    assert found.captions == {"sw": {"kare.png": ["mbwa"]}} and found.suspicions == []


def test_sheets_are_chosen_and_named(photos: Path) -> None:
    book = openpyxl.Workbook()
    book.active.title = "Empty"
    for title, text in (("One", "mbwa"), ("Two", "paka")):
        sheet = book.create_sheet(title)
        sheet.append(["image", "sw"])
        sheet.append(["kare.png", text])
    book.save(path := photos.parent / "t.xlsx")
    assert draft(photos, path).captions["sw"]["kare.png"] == ["mbwa"]
    assert "'Empty', 'Two' (choose with --sheet)" in draft(photos, path).about
    assert draft(photos, path, sheet="Two").captions["sw"]["kare.png"] == ["paka"]
    with pytest.raises(UnknownName, match="sheet"):
        draft(photos, path, sheet="Three")


@pytest.mark.parametrize(
    "name",
    [
        "KARE.png",
        "kare.PNG",
        "C:\\Users\\Amina\\Pictures\\kare.png",
        "pictures\\kare.png",
        "/home/amina/photos/kare.png",
        "./kare.png",
        "kare",
        "kare.jpg",
        "file:///data/kare.png",
    ],
)
def test_names_from_other_machines_are_found(photos: Path, name: str) -> None:
    table = table_of(photos.parent / "t.tsv", f"image\tHausa\n{name}\tkare\nkifi.png\tkifi\n")
    assert draft(photos, table).captions["ha"]["kare.png"] == ["kare"]


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_names_in_another_unicode_form_are_found(tmp_path: Path, forms: tuple[str, str]) -> None:
    on_disk, in_table = (unicodedata.normalize(form, "ɗàkì_é.png") for form in forms)
    Image.new("RGB", (8, 8)).save(tmp_path / on_disk)
    found = draft(tmp_path, table_of(tmp_path / "t.csv", f"image,ha\n{in_table},gida\n"))
    assert found.captions == {"ha": {on_disk: ["gida"]}}
    assert "other Unicode forms" in found.suspicions[0].sentence


def test_what_is_missing_ambiguous_or_not_read_is_said(photos: Path) -> None:
    for folder in ("a", "b"):
        (photos / folder).mkdir()
        Image.new("RGB", (20, 9), folder == "a" and "red" or "blue").save(photos / folder / "same.png")
    (photos / "phone.heic").write_bytes(b"x")
    names = ["kare.png", "gone.png", "x/same.png", "phone.heic", "a/same.png", "../secret.png"]
    Image.new("RGB", (8, 8)).save(photos.parent / "secret.png")
    lines = [f"{name},kare {place} ne" for place, name in enumerate(names)]
    found = draft(photos, table_of(photos.parent / "t.csv", "image,ha\n" + "\n".join(lines) + "\n"))
    assert found.found == ["kare.png", "a/same.png"]
    assert {"missing-images", "ambiguous-images", "unread-images"} <= set(kinds(found))
    assert "'gone.png' (row 3)" in " ".join(one.sentence for one in found.suspicions)


BAD = {
    "no image column": ("name;place\nx;y\n", "no column names the images"),
    "all missing": ("image,ha\na.png,kare\nb.png,kifi\n", "none of the 2 images in column 'image'"),
    "two columns": ("image,ha,Hausa\nkare.png,kare,kare\n", "'ha' and 'Hausa' are both named as Hausa"),
    "dates": ("image,Hausa\nkare.png,2024-05-01\n", "column 'Hausa' holds numbers or dates, such as '2024-05-01'"),
    "numbers and text": ("image,id,note\nkare.png,1,a dog runs here\n", r"named as a language\. Say .* --lang en=note"),
    "twice": ("image,ha,ha\nkare.png,kare,kare\n", "two columns are called 'ha'"),
    "no language": ("image,caption\nkare.png,the dog is running in the garden\n", r"--lang en=caption .*English"),
    "no header": ("kare.png,kare\nkifi.png,kifi\n", "has no header"),
    "header only": ("image,ha\n", "at least one row below the header"),
    "empty": ("", "is empty"),
    "blank": ("\n , \n", "expected a header"),
    "one column": ("image\nkare.png\n", "at least two columns"),
    "commas in captions": ("image,ha\nkare.png,kare, baƙi\n", "t.csv:2: more cells than the header's 2"),
    "web page": ("<html><table></table></html>", "is a web page"),
    "split": ("image,ha,split\nkare.png,kare,holdout\n", "split is 'holdout'"),
    "two splits": ("image,ha,split\nkare.png,a b,train\nkare.png,c d,test\n", "is in test here and in train above"),
    "json": ('{"image": 3', "not JSON"),
    "instances": ('{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 1}]}', "lacks 'caption'"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_table_is_one_sentence_and_writes_nothing(photos: Path, name: str) -> None:
    text, expected = BAD[name]
    path = table_of(photos.parent / "t.csv", text)
    with pytest.raises(DataError, match=expected):
        write_draft(draft(photos, path), photos.parent / "ours")
    assert sorted(one.name for one in photos.parent.iterdir()) == ["photos", "t.csv"]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["2024-05-01", "1.5.2024", "17"], "holds numbers or dates, such as"),
        (["a.png", "b.png", "c.png"], "holds names of files"),
        (["", "", ""], "column 'words' is empty"),
    ],
)
def test_columns_without_captions_are_refused(photos: Path, cells: list[str], expected: str) -> None:
    lines = [f"{name};{cell}" for name, cell in zip(HAUSA, cells, strict=False)]
    path = table_of(photos.parent / "t.csv", "image;words\n" + "\n".join(lines) + "\n")
    with pytest.raises(PolyclipError, match=expected):
        draft(photos, path, image_column="image", captions={"ha": "words"})


def test_damaged_protected_and_old_workbooks(photos: Path) -> None:
    whole = write_workbook(photos.parent / "t.xlsx", ROWS).read_bytes()  # type: ignore[arg-type]
    (path := photos.parent / "bad.xlsx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="damaged"):
        read_table(path)
    path.write_bytes(b"image,ha\nkare.png,kare\n")
    with pytest.raises(DataError, match="is not a workbook"):
        read_table(path)
    path.write_bytes(b"\xd0\xcf\x11\xe0" + b"\0" * 100 + "EncryptedPackage".encode("utf-16-le"))
    with pytest.raises(DataError, match="protected with a password"):
        read_table(path)
    path.write_bytes(b"\xd0\xcf\x11\xe0" + b"\0" * 100)
    with pytest.raises(DataError, match="old format"):
        read_table(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("content.xml", "<x/>")
    with pytest.raises(DataError, match="damaged"):
        read_table(path)
    with pytest.raises(DataError, match="empty: no sheet"):
        read_table(write_workbook(path, []))
    with pytest.raises(DataError, match="No such file"):
        read_table(photos / "none.csv")


@pytest.mark.slow
def test_200_000_rows_are_read_in_seconds(photos: Path) -> None:
    names = list(HAUSA)
    text = "image,ha\n" + "".join(f"{names[n % 4]},hoto na lamba {n} a cikin jeri\n" for n in range(200_000))
    path = table_of(photos.parent / "t.csv", text)
    begun = time.process_time()
    found = draft(photos, path)
    spent = time.process_time() - begun
    assert found.rows == 200_000 and len(found.found) == 4
    assert spent < 40  # four seconds, without other load


def test_annotation_files_of_coco_karpathy_flickr_open_clip_and_imagefolder(photos: Path) -> None:
    expected = {"sw": {"kare.png": ["mbwa", "mbwa mdogo"], "kifi.png": ["samaki"]}}
    said = [("kare.png", "mbwa"), ("kare.png", "mbwa mdogo"), ("kifi.png", "samaki")]
    coco = {
        "images": [{"id": 1, "file_name": "kare.png"}, {"id": 2, "file_name": "kifi.png"}],
        "annotations": [{"image_id": 1 + (name == "kifi.png"), "caption": text} for name, text in said],
    }
    karpathy = {
        "images": [
            {"filename": "kare.png", "split": "restval", "sentences": [{"raw": "mbwa"}, {"raw": "mbwa mdogo"}]},
            {"filename": "kifi.png", "split": "val", "sentences": [{"raw": "samaki"}]},
        ]
    }
    lines = [json.dumps({"file_name": name, "text": text}) for name, text in said]
    own = [
        {"image": "kare.png", "captions": {"sw": ["mbwa", "mbwa mdogo"]}},
        {"image": "kifi.png", "captions": {"sw": ["samaki"]}},
    ]
    texts = {
        "captions_val2017.json": json.dumps(coco),
        "dataset_coco.json": json.dumps(karpathy),
        "results.token": "".join(f"{name}#{n}\t{text}\n" for n, (name, text) in enumerate(said)),
        "open_clip.tsv": "filepath\ttitle\n" + "".join(f"{name}\t{text}\n" for name, text in said),
        "metadata.jsonl": "\n".join(lines) + "\n",
        "captions.jsonl": "\n".join(map(json.dumps, own)) + "\n",
    }
    for name, text in texts.items():
        found = draft(photos, table_of(photos.parent / name, text), captions={"sw": ""})
        assert found.captions == expected, name
        if name == "dataset_coco.json":
            assert found.splits == {"kare.png": "train", "kifi.png": "validation"}
    table_of(photos / "metadata.csv", "file_name,sw\nkare.png,mbwa\n")
    assert draft(photos, None).captions == {"sw": {"kare.png": ["mbwa"]}}


def test_a_folder_with_captions_beside_the_images(photos: Path) -> None:
    (photos / "kare.txt").write_text("mbwa\nmbwa mdogo\n", "utf-8")
    with pytest.raises(DataError, match="in which language"):
        draft(photos, None)
    found = draft(photos, None, captions={"sw": ""})
    assert found.captions == {"sw": {"kare.png": ["mbwa", "mbwa mdogo"]}}
    assert Corpus.from_folder(photos, language="sw").languages == ["sw"]


def test_lost_letters_are_a_defect(photos: Path) -> None:
    lines = [f"{name};{text.encode('cp1252', 'replace').decode()}" for name, text in HAUSA.items()]
    found = draft(photos, table_of(photos.parent / "t.csv", "image;Hausa\n" + "\n".join(lines) + "\n"))
    assert found.suspicions[0].kind == "lost-letters" and found.suspicions[0].defect
    assert "2 of 4 captions" in found.suspicions[0].sentence and "?aramin kare" in found.suspicions[0].sentence


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("sw", "Nani huyu?"),
        ("es", "¿Qué es?"),
        ("en", "What?! See https://a.b/c?d=e"),
        ("zh", "是吗?是狗"),
        ("fr", "Qui ?"),
    ],
)
def test_questions_are_not_lost_letters(code: str, text: str) -> None:
    assert check_captions({code: {"a.png": [text]}}) == []


@pytest.mark.parametrize(
    ("code", "text"), [("ha", "?an kare"), ("ha", "ba?i"), ("am", "??? ????"), ("zh", "???"), ("th", "หม\ufffdา")]
)
def test_lost_letters_are_found(code: str, text: str) -> None:
    assert "lost-letters" in [one.kind for one in check_captions({code: {"a.png": [text]}})]


def test_repeated_mixed_swapped_copied_and_misread_captions() -> None:
    english = [f"a small brown dog is running quickly through the green garden number {n}" for n in "abcdefghijklmn"]
    swahili = [f"mbwa mdogo wa kahawia anakimbia haraka katika bustani ya kijani {n}" for n in "abcdefghijklmn"]

    def check(**captions: list[str]) -> set[str]:
        return {
            one.kind
            for one in check_captions(
                {code: {f"{n}.png": [text] for n, text in enumerate(texts)} for code, texts in captions.items()}
            )
        }

    assert check(sw=swahili, en=english) == set()
    assert check(sw=english, en=swahili) == {"other-language"}
    assert check(sw=swahili, en=swahili) == {"other-language", "same-in-two"}
    assert check(sw=[*swahili, *["picha ya mbwa"] * 3]) == {"repeated-caption"}
    assert check(ru=["чёрная cобака бежит"]) == {"mixed-scripts"}  # a Latin c
    assert check(hi=["काला कुत्ता", "a black dog runs"]) == {"other-script"}
    assert check(fr=["un chien noir à côté de l'église".encode().decode("latin-1")]) == {"mojibake"}


def test_double_images_stay_in_one_split_and_are_named(photos: Path) -> None:
    (photos / "copy.png").write_bytes((photos / "kare.png").read_bytes())
    table = table_of(photos.parent / "t.csv", "image,ha\nkare.png,kare\ncopy.png,karamin kare\nkifi.png,kifi\n")
    found = draft(photos, table)
    assert kinds(found) == ["double-images"]
    corpus = load_corpus(str(write_draft(found, photos.parent / "ours")))
    rows = [row for split in ("train", "validation", "test") for row in corpus.reader.read(corpus.folder, "ha", split)]
    assert len({row.group for row in rows}) == 2
    assert check_corpus(corpus, {"ha": rows}) == []
    lines = (photos.parent / "ours" / "captions.jsonl").read_text("utf-8")
    (photos.parent / "ours" / "captions.jsonl").write_text(lines.replace(', "group": "kare.png"', ""), "utf-8")
    rows = [row for split in ("train", "validation", "test") for row in corpus.reader.read(corpus.folder, "ha", split)]
    assert [one.kind for one in check_corpus(corpus, {"ha": rows})] == ["double-images"]
    apart = table_of(photos.parent / "s.csv", "image,ha,split\nkare.png,kare,train\ncopy.png,karamin kare,test\n")
    assert draft(photos, apart).suspicions[0].kind == "split-overlap"


def test_a_table_is_a_corpus_by_itself(photos: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("POLYCLIP_CACHE", str(tmp_path / "cache"))
    table = write_workbook(photos.parent / "t.xlsx", ROWS)  # type: ignore[arg-type]
    corpus = load_corpus(str(table))
    assert corpus.languages == ["ha"] and corpus.name == "t"
    assert set(corpus.reader.pictures(corpus.folder, "pictures")) == set(HAUSA)  # as 'corpus new' names them
    assert load_corpus(str(table)).path == corpus.path
    assert sorted(one.name for one in photos.parent.iterdir()) == ["cache", "photos", "t.xlsx"]
    with pytest.raises(UnknownName, match=r"table such as photos\.xlsx"):
        load_corpus(str(photos / "none.csv"))


def test_a_folder_that_holds_something_else_is_not_overwritten(photos: Path) -> None:
    found = draft(photos, table_of(photos.parent / "t.csv", "image,ha\nkare.png,kare\n"))
    with pytest.raises(DataError, match="name another folder"):
        write_draft(found, photos)
    out = photos.parent / "ours"
    write_draft(found, out)
    again = draft(photos, table_of(photos.parent / "t.csv", "image,ha\nkare.png,kare\nkifi.png,kifi\n"))
    assert load_corpus(str(write_draft(again, out))).languages == ["ha"]
    assert len((out / "captions.jsonl").read_text("utf-8").splitlines()) == 2


def test_images_of_another_pack_are_refused(tmp_path: Path) -> None:
    (pack := tmp_path / "mine.toml").write_text(
        'name = "x"\nabout = "x"\nreader = "jsonl"\nfolder = "."\nimages = "../p"\n', "utf-8"
    )
    with pytest.raises(PackError, match=r"images requires the name corpus\.toml"):
        load_corpus(str(pack))


@pytest.mark.parametrize(
    ("name", "code"),
    [("sw", "sw"), ("Kiswahili", "sw"), ("caption_sw", "sw"), ("sw_2", "sw"), ("Hausa captions", "ha"), ("author", "")],
)
def test_columns_are_named_as_languages(name: str, code: str) -> None:
    assert code_of(name) == code


def test_the_command_says_what_it_understood(photos: Path) -> None:
    table = table_of(photos.parent / "t.csv", "hoto;bayani;english\nkare.png;kare;a dog\nnone.png;kifi;a fish\n")
    out = photos.parent / "ours"
    ran = polyclip("corpus", "new", photos, table, "--lang", "ha=bayani", "--lang", "en=english", "--out", out)
    said = ran.out
    assert (
        ran.code == 0
        and "1 images with captions found" in said
        and "1 of 2 missing" in said
        and "'none.png' (row 3)" in said
    )
    assert "Hausa (ha): 1 captions of 1 images" in said and f"--lang ha --corpus {out}" in said


COCO = {
    "images": [{"id": 1, "file_name": "kare.png"}, {"id": 2, "file_name": "gone.png"}, {"id": 3}, "x"],
    "annotations": [
        {"image_id": 1, "caption": "a dog"},
        {"image_id": 999, "caption": "a fish"},
        {"image_id": 2, "caption": "a bird"},
        {"image_id": 3, "caption": "a cat"},
        {"image_id": 1},
        {"caption": "a cow"},
        7,
    ],
}
KARPATHY = {
    "images": [
        {"filename": "kare.png", "sentences": [{"raw": "a dog"}, {"tokens": ["a"]}, 3]},
        {"filename": "kifi.png", "sentences": 3},
        {"sentences": [{"raw": "a fish"}]},
        4,
    ]
}
TEXT = "image,en\nkare.png,a dog\n,a fish\nkifi.png,\ngone.png,a bird\nkifi.png,2024\nkare.png,a dog\n"


@pytest.mark.parametrize(
    ("content", "rows", "unused"),
    [
        (json.dumps(COCO), 7, {"without an image": 4, "whose image was not found": 1, "without a caption": 1}),
        (json.dumps(KARPATHY), 4, {"without an image": 2, "without a caption": 1}),
        (
            TEXT,
            6,
            {
                "without an image": 1,
                "whose image was not found": 1,
                "without a caption": 2,
                "that repeat another": 1,
            },
        ),
    ],
)
def test_every_row_is_used_or_counted_as_bad(photos: Path, content: str, rows: int, unused: dict[str, int]) -> None:
    found = draft(photos, table_of(photos.parent / "t.json", content), captions={"en": ""})
    assert found.captions == {"en": {"kare.png": ["a dog"]}}
    assert (found.rows, dict(found.unused)) == (rows, unused) and rows == 1 + found.unused.total()
    said = "\n".join(describe_draft(found))
    assert f"{rows} rows, 1 of them used (" in said and "1 whose image" in said or "gone" not in content
    assert ("image_id 999 (annotation 2), 3 (annotation 4), None (annotation 6)" in said) == ("999" in content)


@pytest.mark.parametrize(
    ("codes", "options"),
    [(["ha", "en"], "--lang ha"), (["en"], "--lang en"), (["ha", "sw"], "--lang ha --lang sw --no-english")],
)
def test_the_next_step_names_english_only_where_align_would_not_add_it(codes: list[str], options: str) -> None:
    assert suggest_align(codes, "ours") == f"polyclip align {options} --corpus ours"


def test_a_dataset_becomes_a_corpus_and_offline_is_one_sentence(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    columns = {"picture": [str(photos / name) for name in HAUSA], "Hausa": list(HAUSA.values()), "id": [1, 2, 3, 4]}
    made = datasets.Dataset.from_dict(columns).cast_column("picture", datasets.Image())
    made.save_to_disk(str(photos.parent / "saved"))
    monkeypatch.setenv("POLYCLIP_CACHE", str(photos.parent / "cache"))
    ran = polyclip("corpus", "new", photos.parent / "saved", "--out", photos.parent / "ours")
    assert ran.code == 0 and "captions in Hausa" in ran.out and "id       not read" in ran.out, ran
    corpus = load_corpus(str(photos.parent / "ours"))
    rows = [row for split in ("train", "validation", "test") for row in corpus.reader.read(corpus.folder, "ha", split)]
    assert {text for row in rows for text in row.captions} == set(HAUSA.values())
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.chdir(photos)
    ran = polyclip("corpus", "new", "owner/name", "--out", "x")
    assert ran.code == 2 and "HF_HUB_OFFLINE is set" in " ".join(ran.err.split()) and not Path("x").exists()


@pytest.mark.parametrize("mark", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_part_of_the_text(mark: str) -> None:
    assert decode_text("mbwa,ድመት".encode(mark), Path("a.csv"))[0] == "mbwa,ድመት"


@pytest.mark.parametrize("letters", ["a", "?", "a?", "http://", "Ã", "\u0e01", "a."])
def test_a_caption_without_a_space_is_checked_in_a_time_that_grows_with_its_length(letters: str) -> None:
    begun = time.process_time()
    check_captions({"sw": {"a.png": [letters * (200_000 // len(letters))]}})
    assert time.process_time() - begun < 8


@pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf", b"\xff\xfe", b"\n\n", b"sep=;\n", b"\x00", b"\xef\xbb\xbf\n"])
def test_a_table_without_a_row_says_so(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "t.csv").write_bytes(data)
    with pytest.raises(DataError, match=r"t\.csv") as error:
        read_table(tmp_path / "t.csv")
    assert "\n" not in str(error.value)
