"""The model: two frozen encoders, a projection head on each, and the small parts that a method trained inside them."""

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from polyclip.core.device import current_device, pick_device
from polyclip.core.encode_precision import name_precision
from polyclip.core.progress import show_messages
from polyclip.core.randomness import keep_random_state
from polyclip.core.registry import find
from polyclip.core.vectors import normalize
from polyclip.data.inputs import ImageLike, image_sources, is_one_image
from polyclip.errors import DataError, RunError, UnknownName, WeightsError
from polyclip.languages.normalize import normalize_input
from polyclip.models.backbone import describe
from polyclip.models.batches import use_batch_size
from polyclip.models.branch import TUNED, Branch, counts
from polyclip.models.config import ModelConfig
from polyclip.models.hub import REPOSITORY, publish
from polyclip.models.labels import Prediction, fill_prompts, prediction_of
from polyclip.models.losses import LOSSES, STARTS
from polyclip.models.method import Method
from polyclip.models.model_checks import check_finite, check_head, check_state
from polyclip.models.model_file import ModelParts, locate, read_parts, read_settings_beside, save_model, write_parts

START_SCALE = 1 / 0.07  # Radford et al. 2021
MAX_SCALE = 100.0


class PolyCLIP(nn.Module):
    """A text branch, a vision branch and the logit scale. What `requires_grad` is trained; nothing else is saved.

    Frozen encoders are built when something is encoded that is not in the cache, on the model's device and in its
    type; until then they are no submodules, and `state_dict()` never holds them.

    Attributes:
        text: Text encoder and head.
        vision: Vision encoder and head.
        config: What the model is made of.
        source: The folder that it was loaded from, or owner/name@commit; empty for a new one.
        settings: Settings of the run that it comes from; empty for a model without one.

    """

    def __init__(self, recipe: ModelConfig) -> None:
        super().__init__()
        self.config = recipe
        self.source = ""  # the folder it was loaded from, or owner/name@commit
        self.settings: dict[str, Any] = {}  # run.toml of the run that it comes from
        self.method: Method = find("methods", recipe.method).METHOD
        self.loss = recipe.loss or self.method.loss
        for kind, name, known in (("loss", self.loss, LOSSES), ("tune", recipe.tune, TUNED)):
            if name not in known:
                raise UnknownName(kind, name, known)
        self.text = Branch("text", describe("encoders", recipe.text_encoder), recipe, recipe.text_dropout)
        self.vision = Branch("vision", describe("towers", recipe.vision_tower), recipe, recipe.image_dropout)
        scale, bias = STARTS.get(self.loss, (START_SCALE, 0.0))
        trained = self.method.solve is None
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)), requires_grad=trained and self.loss != "mse")
        self.logit_bias = nn.Parameter(torch.tensor(bias), requires_grad=trained and self.loss in STARTS)

    def __repr__(self) -> str:
        """One line: the method, both encoders, the languages and the folder, where they are known."""
        recipe, languages = self.config, self.settings.get("languages", [])
        named = f", languages={'+'.join(languages)}" if languages else ""
        where = f", source={self.source!r}" if self.source else ""
        return f"PolyCLIP({recipe.method}: {recipe.text_encoder} + {recipe.vision_tower}, dim={self.dim}{named}{where})"

    def scale(self) -> Float[Tensor, ""]:
        """Inverse temperature, at most 100 (Radford et al. 2021)."""
        return self.log_scale.clamp(max=math.log(MAX_SCALE)).exp()

    def forward(self, text: dict[str, Any], image: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Embed what a training step feeds both branches with: text and image embeddings, logit scale and bias."""
        return self.text(text), self.vision(image), self.scale(), self.logit_bias

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path,
        *,
        revision: str | None = None,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        cache_dir: str | Path | None = None,
    ) -> "PolyCLIP":
        """Load a model that `polyclip align` made.

        Args:
            name_or_path: A run folder, or owner/name of a run on the Hugging Face hub.
            revision: Branch, tag or commit on the hub.
            device: Where it runs: `cpu`, `cuda`, `cuda:1`, `mps`; by default the best there is. GPUs are
                experimental.
            dtype: Of the encoders: `torch.float32`, `torch.bfloat16`, on a GPU also `torch.float16`; on a CPU that of
                their matrix products alone, with weights, sums and embeddings in float32. By default bfloat16 on a CPU
                that multiplies it in hardware, else float32.
            cache_dir: Where files from the hub are kept; by default the hub's own cache.

        Returns:
            The model in eval mode; `source` says what was loaded, of the hub with the commit.

        Raises:
            RunError: `name_or_path` is not a run folder, or `revision` was given for a folder.
            WeightsError: A repository cannot be fetched or is not a run, a file is damaged, or the encoders at hand are
                not those that the model was trained on.
            PolyclipError: There is no such device, or `dtype` does not work on it.

        Example:
            >>> model = PolyCLIP.from_pretrained("runs/sw-head-mlp")
            >>> model.encode_text("mbwa mweusi").shape
            torch.Size([383])

        """
        place = pick_device(device)
        model = load_model(name_or_path, revision=revision, cache_dir=cache_dir).to(place)
        for side in (model.text, model.vision):
            side.precision = name_precision(dtype, place)
        return model if dtype is None or place.type == "cpu" else model.to(dtype)

    def save_pretrained(self, path: str | Path) -> None:
        """Write the model into a folder that `from_pretrained` reads.

        Args:
            path: The folder; made where it does not exist. It receives `aligner.safetensors` (trained parts alone) and,
                for a model that came from a run, that run's settings, scores and model card.

        Raises:
            RunError: `path` is a file.
            PolyclipError: The disk is full.

        Example:
            >>> model.save_pretrained("models/sw")

        """
        save_model(self.parts(), Path(path), self.settings, self.source)

    def push_to_hub(self, repo_id: str, *, private: bool = False, revision: str | None = None) -> str:
        """Publish the model on the Hugging Face hub.

        Args:
            repo_id: owner/name; made where it does not exist.
            private: Whether a new repository is private.
            revision: Branch to write to.

        Returns:
            The address of the commit.

        Raises:
            RunError: `repo_id` is not written owner/name.
            WeightsError: The hub refuses or cannot be reached.

        Example:
            >>> model.push_to_hub("your-name/clip-sw", private=True)

        """
        if REPOSITORY.fullmatch(repo_id) is None:
            raise RunError(f"{repo_id!r} is not a name on the hub; expected owner/name.")
        with TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            files = sorted(Path(folder).iterdir())
            return publish(repo_id, files, "Add a polyclip model", revision=revision, private=private)[1]

    def encode_text(
        self,
        texts: str | Sequence[str],
        language: str | None = None,
        *,
        batch_size: int | None = None,
        normalize: bool = True,
        convert_to_numpy: bool = False,
        show_progress_bar: bool = False,
    ) -> Any:
        """Embed one text or several.

        Args:
            texts: One text or several.
            language: Code or name of their language, whose pack says how they are normalized; NFC without one.
            batch_size: The most texts in a batch; by default as many as are efficient on the device.
            normalize: False for what the head computes before it normalizes to length 1; of a head of several members
                each is normalized by itself, so that cosines of these are not the model's.
            convert_to_numpy: Return a numpy array in place of a tensor.
            show_progress_bar: Show progress on standard error.

        Returns:
            Unit vectors in float32 on the CPU: [dim] for one text, [text, dim] for several.

        Raises:
            DataError: A text has nothing visible in it, or is no text.
            PolyclipError: `batch_size` is not a whole number, at least 1.
            UnknownName: There is no pack for the language.

        Example:
            >>> model.encode_text(["mbwa", "paka"], language="sw").shape
            torch.Size([2, 383])

        """
        single = isinstance(texts, str)
        if not isinstance(texts, str | Iterable):
            raise DataError(f"Expected a text or several, found a {type(texts).__name__}.")
        given = normalize_input([texts] if isinstance(texts, str) else list(texts), language or "")
        with show_messages(show_progress_bar), use_batch_size(batch_size):
            found = self.text.embed(given, "captions", keep=False, normalize=normalize)
        return as_asked(found[0] if single else found, convert_to_numpy)

    def encode_image(
        self,
        images: ImageLike | Sequence[ImageLike],
        *,
        batch_size: int | None = None,
        normalize: bool = True,
        convert_to_numpy: bool = False,
        show_progress_bar: bool = False,
    ) -> Any:
        """Embed one image or several.

        Args:
            images: One image or several: paths, PIL images, numpy arrays [height, width, channel] or tensors
                [channel, height, width]; integers in [0, 255], floats in [0, 1]. EXIF orientation is applied,
                transparent parts are white.
            batch_size: The most images in a batch; by default as many as are efficient on the device.
            normalize: False for what the head computes before it normalizes to length 1; of a head of several members
                each is normalized by itself, so that cosines of these are not the model's.
            convert_to_numpy: Return a numpy array in place of a tensor.
            show_progress_bar: Show progress on standard error.

        Returns:
            Unit vectors in float32 on the CPU: [dim] for one image, [image, dim] for several.

        Raises:
            DataError: Something is not an image, cannot be decoded, or has too many pixels; it is named.
            PolyclipError: `batch_size` is not a whole number, at least 1.

        Example:
            >>> model.encode_image(["dog.jpg", "cat.jpg"]).shape
            torch.Size([2, 383])

        """
        single = is_one_image(images)
        sources = image_sources([images] if single else list(images))
        with show_messages(show_progress_bar), use_batch_size(batch_size):
            found = self.vision.embed(sources, "images", keep=False, normalize=normalize)
        return as_asked(found[0] if single else found, convert_to_numpy)

    def similarity(self, text: Any, image: Any) -> Float[Tensor, "text image"]:
        """Cosine similarity of every text with every image.

        Args:
            text: Embeddings [text, dim] or [dim].
            image: Embeddings [image, dim] or [dim].

        Returns:
            Values in [-1, 1].

        Raises:
            DataError: Their lengths differ.

        Example:
            >>> model.similarity(model.encode_text(["mbwa", "paka"]), model.encode_image("dog.jpg")).shape
            torch.Size([2, 1])

        """
        first, second = (torch.atleast_2d(torch.as_tensor(given)).float() for given in (text, image))
        if first.shape[1] != second.shape[1]:
            raise DataError(f"Embeddings of length {first.shape[1]} and {second.shape[1]} cannot be compared.")
        return normalize(first) @ normalize(second).T

    def classify(
        self,
        images: ImageLike | Sequence[ImageLike],
        labels: Sequence[str],
        *,
        language: str | None = None,
        templates: Sequence[str] | None = None,
    ) -> list[Prediction]:
        """Give each image the nearest of some labels (zero-shot classification).

        Args:
            images: As in `encode_image`.
            labels: Two or more names, in any language.
            language: Code or name of the labels' language: its pack has the prompts and the normalization.
            templates: Prompts with one `{}` each, in place of the language's.

        Returns:
            One prediction an image, with the probability of every label.

        Raises:
            DataError: Fewer than two labels, one twice, or a template without `{}`; and as `encode_image` raises.
            UnknownName: There is no pack for the language.

        Example:
            >>> model.classify("dog.jpg", ["mbwa", "paka"], language="sw")[0].label
            'mbwa'

        """
        prompts = fill_prompts(labels, language, templates)
        texts = self.encode_text([text for group in prompts for text in group], language)
        means = texts.view(len(labels), -1, texts.shape[1]).mean(1)
        found = self.encode_image([images] if is_one_image(images) else images)
        with torch.inference_mode():
            shares = (self.scale().float().cpu() * self.similarity(means, found).T).softmax(dim=1)
        return [prediction_of(labels, row.tolist()) for row in shares]

    @property
    def device(self) -> torch.device:
        """Where the model runs."""
        return self.text.device

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        config = self.config
        return config.anchors or config.space or config.dim * self.method.members

    @property
    def languages(self) -> tuple[str, ...]:
        """Codes of the languages that it was trained on; empty for a model that does not come from a run."""
        return tuple(self.settings.get("languages", ()))

    @property
    def logit_scale(self) -> Float[Tensor, ""]:
        """Inverse temperature of the similarities, at most 100."""
        return self.scale()

    @property
    def tokenizer(self) -> Callable[[Sequence[str]], dict[str, Tensor]]:
        """Texts to token ids and attention mask, each [text, longest text], as the text encoder reads them."""
        return self.text.running_encoder().prepare

    @property
    def preprocess(self) -> Callable[[ImageLike], Float[Tensor, "3 height width"]]:
        """An image to the pixels that the vision encoder reads."""
        encoder = self.vision.running_encoder()
        return lambda image: encoder.start(encoder.prepare(image_sources([image])))["pixels"][0]

    def counts(self) -> dict[str, int | float]:
        """Trained and total parameters, and the trained share with and without the token table."""
        return counts((self.text, self.vision), [self.log_scale, self.logit_bias])

    def state(self) -> dict[str, Tensor]:
        """Trained parameters and the whole heads by name, with their constants and a head taken over from a teacher."""
        heads = {
            f"{side.kind}.head.{name}": tensor
            for side in (self.text, self.vision)
            for name, tensor in side.head.state_dict().items()
        }
        return {n: p.detach() for n, p in self.named_parameters() if p.requires_grad} | heads

    def set_state(self, state: dict[str, Tensor], where: str) -> None:
        """Put a state in.

        Args:
            state: Tensors by name, as `state` returns them.
            where: Where they come from, for messages.

        Raises:
            WeightsError: A tensor is missing, unexpected or of another shape.

        """
        own = self.state()
        check_state(own, state, self.config.method, where)
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(state[name])

    def parts(self) -> ModelParts:
        """What the model's file holds: configuration, trained tensors, and on which encoders they were trained."""
        identities = {"text_encoder": self.text.tower.identity, "vision_tower": self.vision.tower.identity}
        return ModelParts(self.config, identities, self.state())

    def save(self, path: str | Path) -> None:
        """Write the trained parts to a `.safetensors` file; any other path is a folder, as in `save_pretrained`."""
        if Path(path).suffix == ".safetensors":
            write_parts(self.parts(), Path(path))
        else:
            self.save_pretrained(path)


def as_asked(found: Tensor, convert_to_numpy: bool) -> Any:
    """A tensor, or the numpy array that shares its memory."""
    return found.numpy() if convert_to_numpy else found


def load_model(run: str | Path, *, revision: str | None = None, cache_dir: str | Path | None = None) -> PolyCLIP:
    """Load a model onto the device in use (`polyclip.core.device.use_device`), else the best there is.

    Args:
        run: A run folder, an `aligner.safetensors`, or owner/name of a run on the hub.
        revision: Branch, tag or commit on the hub.
        cache_dir: Where files from the hub are kept.

    Returns:
        The model in eval mode.

    Raises:
        RunError: `run` is not a run folder.
        WeightsError: As `PolyCLIP.from_pretrained` does.

    """
    folder, source = locate(run, revision, cache_dir)
    parts = read_parts(folder)
    with keep_random_state():
        model = PolyCLIP(parts.config)
    for branch, (key, made_on) in zip((model.text, model.vision), parts.identities.items(), strict=True):
        if branch.tower.identity != made_on:
            raise WeightsError(
                f"{folder} was trained on another {key.replace('_', ' ')} than {branch.tower.name} here: identity "
                f"{made_on[:16]} in the file, {branch.tower.identity[:16]} at hand. Install the version it was "
                "trained with, or align again."
            )
    check_finite(parts.state, str(folder))
    model.set_state(parts.state, str(folder))
    model.eval()
    for branch in (model.text, model.vision):
        check_head(branch, str(folder))
    model.source, model.settings = source, read_settings_beside(folder)
    return model.to(current_device())
