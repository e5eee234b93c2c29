"""Every benchmark's files are read, as distributed and as repackaged: images, captions, counts and notes."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from polyclip.core.registry import list_names
from polyclip.evaluation.benchmarks import (
    flickr30k_200,
    multi30k,
    retrieval,
    webdataset,
    wit,
    xflickrco,
    xm3600,
    xtd10,
    xtd200,
)
from polyclip.evaluation.captioned import CaptionedDataset
from polyclip.evaluation.facts import list_benchmarks, load_facts
from polyclip.evaluation.retrieval import Request
from polyclip.languages.schema import load_language
from tests.evaluation.benchmarks import samples


def request(folder: Path, *languages: str, partial: bool = False, split: str = "test") -> Request:
    return Request(data=folder, languages=[load_language(code) for code in languages], partial=partial, split=split)


def counts(table: CaptionedDataset) -> dict[str, int]:
    return {code: len(found) for code, found in table.captions.items()}


def test_the_whole_of_xm3600_passes_its_own_counts(tmp_path: Path) -> None:
    table = xm3600.read(request(samples.xm3600(tmp_path, 3600)))
    assert counts(table) == load_facts("xm3600").splits["test"].captions
    assert (len(table.images), sum(counts(table).values()), table.missing) == (3600, 261_375, [])
    assert all(list(table.homes.values()).count(code) == 100 for code in table.captions)


@pytest.mark.parametrize(
    ("sample", "said", "each", "home"),
    [
        (samples.xm3600, "captions.jsonl, as distributed", 12, "ar"),
        (samples.xm3600_parquet, "parquet", 12, "sw"),
        (samples.xm3600_babel, "Babel-ImageNet", 12, None),
        (samples.xm3600_clip_benchmark, "CLIP_benchmark", 6, None),
        (samples.xm3600_uclip, "uCLIP", 6, None),
    ],
)
def test_every_copy_of_xm3600_gives_the_same_pictures_and_captions(
    sample: Callable[[Path], Path], said: str, each: int, home: str | None, tmp_path: Path
) -> None:
    table = xm3600.read(request(sample(tmp_path), "sw", "te", partial=True))
    assert said in table.notes[0] and table.missing == ["6 of 3600 images"]
    assert [table.images[key].open().getpixel((0, 0)) for key in table.images] == [
        (n * 53 % 256, n * 29 % 256, n) for n in range(6)
    ]
    assert list(table.images)[0] == "0000000000000000.jpg" and table.homes.get("0000000000000000.jpg") == home
    expected = (
        samples.spoken("sw", 12)[:: 12 // each] if "captions" in said and each == 6 else samples.spoken("sw", each)
    )
    assert [caption for _, caption in table.captions["sw"]] == expected
    assert len(table.captions["te"]) == each


def test_xtd10_whole_with_its_carriage_returns_its_jp_and_the_pool_of_lilt(tmp_path: Path) -> None:
    table = xtd10.read(request(samples.xtd10(tmp_path)))
    assert counts(table) == dict.fromkeys(["de", "en", "es", "fr", "it", "ja", "ko", "pl", "ru", "tr", "zh"], 1000)
    assert not any("\r" in caption for found in table.captions.values() for _, caption in found)
    assert [caption for _, caption in table.captions["ja"]] == samples.spoken("ja", 1000)
    pool = table.pools[xtd10.LILT]
    assert len(pool.keys) == 200 and all("val2014" in key for key in pool.keys) and "165 of them" in pool.note
    assert xtd10.read(request(samples.xtd10(tmp_path / "part", 10), "ja", partial=True)).pools == {}


@pytest.mark.parametrize(("module", "listed"), [(xtd200, "test_image_names.txt"), (flickr30k_200, "filenames.txt")])
def test_the_sets_of_201_languages_are_whole_and_silver(module: ModuleType, listed: str, tmp_path: Path) -> None:
    folder = samples.flores(tmp_path, listed)
    if module is flickr30k_200:
        samples.write(folder / "eng_captions.txt", ["not read"])
    table = module.read(request(folder))
    assert len(table.captions) == 201 and set(counts(table).values()) == {1000} and table.missing == []
    assert "swh_Latn" not in table.captions and [c for _, c in table.captions["sw"]] == samples.spoken("sw", 1000)
    assert "qaa_Latn" in table.captions and "silver" in table.notes[0]


@pytest.mark.parametrize("split", ["test", "test_2017_mscoco", "task2/test_2016"])
def test_multi30k_by_set(split: str, tmp_path: Path) -> None:
    name = {"test": "test_2016_flickr"}.get(split, split)
    table = multi30k.read(request(samples.multi30k(tmp_path, name), split=split))
    assert counts(table) == load_facts("multi30k").splits[name].captions and table.split == name
    assert len(table.images) == load_facts("multi30k").splits[name].pictures and not any(
        "#" in key for key in table.images
    )
    if split == "task2/test_2016":
        assert [key for key, _ in table.captions["de"][:6]] == ["2000.jpg"] * 5 + ["2001.jpg"]
        assert [caption for _, caption in table.captions["de"][:10]] == samples.spoken("de", 10)


def test_xflickrco_searches_each_languages_own_pictures(tmp_path: Path) -> None:
    table = xflickrco.read(request(samples.xflickrco(tmp_path)))
    assert (
        counts(table) == dict.fromkeys(["de", "en", "es", "id", "ja", "ru", "tr", "zh"], 2000)
        and len(table.images) == 2001
    )
    assert len(table.galleries["ja"]) == 2000 and set(table.galleries["ja"]) != set(table.galleries["de"])


def test_xflickrco_and_wit_from_parquet(tmp_path: Path) -> None:
    table = xflickrco.read(request(samples.xflickrco_parquet(tmp_path / "x"), partial=True))
    assert counts(table) == {"id": 6, "ja": 6} and table.missing[0] == "no captions in de, en, es, ru, tr, zh"
    table = wit.read(request(samples.wit(tmp_path / ("a" * 40), whole=True), "ar", "ko", "tr"))
    assert f"revision {'a' * 40}" in table.notes[0]
    assert counts(table) == {"ar": 890, "ko": 931, "tr": 721} and table.missing == []
    assert {code: len(keys) for code, keys in table.galleries.items()} == {"ar": 792, "ko": 889, "tr": 681}
    assert table.images["ko/3"].open().getpixel((0, 0)) == (159, 87, 3)


def test_wits_own_tables_are_a_part_of_what_could_be_downloaded(tmp_path: Path) -> None:
    table = wit.read(request(samples.wit_tables(tmp_path), partial=True))
    assert list(table.captions) == ["sw", "zh-Hant", "xx"] and counts(table)["sw"] == 3
    assert table.captions["sw"][0][1].endswith('\n"1"') and "3 of the 5 captioned images" in table.missing[0]


def test_shards_and_ones_own_file(tmp_path: Path) -> None:
    table = webdataset.read(request(samples.webdataset(tmp_path / "w"), "sw"))
    assert [caption for _, caption in table.captions["sw"]] == samples.spoken("sw", 12)
    assert [table.images[key].open().getpixel((0, 0)) for key in table.images] == [
        (n * 53 % 256, n * 29 % 256, n) for n in range(6)
    ]
    folder = samples.retrieval(tmp_path / "r")
    for data in (folder, folder / "captions.jsonl"):
        table = retrieval.read(request(data))
        assert counts(table) == {"sw": 10, "te": 5} and table.notes == ["1 line(s) of other splits left out"]
        assert table.groups["0.jpg"] == table.groups["1.jpg"] == "scene"


SAMPLES: dict[str, list[Callable[[Path], Path]]] = {
    "xm3600": [
        samples.xm3600,
        samples.xm3600_parquet,
        samples.xm3600_babel,
        samples.xm3600_clip_benchmark,
        samples.xm3600_uclip,
    ],
    "xtd10": [lambda folder: samples.xtd10(folder, 10)],
    "xtd200": [lambda folder: samples.flores(folder, "test_image_names.txt", 4, 3)],
    "flickr30k-200": [lambda folder: samples.flores(folder, "filenames.txt", 4, 3)],
    "multi30k": [
        lambda folder: samples.multi30k(folder, count=4),
        lambda folder: samples.multi30k(folder, "task2/test_2016", 4),
    ],
    "xflickrco": [lambda folder: samples.xflickrco(folder, 4), samples.xflickrco_parquet],
    "wit": [samples.wit, samples.wit_tables],
    "retrieval": [samples.retrieval],
    "webdataset": [samples.webdataset],
}


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_the_layout_that_is_shown_is_the_one_that_is_read(name: str, tmp_path: Path) -> None:
    layouts = load_facts(name).layouts
    for number, sample in enumerate(SAMPLES[name]):
        folder = sample(tmp_path / str(number))
        pictures_elsewhere = name == "xflickrco"  # in flickr30k-images/ and val2014/ here
        absent = [
            file.path
            for file in layouts[number].files
            if not any(folder.glob(file.path)) and not (pictures_elsewhere and "images/" in file.path)
        ]
        assert absent == []


def test_every_benchmark_with_facts_is_one_and_is_sampled() -> None:
    assert set(SAMPLES) <= set(list_benchmarks()) <= set(list_names("benchmarks"))
    for name in SAMPLES:
        assert load_facts(name).name == name
    assert json.dumps([load_facts(name).model_dump(mode="json") for name in list_benchmarks()])
