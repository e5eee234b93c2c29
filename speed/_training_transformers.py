"""transformers' VisionTextDualEncoderModel with its Trainer, and sentence-transformers' Router, with a frozen vision
encoder.
"""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import IterableDataset

from speed._material import TIMM_NAME, load_trunk, text_encoder_folder, to_pixels
from speed._trial import Material, Trial, build_judge
from speed._worker import Turn

DIM = 384


def build_dual_encoder(settings: dict[str, Any]) -> Any:
    """Build the model; mean pooling, which transformers' BertModel lacks, is added by a subclass."""
    from transformers import (
        BertModel,
        TimmWrapperConfig,
        TimmWrapperModel,
        VisionTextDualEncoderConfig,
        VisionTextDualEncoderModel,
    )

    class Mean(BertModel):  # type: ignore[misc]
        def forward(self, input_ids: Tensor, attention_mask: Tensor, **options: Any) -> Any:
            found = super().forward(input_ids=input_ids, attention_mask=attention_mask, return_dict=True)
            mask = attention_mask[..., None].to(found.last_hidden_state.dtype)
            found["pooler_output"] = (found.last_hidden_state * mask).sum(1) / mask.sum(1)
            return found

    class Locked(TimmWrapperModel):  # type: ignore[misc]
        def train(self, mode: bool = True) -> Any:
            return super().train(False)  # else BatchNorm's statistics change

    text = Mean.from_pretrained(text_encoder_folder(settings), add_pooling_layer=False)
    vision = Locked(TimmWrapperConfig(architecture=TIMM_NAME))
    vision.config.hidden_size = vision.timm_model.num_features
    load_trunk(vision.timm_model)
    vision.requires_grad_(False)
    config = VisionTextDualEncoderConfig.from_vision_text_configs(
        vision.config, text.config, projection_dim=DIM, logit_scale_init_value=math.log(1 / 0.07)
    )
    return VisionTextDualEncoderModel(config=config, vision_model=vision, text_model=text)


class Steps(IterableDataset):
    """Yields (step, pair) in order."""

    def __init__(self, steps: int, batch: int) -> None:
        self.steps, self.batch = steps, batch

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((step, pair) for step in range(self.steps) for pair in range(self.batch))


def trainer(settings: dict[str, Any], turn: Turn) -> None:
    """Train with transformers' Trainer: its own loop, optimizer and schedule."""
    from transformers import AutoTokenizer, Trainer, TrainerCallback, TrainingArguments

    material, model = Material.read(settings), build_dual_encoder(settings)
    tokenizer = AutoTokenizer.from_pretrained(text_encoder_folder(settings))

    def collate(rows: list[tuple[int, int]]) -> dict[str, Any]:
        number = rows[0][0]
        tokens = tokenizer(material.captions[number], padding=True, return_tensors="pt")
        return {**tokens, "pixel_values": to_pixels(material.step_images(number)), "return_loss": True}

    trial = Trial(
        settings,
        turn,
        make_judge(model, tokenizer, material),
        trained_parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
    )

    class Referee(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            trial.begin(state.global_step)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            trial.end(state.global_step - 1)

    steps = settings["steps"]
    arguments = TrainingArguments(
        output_dir=mkdtemp(dir=settings["work"]),
        max_steps=steps + 1,
        per_device_train_batch_size=settings["batch"],
        learning_rate=settings["peer_rate"],
        warmup_steps=max(1, math.ceil(0.1 * steps)),
        lr_scheduler_type="cosine",
        weight_decay=0.1,
        adam_beta2=0.98,
        adam_epsilon=1e-6,
        max_grad_norm=1.0,
        save_strategy="no",
        report_to="none",
        logging_strategy="no",
        disable_tqdm=True,
        dataloader_num_workers=0,
        use_cpu=True,
        remove_unused_columns=False,
        seed=0,
    )
    Trainer(
        model=model,
        args=arguments,
        train_dataset=Steps(steps + 1, settings["batch"]),
        data_collator=collate,
        callbacks=[Referee()],
    ).train()


def make_judge(model: Any, tokenizer: Any, material: Material) -> Callable[[], float]:
    """Make the validation function of transformers' model."""

    def pictures() -> Tensor:
        return torch.cat(
            [model.vision_model(pixel_values=to_pixels(part)).pooler_output for part in material.judged.split(16)]
        )

    def vectors(seen: Tensor) -> tuple[Tensor, Tensor]:
        parts = [
            tokenizer(material.names[start : start + 64], padding=True, return_tensors="pt")
            for start in range(0, len(material.names), 64)
        ]
        text = [
            model.text_projection(
                model.text_model(input_ids=p["input_ids"], attention_mask=p["attention_mask"]).pooler_output
            )
            for p in parts
        ]
        return torch.cat(text), model.visual_projection(seen)

    return build_judge(model, material, pictures, vectors)


def build_router(settings: dict[str, Any]) -> Any:
    """Build sentence-transformers' model: text and images routed by kind, each with a linear layer; its timm module is
    ours.
    """
    import timm
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import InputModule, Router
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer

    class Pictures(InputModule):  # type: ignore[misc]
        modalities = ["image"]

        def __init__(self) -> None:
            super().__init__()
            self.trunk: Any = timm.create_model(TIMM_NAME, num_classes=0)
            load_trunk(self.trunk)
            self.trunk.requires_grad_(False)

        def train(self, mode: bool = True) -> Any:
            return super().train(False)

        def preprocess(self, inputs: Any, prompt: Any = None, **_: Any) -> dict[str, Any]:
            return {
                "pixels": to_pixels(torch.stack([torch.from_numpy(array) for array in inputs])),
                "modality": "image",
            }

        def forward(self, features: dict[str, Any], **_: Any) -> dict[str, Any]:
            return features | {"sentence_embedding": self.trunk(features["pixels"])}

        def save(self, output_path: str, *_: Any, **__: Any) -> None:  # required by the library
            save_file(self.trunk.state_dict(), Path(output_path) / "model.safetensors")

    width = Pictures().trunk.num_features
    linear = {"bias": False, "activation_function": nn.Identity()}
    text = [Transformer(text_encoder_folder(settings)), Pooling(DIM, "mean"), Dense(DIM, DIM, **linear)]
    routes = Router(
        {"text": text, "image": [Pictures(), Dense(width, DIM, **linear)]},
        route_mappings={(None, "text"): "text", (None, "image"): "image"},
    )
    return SentenceTransformer(modules=[routes, Normalize()], device="cpu")


def sentence_transformers(settings: dict[str, Any], turn: Turn) -> None:
    """Train its model and loss (MultipleNegativesSymmetricRankingLoss, whose scale is fixed) in a plain loop.

    Its own trainer is transformers', which is measured beside it and requires images in a `datasets` table, which would
    be measured too.
    """
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesSymmetricRankingLoss
    from transformers import get_cosine_schedule_with_warmup

    material, model = Material.read(settings), build_router(settings)
    routes, steps = model[0], settings["steps"]
    image = routes.sub_modules["image"]
    loss_of = MultipleNegativesSymmetricRankingLoss(model)
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": 0.1},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=settings["peer_rate"], betas=(0.9, 0.98), eps=1e-6)
    scheduler = get_cosine_schedule_with_warmup(optimizer, max(1, math.ceil(0.1 * steps)), steps + 1)

    def pictures() -> Tensor:
        return torch.cat([image[0].trunk(to_pixels(part)) for part in material.judged.split(16)])

    def vectors(seen: Tensor) -> tuple[Tensor, Tensor]:
        names = material.names
        found = [
            model(prepare_inputs(routes, names[start : start + 64], "text"))["sentence_embedding"]
            for start in range(0, len(names), 64)
        ]
        return torch.cat(found), image[1]({"sentence_embedding": seen})["sentence_embedding"]

    judge = build_judge(model, material, pictures, vectors)
    trial = Trial(settings, turn, judge, trained_parameters=sum(p.numel() for p in trained))
    for number in range(steps + 1):
        trial.begin(number)
        pair = [
            prepare_inputs(routes, material.captions[number], "text"),
            prepare_inputs(routes, list(material.step_images(number).numpy()), "image"),
        ]
        loss_of(pair, None).backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        trial.end(number)


def prepare_inputs(routes: Any, items: list[Any], kind: str) -> dict[str, Any]:
    """Prepare the router's inputs, with their kind given instead of guessed."""
    return routes.sub_modules[kind][0].preprocess(items) | {"modality": kind}
