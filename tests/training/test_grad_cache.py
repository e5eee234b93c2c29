"""A step in parts and a step of several processes have the gradient of the whole step."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor

from polyclip.core import distributed
from polyclip.core.encode_precision import use_encode_precision
from polyclip.core.progress import show_messages
from polyclip.core.vectors import normalize
from polyclip.data.corpus import load_corpus
from polyclip.errors import PolyclipError, UnknownName
from polyclip.evaluation.results import PerQueryScore, QueryOutcomes, Score
from polyclip.evaluation.shares import deserialize_scores, score_each, serialize_scores
from polyclip.languages.resolve import resolve_language
from polyclip.models import encoding, feature_cache, feature_files
from polyclip.models.aligner import PolyCLIP
from polyclip.models.config import ModelConfig
from polyclip.models.losses import LOSSES, STARTS, LossInputs, info_nce
from polyclip.models.trunk import run_below
from polyclip.training import compute, fsdp
from polyclip.training.compute import Compute
from polyclip.training.config import HEADS, TOWERS, AlignConfig
from polyclip.training.grad_cache import Objective, StepPairs, compute_in_blocks
from polyclip.training.loop import Phase, backward_whole, prepare_training, run_step
from polyclip.training.prepare import Work, make_phase, prepare_run
from tests.command import polyclip
from tests.several import run_processes
from tests.toy import write_corpus, write_text_encoder, write_vision_tower

METHODS = ("head-glu", "lilt-ln", "structure")
INSIDE = {"lilt-ln": "text", "full": "both"}  # towers in which they train
BATCH = 11  # no multiple of 2, 3 or 4


@pytest.fixture(scope="module")
def works(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Work, Phase]]:
    """For each method a run that is ready, and its own phase."""
    folder = tmp_path_factory.mktemp("bigbatch")
    pack, text, vision = (
        write_corpus(folder / "corpus"),
        write_text_encoder(folder / "text"),
        write_vision_tower(folder / "vision"),
    )
    found = {}
    for method in {*METHODS, *INSIDE}:
        recipe = ModelConfig(
            method=method, tune=INSIDE.get(method, "both"), text_encoder=text, vision_tower=vision, dim=16
        )
        short = {"epochs": 2, "batch_size": BATCH, "seed": 5}
        languages = [resolve_language("sw"), resolve_language("en")]
        heads, towers = replace(HEADS, **short), replace(TOWERS, **short, caption_loss=0.3)
        work = prepare_run(
            AlignConfig(
                languages=languages, recipe=recipe, corpus=str(pack), heads=heads, towers=towers, out=folder / method
            )
        )
        for data in work.sides:
            data.attach_backbone()
        found[method] = (work, make_phase(method, towers if method in INSIDE else heads, work))
    return found


def stepped(work: Work, planned: Phase, **how: object) -> dict[str, Tensor]:
    """Loss, gradients and weights after two steps; the run is then as it was."""
    planned = replace(planned, compute=Compute(**how))  # type: ignore[arg-type]
    before = {name: tensor.clone() for name, tensor in work.aligner.state().items()}
    accelerator = compute.create_accelerator(planned.compute)
    model, optimizer = prepare_training(accelerator, work.aligner, planned)
    losses = [run_step(accelerator, model, optimizer, planned, number) for number in range(2)]
    compute.run_validation(accelerator, model, work.aligner, planned.trained, lambda: 0.0)
    compute.release_model(accelerator, model, work.aligner)
    inner = accelerator.unwrap_model(model)
    shares = [p for p in inner.parameters() if fsdp.is_shard(p)]
    assert bool(shares) is planned.compute.shard
    assert not shares or sum(p.to_local().numel() for p in shares) < 0.6 * sum(p.numel() for p in shares)
    grads = {
        f"gradient.{n}": fsdp.gather_tensor(p.grad).clone() for n, p in inner.named_parameters() if p.grad is not None
    }
    after = {n: t.clone() for n, t in work.aligner.state().items()}
    work.aligner.zero_grad(set_to_none=True)
    work.aligner.set_state(before, "before")
    return {"loss": torch.tensor(losses), **grads, **after}


def assert_same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    """Weights less strictly than gradients: Adam divides a gradient by its size, and so makes rounding errors of tiny
    ones large.
    """
    assert found.keys() == wanted.keys() and any(name.startswith("gradient.") for name in found)
    for name, value in wanted.items():
        absolute = 1e-5 if name.startswith("gradient.") else 1e-4
        torch.testing.assert_close(
            found[name], value, msg=lambda text, name=name: f"{name}: {text}", rtol=1e-3, atol=absolute
        )


@pytest.mark.parametrize("method", METHODS)
def test_a_step_in_parts_is_the_whole_step(method: str, works: dict[str, tuple[Work, Phase]]) -> None:
    work, planned = works[method]
    wanted = stepped(work, planned)
    for held in (4, 1):
        assert_same(stepped(work, planned, micro_batch=held), wanted)
    whole = stepped(work, planned, micro_batch=BATCH)
    assert all(torch.equal(whole[name], value) for name, value in wanted.items())  # nothing to divide: the plain step


def test_several_processes_take_the_step_of_one(works: dict[str, tuple[Work, Phase]], tmp_path: Path) -> None:
    plans = [("head-glu", None), ("lilt-ln", None), ("lilt-ln", 2), ("structure", None)]
    wanted = {f"{method} {held}": stepped(*works[method]) for method, held in plans}

    def work() -> dict[str, Tensor]:
        found = {f"{method} {held}": stepped(*works[method], micro_batch=held) for method, held in plans}
        return {f"{case}/{name}": tensor for case, tensors in found.items() for name, tensor in tensors.items()}

    for count in (2, 4):
        for own in run_processes(count, work, tmp_path):
            for case, tensors in wanted.items():
                assert_same({n.partition("/")[2]: t for n, t in own.items() if n.startswith(f"{case}/")}, tensors)


def test_divided_towers_take_the_step_of_one_process(
    works: dict[str, tuple[Work, Phase]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where one process has one batch of captions more than another (three at once), and with micro-batches."""
    plans = [("lilt-ln", None), ("lilt-ln", 2), ("full", None), ("full", 4)]
    wanted = {f"{method} {held}": stepped(*works[method]) for method, held in plans}
    for work, _ in works.values():
        for data in work.sides:
            if data.live:
                monkeypatch.setattr(data, "even", True)
                monkeypatch.setattr(type(data.side.encoder), "grain", 3)

    def work() -> dict[str, Tensor]:
        found = {f"{method} {held}": stepped(*works[method], micro_batch=held, shard=True) for method, held in plans}
        return {f"{case}/{name}": tensor for case, tensors in found.items() for name, tensor in tensors.items()}

    for count in (2, 4):
        for own in run_processes(count, work, tmp_path):
            for case, tensors in wanted.items():
                assert_same({n.partition("/")[2]: t for n, t in own.items() if n.startswith(f"{case}/")}, tensors)


def test_features_are_computed_once_by_all_processes_together(
    works: dict[str, tuple[Work, Phase]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tower, captions = works["head-glu"][0].aligner.text.tower, [f"{number} red square" for number in range(7)]
    wanted = feature_cache.encode(tower, captions, "captions")
    encoder = tower.build()
    monkeypatch.setattr(feature_files, "CHUNK", 2)  # four files
    monkeypatch.setenv("POLYCLIP_CACHE", str(tmp_path / "cache"))
    computed: list[int] = []
    encode_items = encoding.encode_items
    monkeypatch.setattr(
        feature_cache,
        "encode_items",
        lambda encoder, items, *others: computed.append(len(items)) or encode_items(encoder, items, *others),
    )

    def work() -> dict[str, Tensor]:
        found = {"kept": feature_cache.encode(tower, captions, "captions"), "computed": torch.tensor(computed)}
        return found | {
            "live": feature_cache.forward(encoder, captions, "captions"),
            "said": torch.tensor(distributed.gather_objects([distributed.get_rank()])),
        }

    told = run_processes(2, work, tmp_path)
    assert [sorted(own["computed"].tolist()) for own in told] == [[2, 2], [1, 2]]
    for own in told:
        torch.testing.assert_close(own["kept"], wanted)
        torch.testing.assert_close(own["live"], wanted)
        assert own["said"].tolist() == [[0], [1]]


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_loss_in_blocks_is_the_loss(name: str) -> None:
    """In double precision; blocks of three rows that end nowhere near the processes' shares of eleven."""
    scale, bias = (
        torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in STARTS.get(name, (10.0, 0.0))
    )
    text, image = (torch.randn(11, 6, dtype=torch.float64, requires_grad=True) for _ in range(2))
    leaves = [text, image, scale, bias]
    batch = LossInputs(normalize(text), normalize(image), torch.tensor([0, 0, 1, 2, 1, 3, 4, 5, 6, 0, 7]), scale, bias)
    wanted = LOSSES[name](batch)
    found = torch.stack(
        [compute_in_blocks(LOSSES[name], batch, rows, block=3) for rows in (slice(0, 4), slice(4, 11))]
    ).sum()
    torch.testing.assert_close(found, wanted)
    grads = [torch.autograd.grad(value, leaves, allow_unused=True, retain_graph=True) for value in (found, wanted)]
    for one, other in zip(*grads, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other)


def kept_bytes(run: Any, model: Any = None) -> int:
    """The most that autograd holds for a backward pass at any moment beside the parameters of a model, in bytes."""
    held = [0, 0]
    own = {p.untyped_storage().data_ptr() for p in model.parameters()} if model is not None else set()

    class Kept:
        def __init__(self, tensor: Tensor) -> None:
            self.tensor, self.size = (
                tensor,
                0 if tensor.untyped_storage().data_ptr() in own else tensor.numel() * tensor.element_size(),
            )
            held[0] += self.size
            held[1] = max(held)

        def __del__(self) -> None:
            held[0] -= self.size

    with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
        run()
    return held[1]


@pytest.mark.parametrize("loss", [LOSSES["info-nce"], LOSSES["sigmoid"]])
def test_blocks_never_hold_the_whole_matrix(loss: Any) -> None:
    vectors = normalize(torch.randn(600, 8)).requires_grad_()
    batch = LossInputs(vectors, vectors, torch.arange(600), torch.tensor(10.0), torch.tensor(0.0))
    assert kept_bytes(lambda: loss(batch).backward()) > 600 * 600 * 4
    assert kept_bytes(lambda: compute_in_blocks(loss, batch, slice(0, 600), block=50).backward()) < 0.6 * 600 * 600 * 4


def test_a_real_tower_in_parts() -> None:
    """e5-small on Swahili names: the gradient of the whole, no more captions at once than asked for, and a part of the
    memory.
    """
    aligner = PolyCLIP(ModelConfig(method="lilt-ln", tune="text", text_layers="-2:", vision_tower="efficientnet-lite0"))
    corpus, encoder, cut, seen = load_corpus("emoji"), aligner.text.encoder, aligner.text.cut, []
    names = [row.captions[0] for row in corpus.reader.read(corpus.folder, "sw", "validation")][:24]
    pictures = torch.randn(24, aligner.vision.tower.dim)

    def text(rows: Tensor) -> dict[str, Any]:
        seen.append(len(rows))
        with torch.no_grad():
            state = run_below(encoder.trunk, encoder.start(encoder.prepare([names[row] for row in rows.tolist()])), cut)
        return {"states": [state], "order": torch.arange(len(rows))}

    rows = torch.arange(24)
    shown = StepPairs(
        shown=rows,
        others=None,
        images=rows,
        concept=rows,
        text=text,
        image=lambda rows: {"vectors": pictures[rows]},
        seed=3,
    )
    accelerator, objective = (
        compute.create_accelerator(Compute()),
        Objective(loss=info_nce, members=aligner.method.members),
    )
    found = {}
    for held in (None, 8):
        aligner.train()
        run = (
            partial(backward_whole, accelerator, aligner, shown, objective)
            if held is None
            else partial(parts, accelerator, aligner, shown, objective, held)
        )
        torch.manual_seed(3)
        found[held] = (
            kept_bytes(run, aligner),
            {n: p.grad.clone() for n, p in aligner.named_parameters() if p.grad is not None},
        )
        aligner.zero_grad(set_to_none=True)
    assert seen == [24] + [8] * 6  # twice each part
    assert found[8][0] < 0.5 * found[None][0]
    assert found[8][1].keys() == found[None][1].keys() and any(".encoder." in name for name in found[8][1])
    for name, gradient in found[None][1].items():
        torch.testing.assert_close(
            found[8][1][name],
            gradient,
            rtol=1e-3,
            atol=1e-5 * gradient.abs().max().item(),
            msg=lambda text, name=name: f"{name}: {text}",
        )


def parts(accelerator: Accelerator, aligner: PolyCLIP, shown: StepPairs, objective: Objective, held: int) -> float:
    from polyclip.training.grad_cache import backward

    return backward(accelerator, aligner, shown, objective, held)


def test_bf16_is_near_and_leaves_weights_in_fp32(works: dict[str, tuple[Work, Phase]]) -> None:
    for method, held in (("head-glu", None), ("lilt-ln", 4)):
        work, planned = works[method]
        exact, rough = stepped(work, planned), stepped(work, planned, precision="bf16", micro_batch=held)
        assert not torch.equal(rough["loss"], exact["loss"])  # it was used
        torch.testing.assert_close(rough["loss"], exact["loss"], rtol=3e-2, atol=3e-2)
        assert all(
            tensor.dtype == torch.float32 and tensor.isfinite().all()
            for tensor in rough.values()
            if tensor.is_floating_point()
        )
        again = stepped(work, planned)
        assert all(torch.equal(again[name], value) for name, value in exact.items())  # nothing of it stays behind


@pytest.mark.parametrize(
    ("asked", "encoded", "hardware", "live", "wanted"),
    [
        ("auto", "bf16", True, False, "bf16"),
        ("auto", "bf16", True, True, "fp32"),
        ("auto", "bf16", False, False, "fp32"),  # products of bf16 would take eight times as long
        ("auto", "fp32", True, False, "fp32"),
        ("auto", "int8", True, False, "fp32"),
        ("fp32", "bf16", True, False, "fp32"),
        ("bf16", "fp32", False, True, "bf16"),
    ],
)
def test_auto_is_bf16_for_heads_where_captions_are_encoded_in_it_by_hardware(
    asked: str, encoded: str, hardware: bool, live: bool, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compute, "has_bf16_hardware", lambda: hardware)
    compute.check_compute(Compute(precision=asked))
    with use_encode_precision(encoded):
        assert compute.pick_precision(asked, live) == wanted


@pytest.mark.parametrize(("precision", "hardware", "said"), [("bf16", False, 1), ("bf16", True, 0), ("auto", False, 0)])
def test_bf16_without_instructions_for_it_is_said_to_be_slow(
    precision: str, hardware: bool, said: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compute, "has_bf16_hardware", lambda: hardware)
    with show_messages():
        compute.warn_of_slow_precision(Compute(precision=precision))
    assert capsys.readouterr().err.count("several times as long as in fp32.\n") == said


def test_precisions_that_are_not_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownName, match="No precision called 'bf61'. Did you mean 'bf16'?"):
        compute.check_compute(Compute(precision="bf61"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(PolyclipError) as caught:
        compute.check_compute(Compute(precision="fp16"))
    assert (
        str(caught.value)
        == "--precision fp16 requires a GPU, and torch finds none here: use bf16, which needs none, or fp32."
    )
    monkeypatch.setenv(compute.LAUNCHER, "bf16")
    with pytest.raises(
        PolyclipError,
        match="accelerate launch asks for mixed precision bf16, polyclip for fp32: write --precision bf16",
    ):
        compute.check_compute(Compute())
    monkeypatch.delenv(compute.LAUNCHER)
    with pytest.raises(
        PolyclipError, match="--shard shards the encoders over processes, and there is one: torchrun --nproc-per-node 2"
    ):
        compute.check_compute(Compute(shard=True))
    monkeypatch.setattr(compute, "is_launched", lambda: True)
    compute.check_compute(Compute(shard=True, precision="bf16"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(PolyclipError, match="--shard works with fp32 and bf16, not with fp16"):
        compute.check_compute(Compute(shard=True, precision="fp16"))
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(
        PolyclipError, match="accelerate launch asks for FSDP, which cannot be combined with polyclip: use --shard"
    ):
        compute.check_compute(Compute())


def test_the_command_line_refuses_what_is_not_for_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    said = polyclip("align", "--lang", "sw", "--precision", "fp16")
    assert said.code == 2 and said.err.startswith("error: --precision fp16 requires a GPU")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    said = polyclip("search", "paka", "--images", "here", "--model", "there")
    assert (
        said.code == 2
        and said.err
        == "error: 'polyclip search' runs in one process only, but 2 were started: run it without torchrun or "
        "accelerate.\n"
    )


def test_too_many_processes_for_a_batch_and_a_bad_waiting_time(
    monkeypatch: pytest.MonkeyPatch, works: dict[str, tuple[Work, Phase]]
) -> None:
    monkeypatch.setenv(distributed.MINUTES, "soon")
    with pytest.raises(PolyclipError, match="POLYCLIP_TIMEOUT is 'soon', expected minutes such as 60"):
        distributed.get_timeout()
    monkeypatch.setattr(distributed, "get_world_size", lambda: BATCH + 1)
    with pytest.raises(PolyclipError, match="A step has 11 pairs, too few for 12 processes"):
        stepped(*works["head-glu"])


def test_scores_travel_whole() -> None:
    facts = {
        "benchmark": "b",
        "protocol": "p",
        "split": "test",
        "language": "sw",
        "seen": True,
        "direction": "text_to_image",
        "gallery": 3,
    }
    outcome = QueryOutcomes(
        **facts,
        queries="q",
        cluster=("x", "y"),
        rank=torch.tensor([0, 2], dtype=torch.int32).numpy(),
        gain=torch.rand(2).numpy(),
    )
    rest = facts | {"value": 1 / 3, "low": 0.1, "high": 0.7, "queries": 2, "chance": 0.2}
    scores: list[Score] = [
        PerQueryScore(outcome, metric="recall@1", **rest),
        PerQueryScore(outcome, metric="recall@5", **rest),
        Score(metric="mean", **rest),
    ]
    again = deserialize_scores(json.loads(json.dumps(serialize_scores(scores))))
    assert again == scores and again[0].outcome is again[1].outcome  # type: ignore[attr-defined]
    for name in ("rank", "gain"):
        before, after = getattr(outcome, name), getattr(again[0].outcome, name)  # type: ignore[attr-defined]
        assert before.dtype == after.dtype and (before == after).all()
    assert score_each(["sw", "en"], lambda code: [scores[code == "en"]]) == scores[:2]
