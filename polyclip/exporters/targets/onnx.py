"""Export both towers as ONNX graphs in immich's layout: `textual/`, `visual/`, `config.json`. Supports every method."""

import json
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from polyclip.core.vectors import normalize
from polyclip.errors import RunError
from polyclip.exporters.base import ExportNotes, ExportOrder, Target
from polyclip.exporters.limits import Limits, Plan, limit_tokenizer
from polyclip.exporters.merge import merge_low_rank
from polyclip.exporters.preprocess_cfg import build_preprocess_cfg
from polyclip.exporters.tokenizer import write_tokenizer
from polyclip.models.branch import Branch
from polyclip.models.components.heads import RelativeHead
from polyclip.models.components.joint_head import JointHead
from polyclip.models.encoding import get_inference_form

CONTEXT = 77  # tokens that immich pads to; the graph takes any number up to the encoder's limit
ONE_FILE = 1_800_000_000  # bytes of weights that still fit into one ONNX file, whose limit is 2 GB
BLOCK = 64  # weights of a matrix that share one scale in 8 bits


class TextGraph(nn.Module):
    """Maps token ids, padded on the right, to embeddings; padding is recognized by its id."""

    def __init__(self, encoder: nn.Module, head: nn.Module, pad: int) -> None:
        super().__init__()
        self.encoder, self.head, self.pad = encoder, head, pad

    def forward(self, text: Tensor) -> Tensor:
        """Map ids [caption, token] to embeddings [caption, dim]."""
        ids = text.long()
        return self.head(self.encoder(input_ids=ids, attention_mask=(ids != self.pad).long()))


class ImageGraph(nn.Module):
    """Maps preprocessed pixels to embeddings."""

    def __init__(self, encoder: Any, head: nn.Module) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head

    def forward(self, image: Tensor) -> Tensor:
        """Map pixels [image, 3, height, width] to embeddings [image, dim]."""
        return self.head(self.encoder.finish({"pixels": image}, 0))


class ConstantJointHead(nn.Module):
    """A joint head whose weights and directions are constants of the graph."""

    space: Tensor
    weights: Tensor

    def __init__(self, head: JointHead) -> None:
        super().__init__()
        self.head = head
        self.register_buffer("weights", head.compute_weights())
        self.register_buffer("space", head.space if head.space.any() else torch.eye(len(head.space)))

    def forward(self, features: Tensor) -> Tensor:
        """Map features [row, width] to embeddings [row, dim]."""
        parts = self.head.compute_parts(features)
        return normalize(
            torch.cat([part * self.weights[number] for number, part in enumerate(parts)], dim=1) @ self.space
        )


class PaddedHead(nn.Module):
    """A head whose embeddings are followed by zeros, which change no cosine: for programs that fix the length."""

    def __init__(self, head: nn.Module, width: int) -> None:
        super().__init__()
        self.head, self.width = head, width

    def forward(self, features: Tensor) -> Tensor:
        """Map features [row, dim of the encoder] to embeddings [row, width]."""
        found = self.head(features)
        return nn.functional.pad(found, (0, self.width - found.shape[1]))


def write(order: ExportOrder) -> ExportNotes:
    """Write both graphs, the tokenizer and the configuration.

    Raises:
        RunError: torch cannot export an encoder.

    """
    folder, aligner = order.folder, order.aligner
    visual = prepare_encoder(aligner.vision)
    preprocess = build_preprocess_cfg(visual, aligner.vision.tower.name)
    textual = prepare_encoder(aligner.text)
    tokenizer = write_tokenizer(textual, folder / "textual", aligner.text.tower.name)
    ids = torch.tensor([[5, 6, 7, 8, 9], [5, 6, 7, 8, tokenizer.pad_token_id]], dtype=torch.int32)
    text = TextGraph(textual, prepare_head(aligner.text.head, order.width), tokenizer.pad_token_id).eval()
    write_graph(text, ids, folder / "textual" / "model.onnx", {0: "batch", 1: "tokens"}, int8=order.int8)
    height, width = preprocess["size"]
    image = ImageGraph(visual, prepare_head(aligner.vision.head, order.width)).eval()
    write_graph(
        image, torch.zeros(2, 3, height, width), folder / "visual" / "model.onnx", {0: "batch"}, int8=order.int8
    )
    write_json(folder / "visual" / "preprocess_cfg.json", preprocess)
    dim = len(text(ids)[0])
    limit = textual.tokenizer_spec.limit
    context = min(CONTEXT, limit)
    write_json(
        folder / "config.json",
        {"embed_dim": dim, "vision_cfg": {"image_size": height}, "text_cfg": {"context_length": context}},
    )
    return ExportNotes(notes=(f"textual/ takes up to {limit} tokens; immich pads and truncates captions at {context}",))


def prepare_encoder(branch: Branch) -> Any:
    """Return the trained encoder ready for export: a vision encoder in its fastest form, a text encoder with
    padding.
    """
    encoder = branch.get_encoder()
    merge_low_rank(encoder)
    encoder = encoder.requires_grad_(False).eval()
    return encoder if branch.kind == "text" else get_inference_form(encoder)


def prepare_head(head: Any, width: int = 0) -> nn.Module:
    """Return the head ready for export; the number of anchors becomes a constant of the graph."""
    if width:
        return PaddedHead(prepare_head(head), width)
    if isinstance(head, RelativeHead):
        nearest = int(head.nearest)
        del head.nearest
        head.nearest = nearest  # type: ignore[assignment]
    if isinstance(head, JointHead):
        return ConstantJointHead(head.requires_grad_(False).eval())
    frozen_head: nn.Module = head.requires_grad_(False).eval()
    return frozen_head


def write_graph(graph: nn.Module, example: Tensor, path: Path, axes: dict[int, str], *, int8: bool) -> None:
    """Write one ONNX file whose named axes have any size.

    Raises:
        RunError: torch cannot export the encoder.

    """
    path.parent.mkdir(parents=True, exist_ok=True)
    free = ({axis: torch.export.Dim.DYNAMIC for axis in axes},)
    size = sum(p.numel() * p.element_size() for p in graph.parameters())
    names = {"input_names": ["text" if len(axes) > 1 else "image"], "output_names": ["unit_vectors"]}
    try:
        program: Any = torch.onnx.export(graph, (example,), dynamic_shapes=free, dynamo=True, verbose=False, **names)  # type: ignore[arg-type]
    except Exception as error:  # noqa: BLE001 (torch's exporter raises many types; all mean that the tower has an operation it does not know)
        raise RunError(
            f"torch cannot turn this run's {path.parent.name} side into a graph: "
            f"{str(error).strip().splitlines()[0][:200]}"
        ) from error
    program.save(path, external_data=size > ONE_FILE)
    if int8:
        quantise(path)


def quantise(path: Path) -> None:
    """Convert the weights of matrix products and embedding matrices to 8 bits with onnxruntime; activations stay
    float32.

    Products are quantized by blocks of weights: onnxruntime's dynamic quantization, which rounds activations too, left
    e5-small a cosine of
    0.92. It quantizes the embedding matrices. Convolutions stay as they are.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # it writes into the home folder
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    products = MatMulNBitsQuantizer(onnx.load(path), bits=8, block_size=BLOCK, is_symmetric=True)
    products.process()
    half = path.with_name("half.onnx")
    large = path.stat().st_size > ONE_FILE or bool(list(path.parent.glob("model.onnx.data")))
    products.model.save_model_to_file(str(half), large)
    for left in path.parent.glob("model.onnx*"):
        left.unlink()
    quantize_dynamic(
        half,
        path,
        op_types_to_quantize=["Gather"],
        weight_type=QuantType.QInt8,
        per_channel=True,
        use_external_data_format=large,
    )
    for left in path.parent.glob("half.onnx*"):
        left.unlink()


def write_json(path: Path, table: dict[str, Any]) -> None:
    """Write a JSON file in UTF-8."""
    path.write_text(json.dumps(table, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def find_limits(plan: Plan) -> Limits:
    """Reasons against an export, as `polyclip.exporters.base.Target.limits`: a tokenizer that cannot be written."""
    return Limits(limit_tokenizer(plan))


TARGET = Target(
    about="graphs of both towers in immich's layout; every method",
    needs=("onnx", "onnxscript", "onnxruntime"),
    write=write,
    limits=find_limits,
    int8=True,
    pads=True,
    checks=("torch",),
)
