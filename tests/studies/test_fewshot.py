"""Going on from a run with few shots, what the packs advise, and the curve of what a few captions buy."""

import json
import tomllib
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from polyclip.data.corpus import load_corpus
from polyclip.data.pairs import SamplingConfig
from polyclip.data.readers import emoji
from polyclip.errors import DataError, UnknownName
from polyclip.languages import schema
from polyclip.languages.resolve import resolve_language
from polyclip.languages.schema import Advice
from polyclip.models.aligner import PolyCLIP
from polyclip.models.backbone import describe
from polyclip.models.config import ModelConfig
from polyclip.studies import fewshot, runner
from polyclip.studies.cells import Cell, ShotSpec, run_cell
from polyclip.studies.fewshot import FewshotConfig
from polyclip.studies.fewshot_report import interpolate_shots
from polyclip.studies.figures import compute_recall_over_seeds
from polyclip.studies.runner import Setting, find_missing, record_path
from polyclip.training import request, shots
from polyclip.training.options import AlignOptions
from polyclip.training.request import resolve_request
from polyclip.training.shots import Shots, choose_shots, compute_replay_share, order_farthest_first, read_source_rows
from tests.command import CommandResult, polyclip
from tests.toy import write_corpus, write_text_encoder, write_vision_tower


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("toy")
    towers = {"text": write_text_encoder(folder / "text"), "vision": write_vision_tower(folder / "vision")}
    return towers | {"corpus": str(write_corpus(folder / "corpus", french=True))}


def towers(toy: dict[str, str]) -> list[str]:
    return ["--corpus", toy["corpus"], "--text-encoder", toy["text"], "--vision-tower", toy["vision"]]


@pytest.fixture(scope="module")
def start(toy: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "english"
    said = polyclip("align", "--lang", "en", *towers(toy), "--head-dim", 8, "--epochs", 4, "--out", out)
    assert said.code == 0, said.err
    return out


def one_sentence(said: CommandResult, *words: str) -> None:
    assert said.code == 2, said
    lines = said.err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), said
    for word in words:
        assert word in lines[0], (word, lines[0])


def headline(folder: Path) -> dict[str, tuple[bool, float]]:
    scores = json.loads((folder / "result.json").read_text("utf-8"))["scores"]
    return {
        s["language"]: (s["seen"], s["value"])
        for s in scores
        if (s["metric"], s["direction"]) == ("recall@1", "text_to_image")
    }


# which pictures


def test_farthest_first_by_hand_and_within_twice_the_best_radius() -> None:
    line = torch.tensor([[0.0], [1.0], [2.0], [10.0], [11.0]])
    for seed in range(4):
        order = order_farthest_first(line, seed)
        assert sorted(order) == list(range(5))
        assert {order[0] > 2, order[1] > 2} == {True, False}  # the second is at the other end
        assert max(min(abs(line[a] - line[b]).item() for b in order[:2]) for a in range(5)) <= 2 * 1.0


def test_shots_are_of_the_training_split_nested_and_the_same_in_every_language() -> None:
    corpus, languages, tower = (
        load_corpus("emoji"),
        [resolve_language("sw"), resolve_language("yo")],
        describe("towers", "efficientnet-lite0"),
    )
    few, more, other = (
        choose_shots(corpus, languages, Shots(count=k, seed=seed), SamplingConfig(), tower).kept
        for k, seed in ((8, 0), (32, 0), (32, 1))
    )
    train = set(emoji.split_concepts(corpus.folder, "train"))
    for code in ("sw", "yo"):
        assert (len(few[code]), len(more[code])) == (8, 32)
        assert few[code] < more[code] < train and more[code] != other[code]
    assert len(more["sw"] & more["yo"]) > 25  # but for what one of them does not name
    with pytest.raises(
        DataError,
        match=r"5000 shots were asked for, but 'sw' names 1\d\d\d images of the training split in corpus 'emoji'",
    ):
        choose_shots(corpus, languages, Shots(count=5000), SamplingConfig(), tower)
    with pytest.raises(UnknownName, match="coverage, random"):
        choose_shots(corpus, languages, Shots(count=5, by="luck"), SamplingConfig(), tower)


def test_coverage_takes_what_looks_other(toy: dict[str, str]) -> None:
    corpus, tower = load_corpus(toy["corpus"]), describe("towers", toy["vision"])
    found = [
        choose_shots(
            corpus, [resolve_language("sw")], Shots(count=4, by="coverage", seed=seed), SamplingConfig(), tower
        ).kept["sw"]
        for seed in (0, 0, 1)
    ]
    assert found[0] == found[1] and len(found[0]) == 4
    concepts = list(corpus.reader.split_concepts(corpus.folder, "train"))
    vectors = shots.embed_images(corpus, concepts, tower)
    distance = torch.cdist(vectors, vectors)
    rows = [concepts.index(concept) for concept in found[0]]
    radius = distance[rows].amin(0).max()
    assert radius <= min(distance[torch.randperm(len(concepts))[:4]].amin(0).max() for _ in range(50)) * 2
    assert (
        distance[rows][:, rows][~torch.eye(4, dtype=torch.bool)].min() >= radius
    )  # each is farther from the others than anything left


def test_few_shots_leave_more_room_for_what_is_known() -> None:
    shares = [compute_replay_share(share) for share in (0.001, 0.01, 0.1, 1.0)]
    assert shares == sorted(shares, reverse=True) and shares[-1] == shots.REHEARSAL and 0.98 < shares[0] < 1


# going on


def test_no_shots_are_the_run_itself(toy: dict[str, str], start: Path, tmp_path: Path) -> None:
    said = polyclip("align", "--lang", "sw", "--from", start, "--shots", 0, "--out", tmp_path / "run")
    assert said.code == 0, said.err
    before, after = (load_file(folder / "aligner.safetensors") for folder in (start, tmp_path / "run"))
    assert all(torch.equal(before[name], after[name]) for name in before) and before.keys() == after.keys()
    found = headline(tmp_path / "run")
    assert found["sw"][0] is False and found["en"] == headline(start)["en"]
    assert all(
        line["change"] == 0
        for line in json.loads((tmp_path / "run" / "knowledge.json").read_text("utf-8"))["knowledge"]
    )


@pytest.fixture(scope="module")
def further(
    toy: dict[str, str], start: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, CommandResult, dict[str, bytes]]:
    out, before = (
        tmp_path_factory.mktemp("runs") / "further",
        {path.name: path.read_bytes() for path in start.iterdir()},
    )
    said = polyclip(
        "align",
        "--lang",
        "sw",
        "--from",
        start,
        "--shots",
        5,
        "--seed",
        3,
        "--epochs",
        6,
        "--out",
        out,
        "--max-drop",
        100,
    )
    assert said.code == 0, said.err
    return out, said, before


def test_shots_go_on_from_the_runs_own_weights_and_leave_it_alone(
    start: Path, further: tuple[Path, CommandResult, dict[str, bytes]]
) -> None:
    out, said, files = further
    assert {path.name: path.read_bytes() for path in start.iterdir()} == files
    before, after = (load_file(folder / "aligner.safetensors") for folder in (start, out))
    constants = [name for name in before if name.endswith((".mean", ".deviation"))]
    assert constants and all(
        torch.equal(before[name], after[name]) for name in constants
    )  # the heads go on seeing what they saw
    assert not torch.equal(before["text.head.members.0.linear.weight"], after["text.head.members.0.linear.weight"])
    log = [json.loads(line) for line in (out / "log.jsonl").read_text("utf-8").splitlines()]
    assert [line["epoch"] for line in log] == list(range(7))
    run = tomllib.loads((out / "run.toml").read_text("utf-8"))
    found = {"name_units", "name_dim", "space"}  # by the first run, from its tower
    first = tomllib.loads((start / "run.toml").read_text("utf-8"))["recipe"]
    assert run["languages"] == ["sw", "en"] and {k: v for k, v in run["recipe"].items() if k not in found} == {
        k: v for k, v in first.items() if k not in found
    }
    assert (run["continued"]["from"], run["continued"]["shots"], run["continued"]["new"]) == (str(start), 5, ["sw"])
    lines = [json.loads(line) for line in (out / "shots.jsonl").read_text("utf-8").splitlines()]
    assert len(lines) == 5 and all(
        line["captions"][0].startswith("mraba") and line["provenance"] == "human" for line in lines
    )
    assert {code for code, (seen, _) in headline(out).items() if seen} == {"sw", "en"}
    assert "retention: the run english, and after alignment" in said.out


def test_the_last_epoch_is_kept_since_validation_has_more_captions_than_training(
    monkeypatch: pytest.MonkeyPatch, start: Path, tmp_path: Path
) -> None:
    from polyclip.training import prepare

    values = iter([0.9, 0.1, 0.1])
    monkeypatch.setattr(prepare, "Validation", lambda *given: lambda: next(values))
    assert (
        polyclip("align", "--lang", "sw", "--from", start, "--shots", 5, "--epochs", 2, "--out", tmp_path / "run").code
        == 0
    )
    before, after = (
        load_file(folder / "aligner.safetensors")["text.head.members.0.linear.weight"]
        for folder in (start, tmp_path / "run")
    )
    assert not torch.equal(before, after)


def test_what_changed_is_measured_against_the_run(
    further: tuple[Path, CommandResult, dict[str, bytes]], start: Path
) -> None:
    lines = {
        line["question"]: line for line in json.loads((further[0] / "knowledge.json").read_text("utf-8"))["knowledge"]
    }
    assert {"trained before (1), recall@10", "new (1), recall@10", "trained before (1) -> fr", "new (1) -> fr"} <= set(
        lines
    )
    own = lines["trained before (1), recall@10"]
    found = [
        s
        for s in json.loads((start / "result.json").read_text("utf-8"))["scores"]
        if s["language"] == "en" and s["metric"] == "recall@10"
    ]
    assert (
        own["before"] == pytest.approx(next(s["value"] for s in found if s["direction"] == "text_to_image"))
        and own["queries"] == 6
    )


def test_going_on_again_knows_all_that_was_trained(
    further: tuple[Path, CommandResult, dict[str, bytes]], tmp_path: Path
) -> None:
    out = further[0]
    said = polyclip(
        "align", "--lang", "de", "--from", out, "--shots", 3, "--epochs", 1, "--no-rehearse", "--out", tmp_path / "run"
    )
    assert said.code == 0, said.err
    assert tomllib.loads((tmp_path / "run" / "run.toml").read_text("utf-8"))["languages"] == ["de", "sw", "en"]
    one_sentence(
        polyclip("align", "--lang", "sw", "--from", out, "--shots", 3), "was trained on sw already", "omit --shots"
    )
    said = polyclip("align", "--lang", "sw", "--from", out, "--epochs", 1, "--out", tmp_path / "more")
    assert said.code == 0, said.err


def test_a_method_inside_the_towers_goes_on_inside_them(toy: dict[str, str], tmp_path: Path) -> None:
    given = ["--head-dim", 8, "--epochs", 1, "--batch-size", 8]
    assert (
        polyclip("align", "--lang", "en", *towers(toy), "--method", "lilt-ln", *given, "--out", tmp_path / "en").code
        == 0
    )
    said = polyclip(
        "align",
        "--lang",
        "sw",
        "--from",
        tmp_path / "en",
        "--shots",
        4,
        "--epochs",
        2,
        "--batch-size",
        8,
        "--out",
        tmp_path / "sw",
    )
    assert said.code == 0, said.err
    log = [json.loads(line) for line in (tmp_path / "sw" / "log.jsonl").read_text("utf-8").splitlines()]
    assert [(line["phase"], line["epoch"]) for line in log] == [("lilt-ln", 0), ("lilt-ln", 1), ("lilt-ln", 2)]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--shots", 5], ["--shots", "--from"]),
        (["--shots-by", "coverage", "--no-rehearse"], ["--shots-by, --rehearse", "--from"]),
        (["--from", "RUN", "--shots", 40], ["40 shots", "'sw' names 12"]),
        (["--from", "NOWHERE", "--shots", 4], ["nowhere is not a finished run", "polyclip align"]),
        (["--from", "RUN", "--method", "heads", "--head-dim", 8], ["cannot be combined with --method, --head-dim"]),
        (["--from", "RUN", "--shots-by", "luck"], ["'luck'", "coverage, random"]),
        (["--caption-weights", "nllb=0.5"], ["--caption-weights nllb", "it has human"]),
        (["--temperature", 0], ["--temperature 0", "above 0"]),
    ],
)
def test_bad_requests_are_one_sentence(
    given: list[Any], words: list[str], toy: dict[str, str], start: Path, tmp_path: Path
) -> None:
    places = {"RUN": start, "NOWHERE": tmp_path / "nowhere"}
    given = [places.get(part, part) for part in given] if all(isinstance(part, str | int) for part in given) else given
    own = [] if "--from" in given else towers(toy)
    one_sentence(polyclip("align", "--lang", "sw", *own, *given, "--out", tmp_path / "run"), *words)
    assert not (tmp_path / "run").exists()


def test_a_run_solved_in_closed_form_cannot_go_on(toy: dict[str, str], tmp_path: Path) -> None:
    torch.manual_seed(0)
    PolyCLIP(ModelConfig(text_encoder=toy["text"], vision_tower=toy["vision"], method="procrustes", dim=8)).save(
        tmp_path / "en" / "aligner.safetensors"
    )
    recipe = f'text_encoder = "{toy["text"]}"\nvision_tower = "{toy["vision"]}"\nmethod = "procrustes"\n'
    (tmp_path / "en" / "run.toml").write_text(f'languages = ["en"]\n[recipe]\n{recipe}', "utf-8")
    one_sentence(
        polyclip("align", "--lang", "sw", "--from", tmp_path / "en", "--shots", 4),
        "procrustes",
        "closed form",
        "align all languages together",
    )


# languages and what their packs advise


@pytest.fixture
def advising(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], schema.Language]:
    """Swahili's pack advises ridge and borrows French, German is as it is."""

    def resolve(text: str) -> schema.Language:
        found = resolve_language(text)
        return (
            found.model_copy(update={"recipe": Advice(method="heads", budget="90s", borrow=["fr"])})
            if found.code == "sw"
            else found
        )

    monkeypatch.setattr(request, "resolve_language", resolve)
    return resolve


def test_the_pack_decides_what_is_not_written(advising: Callable[[str], schema.Language]) -> None:
    plain, written, recipe, auto = (
        resolve_request(options)
        for options in (
            AlignOptions(lang=["sw"]),
            AlignOptions(lang=["sw"], method="head-glu"),
            AlignOptions(lang=["sw"], recipe=True),
            AlignOptions(lang=["sw"], method="auto"),
        )
    )
    assert (plain.method, [language.code for language in plain.languages], plain.advice) == (
        "heads",
        ["sw"],
        {"packs": ["sw"], "method": "heads"},
    )
    assert (written.method, written.advice) == ("head-glu", {})
    assert [language.code for language in recipe.languages] == ["sw", "fr"] and recipe.advice["borrow"] == ["fr"]
    assert (auto.budget, auto.advice) == ("90s", {"packs": ["sw"], "budget": "90s"})
    assert resolve_request(AlignOptions(lang=["sw"], recipe=True, related_languages=False)).languages == plain.languages
    assert resolve_request(AlignOptions(lang=["de"])).method == "head-mlp"


def test_borrowed_languages_count_as_trained_and_the_run_says_whence(
    advising: Callable[[str], schema.Language], toy: dict[str, str], tmp_path: Path
) -> None:
    said = polyclip(
        "align",
        "--lang",
        "sw",
        "--related-languages",
        *towers(toy),
        "--head-dim",
        8,
        "--epochs",
        1,
        "--out",
        tmp_path / "run",
    )
    assert said.code == 0, said.err
    assert "from languages/sw.toml: method heads, borrow fr" in said.out
    run = tomllib.loads((tmp_path / "run" / "run.toml").read_text("utf-8"))
    assert run["languages"] == ["sw", "fr", "en"] and run["recipe"]["method"] == "heads"
    assert run["advice"] == {"packs": ["sw"], "method": "heads", "borrow": ["fr"]}
    assert {code for code, (seen, _) in headline(tmp_path / "run").items() if seen} == {"sw", "fr", "en"}
    again = polyclip(
        "align",
        "--lang",
        "sw",
        "--method",
        "heads",
        "--lang",
        "fr",
        *towers(toy),
        "--head-dim",
        8,
        "--epochs",
        1,
        "--out",
        tmp_path / "run",
    )
    assert again.code == 0, again.err  # what advised it does not make another run
    one_sentence(
        polyclip("align", "--lang", "de", "--related-languages", *towers(toy)),
        "languages/de.toml names no related language",
    )


def test_a_group_is_every_language_of_it_that_the_corpus_names(
    monkeypatch: pytest.MonkeyPatch, toy: dict[str, str], tmp_path: Path
) -> None:
    monkeypatch.setattr(schema, "select_group", lambda name: [resolve_language(code) for code in ("sw", "de", "te")])
    given = [
        "--group",
        "some",
        "--caption-weights",
        "human=2",
        "--temperature",
        2.0,
        *towers(toy),
        "--method",
        "heads",
        "--head-dim",
        8,
        "--epochs",
        1,
    ]
    said = polyclip("align", *given, "--out", tmp_path / "run")
    assert said.code == 0, said.err
    assert "group some: sw, de; without captions in corpus 'toy': te" in said.err
    result = json.loads((tmp_path / "run" / "result.json").read_text("utf-8"))
    assert result["run"]["languages"] == ["sw", "de", "en"]
    assert (result["run"]["sample"]["mix"], result["run"]["sample"]["temperature"]) == ({"human": 2.0}, 2.0)
    one_sentence(polyclip("align", *towers(toy)), "No language to train")


# the curve


def test_new_fields_leave_the_names_of_older_cells_as_they_were() -> None:
    cell = Cell(method="heads", rate=1e-3, seed=0, languages=("sw", "en"), asked=("de",), tower="t")
    assert cell.name == "heads-0.001-seed0-37f8f1ad0d"
    shot = replace(cell, few=ShotSpec(new=("sw",), count=8))
    assert shot.name == "heads-0.001-seed0-00969917b8"
    others = [
        replace(cell, caption_loss=0.3),
        replace(cell, adapter="00daa6"),
        shot,
        replace(cell, few=ShotSpec(new=("sw",), count=9)),
        replace(cell, few=ShotSpec(new=("sw",), count=8, related=("xh",))),
        replace(cell, few=ShotSpec(new=("sw",), count=8, words="list.toml")),
    ]
    assert len({other.name for other in [cell, *others]}) == 7


def test_how_many_reach_a_goal_by_hand() -> None:
    assert interpolate_shots({0: 0.0, 3: 1.0}, 0.5) == 1
    assert interpolate_shots({0: 0.0, 3: 0.4, 15: 1.0, 100: 0.9}, 0.7) == 7
    assert interpolate_shots({0: 0.5, 7: 0.5}, 0.5) == 0
    assert interpolate_shots({0: 0.1, 8: 0.2, 16: 0.15}, 0.9) == 16


def made_up(cell: Cell) -> dict[str, Any]:
    """Of eight concepts as many are found as the logarithm of the shots says, by seed 1 one more."""
    count = {None: 1000}.get(cell.few.count, cell.few.count) if cell.few else 0
    hits = min(8, count.bit_length() // 2 + cell.seed) - (
        2 if cell.few and cell.few.source not in ("", "human") and count else 0
    )
    codes = [*cell.languages, *cell.asked]
    return {
        "cell": asdict(cell),
        "groups": list("abcdefgh"),
        "ranks": {code: [0] * hits + [99] * (8 - hits) for code in codes},
    }


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[Cell]:
    done: list[Cell] = []

    def instead(cells: Any, setting: Setting, what: str) -> None:
        for cell, _ in find_missing(cells, setting):
            done.append(cell)
            record_path(cell, setting).parent.mkdir(parents=True, exist_ok=True)
            record_path(cell, setting).write_text(json.dumps(made_up(cell)), "utf-8")

    for room in (fewshot, runner):
        monkeypatch.setattr(room, "run_all", instead)
    return done


def test_the_curve_ends_with_table_plot_json_and_a_sentence_a_language(tmp_path: Path, ran: list[Cell]) -> None:
    given = ["fewshot", "--lang", "sw", "--lang", "yo", "--k", "0,8,512", "--seeds", 2, "--out", tmp_path]
    said = polyclip(*given)
    assert said.code == 0, said.err
    result = json.loads((tmp_path / "fewshot.json").read_text("utf-8"))
    assert [row[0] for row in result["rows"]][:4] == [
        "sw 0",
        "sw 8",
        "sw 512",
        result["rows"][3][0],
    ] and "sw all (1" in result["rows"][3][0]
    assert set(result["curves"]["yo"]["human"]) == {"0", "8", "512", "all"}
    assert result["curves"]["sw"]["human"]["512"]["value"] == pytest.approx(5.5 / 8)
    assert "90 % of that" in result["verdict"] and "yo: all" in result["verdict"]
    assert (tmp_path / "fewshot.png").read_bytes()[:4] == b"\x89PNG" and result["verdict"] in (
        tmp_path / "fewshot.md"
    ).read_text("utf-8")
    assert max(map(len, said.out.splitlines()[:12])) <= 80
    first = [cell for cell in ran if cell.few is None]
    assert [cell.seed for cell in first] == [0, 1] and {cell.languages for cell in first} == {
        ("en",)
    }  # English alone once a seed
    assert len(ran) == 2 + 2 * (1 + 3 + 3)  # nothing learned is one cell for both languages
    before = len(ran)
    record_path(next(cell for cell in ran if cell.few and cell.few.count == 8), _setting(tmp_path)).unlink()
    pure = polyclip(*given, "--json")
    assert json.loads(pure.out)["verdict"] == result["verdict"]
    assert [cell.few.count for cell in ran[before:] if cell.few] == [8]


def _setting(folder: Path) -> Setting:
    return Setting(languages=(), seeds=2, quick=False, folder=folder, jobs=1, tower="", asked=())


def test_machines_captions_make_a_second_curve(
    tmp_path: Path, ran: list[Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    def rows(corpus: Any, language: schema.Language, source: str) -> list[Any]:
        found = read_source_rows(corpus, language, "human")
        return [replace(row, provenance="nllb@1") for row in found] if source == "mine.toml" else found

    monkeypatch.setattr(fewshot, "read_source_rows", rows)
    question = FewshotConfig(languages=("sw",), counts=(8, 512), translated="mine.toml")
    report = fewshot.run_fewshot(question, replace(_setting(tmp_path), tower="efficientnet-lite0"))
    assert report.sheet.columns == ("shots", "human", "machine", "of all, %", "retention")
    human, machine = (float(report.sheet.rows[2][column].split()[0]) for column in (1, 2))
    assert machine == pytest.approx(human - 25) and report.sheet.rows[3][2] == "-"
    assert {cell.few.source for cell in ran if cell.few and cell.few.count} == {"human", "mine.toml"}
    with pytest.raises(DataError, match="--k 2000: 'sw' has captions for 1"):
        fewshot.run_fewshot(replace(question, counts=(2000,)), _setting(tmp_path))


def test_the_interval_is_of_groups_and_seeds() -> None:
    cell = Cell(
        method="heads",
        rate=1e-3,
        seed=0,
        languages=("sw", "en"),
        asked=(),
        tower="t",
        few=ShotSpec(new=("sw",), count=8),
    )
    same = [made_up(replace(cell, seed=0))] * 2
    apart = [made_up(replace(cell, seed=0)), made_up(replace(cell, seed=6))]
    one, other = compute_recall_over_seeds(same, ["sw"]), compute_recall_over_seeds(apart, ["sw"])
    assert (one.value, other.value) == (pytest.approx(2 / 8), pytest.approx((2 + 8) / 16))
    assert other.high - other.low > one.high - one.low > 0


def test_packs_of_translations_that_do_not_fit_are_one_sentence(toy: dict[str, str], tmp_path: Path) -> None:
    given = ["fewshot", *towers(toy), "--k", "0,2", "--seeds", 1, "--out", tmp_path / "out"]
    one_sentence(polyclip(*given, "--lang", "sw", "--translated", toy["corpus"]), "'sw'", "people wrote all it has")
    plain = write_corpus(tmp_path / "plain")
    one_sentence(
        polyclip(*given, "--lang", "de", "--translated", plain),
        "has no captions in 'de'",
        "en, sw",
        "polyclip translate",
    )
    one_sentence(
        polyclip("fewshot", *towers(toy), "--lang", "sw", "--k", "0,400"),
        "--k 400",
        "'sw' has captions for 12 training images",
    )
    one_sentence(polyclip("fewshot", *towers(toy), "--lang", "sw", "--k", "0,x"), "--k '0,x'", "0,8,32,128,512")
    one_sentence(
        polyclip("fewshot", *towers(toy), "--lang", "sw", "--method", "lilt-ln", "--k", "2"),
        "lilt-ln trains inside an encoder",
    )
    assert not (tmp_path / "out").exists()


def test_a_real_curve_on_toy_towers(
    toy: dict[str, str], start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From pictures to the report, in this process; the towers are tiny and random."""

    def here(cells: Any, setting: Setting, what: str) -> None:
        for cell, scored in find_missing(cells, setting):
            run_cell(cell, setting.folder, scored, 1)

    for room in (fewshot, runner):
        monkeypatch.setattr(room, "run_all", here)
    common = ["fewshot", "--lang", "sw", "--k", "0,4", "--seeds", 1]
    said = polyclip(*common, *towers(toy), "--head-dim", 8, "--out", tmp_path / "a", "--json")
    assert said.code == 0, said.err
    curve = json.loads(said.out)["curves"]["sw"]["human"]
    assert set(curve) == {"0", "4", "all"} and all(
        0 <= point["low"] <= point["value"] <= point["high"] <= 1 for point in curve.values()
    )
    cells = [json.loads(path.read_text("utf-8")) for path in (tmp_path / "a" / "cells").iterdir()]
    nothing = next(cell for cell in cells if cell["cell"]["few"] and cell["cell"]["few"]["count"] == 0)
    assert nothing["cell"]["languages"] == ["en"] and len(nothing["log"]) == 1
    said = polyclip(*common, "--corpus", toy["corpus"], "--from", start, "--out", tmp_path / "b")
    assert said.code == 0, said.err
    names = [path.name for path in (tmp_path / "b" / "cells").iterdir()]
    assert len(names) == 3 and not any((tmp_path / "b" / "runs").iterdir())
