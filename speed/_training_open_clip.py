"""open_clip's own training program, `open_clip_train.main`, with `--lock-image`, on the same weights, pairs and schedule.

Its model, optimiser, schedule, loss and epoch are its own code. Four of its names are given other values: where its data comes from, what
its image tower starts with (it can load that from a hub alone), the epoch is entered with its model known, so that it can be judged, and
statistics of BatchNorm are frozen by timm's function, since open_clip's own takes the activations out of timm's layers (BatchNormAct2d).
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

from speed._material import TIMM_NAME, e5, load_trunk, pixels
from speed._trial import Material, Trial, judge_of
from speed._worker import Turn

NAME = "e5-small-efficientnet-lite0"
DIM = 384


def register(folder: Path, text: str, size: int, context: int) -> None:
    """Make the model known to open_clip under NAME: a timm tower and a text tower from a local folder."""
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
    """What open_clip asks of a data loader; tells the trial where steps begin and end."""

    def __init__(self, steps: int, material: Material, tokenizer: Any) -> None:
        self.num_batches, self.num_samples = steps + 1, len(material.captions[0]) * (steps + 1)
        self.material, self.tokenizer, self.trial = material, tokenizer, None

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        trial: Any = self.trial
        for number in range(self.num_batches):
            trial.begin(number)
            yield pixels(self.material.bytes_of(number)), self.tokenizer(self.material.captions[number])
            trial.end(number)


def judged(model: Any, tokenizer: Any, material: Material) -> Callable[[], float]:
    """Its judge; padding beyond the longest name is left out (it is masked)."""

    def pictures() -> Tensor:
        return torch.cat([model.visual.trunk(pixels(part)) for part in material.judged.split(16)])

    def vectors(seen: Tensor) -> tuple[Tensor, Tensor]:
        tokens = tokenizer(material.names)
        tokens = tokens[:, : int((tokens != model.text.config.pad_token_id).sum(1).max())]
        return torch.cat([model.encode_text(part) for part in tokens.split(64)]), model.visual.head(seen)

    return judge_of(model, material, pictures, vectors)


def train(settings: dict[str, Any], turn: Turn) -> None:
    """`settings["context"]` is how many tokens every caption is padded to; 77 is open_clip's own default."""
    import open_clip.timm_model
    import open_clip_train.main as program
    from open_clip_train.data import DataInfo
    from timm.layers import freeze_batch_norm_2d

    folder = Path(mkdtemp(dir=settings["work"]))
    os.chdir(folder)  # it makes a folder for logs even where told not to log
    register(folder, e5(settings), settings["pixels"], settings["context"])
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
            settings, turn, judged(model, loaders[0].tokenizer, material), trained_parameters=trained
        )  # type: ignore[assignment]
        epoch_of(model, *rest, **options)

    program.create_model_and_transforms, program.get_data, program.train_one_epoch = created, data, epoch
    open_clip.timm_model.freeze_batch_norm_2d = freeze_batch_norm_2d
    program.main(arguments(settings))


def arguments(settings: dict[str, Any]) -> list[str]:
    """Its command line. Clipping, warm-up, betas and decay are polyclip's; the rate is the one of those tried that served it best."""
    warm_up = max(1, math.ceil(0.1 * settings["steps"]))
    given = {
        "model": NAME, "train-data": "none", "dataset-type": "csv", "batch-size": settings["batch"], "epochs": 1, "lr": settings["peer_rate"],
        "warmup": warm_up, "wd": 0.1, "beta1": 0.9, "beta2": 0.98, "eps": 1e-6, "grad-clip-norm": 1.0, "precision": "fp32", "workers": 0,
        "logs": "none", "seed": 0, "log-every-n-steps": 10**9,
    }  # fmt: skip
    flags = ["--lock-image", "--lock-image-freeze-bn-stats"]
    return [part for key, value in given.items() for part in (f"--{key}", str(value))] + flags
