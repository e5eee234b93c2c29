"""open_clip's own training program, `open_clip_train.main`, with `--lock-image`, on the same weights, pairs and
schedule.

Model, optimizer, schedule, loss and epoch are its own code. Four of its names are patched: its data source, the initial
weights of its
vision encoder (it loads them from a hub only), the entry to the epoch, so that the model can be validated, and the
freezing of BatchNorm
statistics, by timm's function, since open_clip's own removes the activations of timm's layers (BatchNormAct2d).
"""

import json
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import torch
from torch import Tensor

from speed._material import TIMM_NAME, load_trunk, text_encoder_folder, to_pixels
from speed._trial import Material, Trial, build_judge
from speed._worker import Turn

NAME = "e5-small-efficientnet-lite0"
DIM = 384


def register_model(folder: Path, text: str, size: int, context: int) -> None:
    """Register the model with open_clip under NAME: a timm tower and a text encoder from a local folder."""
    import open_clip

    text_part = {
        "hf_model_name": text,
        "hf_tokenizer_name": text,
        "hf_pooler_type": "mean_pooler",
        "hf_proj_type": "linear",
        "context_length": context,
    }
    image_part = {
        "timm_model_name": TIMM_NAME,
        "timm_model_pretrained": False,
        "timm_pool": "avg",
        "timm_proj": "linear",
        "image_size": size,
    }
    path = folder / f"{NAME}.json"
    path.write_text(json.dumps({"embed_dim": DIM, "vision_cfg": image_part, "text_cfg": text_part}), "utf-8")
    open_clip.add_model_config(path)


class Loader:
    """A data loader as open_clip expects it; tells the trial where steps begin and end."""

    def __init__(self, steps: int, material: Material, tokenizer: Any) -> None:
        self.num_batches, self.num_samples = steps + 1, len(material.captions[0]) * (steps + 1)
        self.material, self.tokenizer, self.trial = material, tokenizer, None

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        trial: Any = self.trial
        for number in range(self.num_batches):
            trial.begin(number)
            yield to_pixels(self.material.step_images(number)), self.tokenizer(self.material.captions[number])
            trial.end(number)


def make_judge(model: Any, tokenizer: Any, material: Material) -> Callable[[], float]:
    """Make the validation function; padding beyond the longest name is cut (it is masked)."""

    def pictures() -> Tensor:
        return torch.cat([model.visual.trunk(to_pixels(part)) for part in material.judged.split(16)])

    def vectors(seen: Tensor) -> tuple[Tensor, Tensor]:
        tokens = tokenizer(material.names)
        tokens = tokens[:, : int((tokens != model.text.config.pad_token_id).sum(1).max())]
        return torch.cat([model.encode_text(part) for part in tokens.split(64)]), model.visual.head(seen)

    return build_judge(model, material, pictures, vectors)


def train(settings: dict[str, Any], turn: Turn) -> None:
    """Run open_clip's training; `settings["context"]` is the number of tokens that captions are padded to, 77 by
    default.
    """
    import open_clip.timm_model
    import open_clip_train.main as program
    from open_clip_train.data import DataInfo
    from timm.layers import freeze_batch_norm_2d

    folder = Path(mkdtemp(dir=settings["work"]))
    os.chdir(folder)  # it creates a log folder even without logging
    register_model(folder, text_encoder_folder(settings), settings["pixels"], settings["context"])
    material = Material.read(settings)
    create, epoch_of = program.create_model_and_transforms, program.train_one_epoch
    loaders: list[Loader] = []

    def created(*arguments: Any, **options: Any) -> Any:
        model, *transforms = create(*arguments, **options)
        load_trunk(model.visual.trunk)
        return model, *transforms

    def data(*_: Any, tokenizer: Any, **__: Any) -> dict[str, Any]:
        loaders.append(Loader(settings["steps"], material, tokenizer))
        return {"train": DataInfo(loaders[0])}

    def epoch(model: Any, *rest: Any, **options: Any) -> None:
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
        loaders[0].trial = Trial(
            settings, turn, make_judge(model, loaders[0].tokenizer, material), trained_parameters=trained
        )  # type: ignore[assignment]
        epoch_of(model, *rest, **options)

    program.create_model_and_transforms, program.get_data, program.train_one_epoch = created, data, epoch
    open_clip.timm_model.freeze_batch_norm_2d = freeze_batch_norm_2d
    program.main(build_arguments(settings))


def build_arguments(settings: dict[str, Any]) -> list[str]:
    """Build its command line: clipping, warm-up, betas and decay of polyclip, and the best of the learning rates
    tried.
    """
    warm_up = max(1, math.ceil(0.1 * settings["steps"]))
    given = {
        "model": NAME,
        "train-data": "none",
        "dataset-type": "csv",
        "batch-size": settings["batch"],
        "epochs": 1,
        "lr": settings["peer_rate"],
        "warmup": warm_up,
        "wd": 0.1,
        "beta1": 0.9,
        "beta2": 0.98,
        "eps": 1e-6,
        "grad-clip-norm": 1.0,
        "precision": "fp32",
        "workers": 0,
        "logs": "none",
        "seed": 0,
        "log-every-n-steps": 10**9,
    }
    flags = ["--lock-image", "--lock-image-freeze-bn-stats"]
    return [part for key, value in given.items() for part in (f"--{key}", str(value))] + flags
