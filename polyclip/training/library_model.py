"""`--from open_clip:MODEL`: an aligned model of another library as both encoders."""

from dataclasses import replace
from pathlib import Path

from polyclip.core.registry import list_names, to_module_name
from polyclip.errors import PolyclipError
from polyclip.training.options import AlignOptions


def apply_library_model(options: AlignOptions) -> AlignOptions:
    """Replace `--from KIND:MODEL` by that model's two encoders.

    A run folder is left to `polyclip.training.finetune`.

    Args:
        options: Options of `polyclip align`.

    Returns:
        The same options, or with both encoders set.

    Raises:
        PolyclipError: An encoder was named as well, or the kind of model reads captions alone.

    """
    text = str(options.start or "")
    kind = to_module_name(text.partition(":")[0])
    if ":" not in text or Path(text).exists() or kind not in map(to_module_name, list_names("encoders")):
        return options
    if kind not in map(to_module_name, list_names("towers")):
        raise PolyclipError(
            f"--from {text}: {kind} models read captions alone; write --text-encoder {text} and name a --vision-tower."
        )
    wrong = [f"--{name.replace('_', '-')}" for name in ("text_encoder", "vision_tower") if name in options.typed]
    if wrong:
        raise PolyclipError(f"--from {text} sets both towers and cannot be combined with {' and '.join(wrong)}.")
    return replace(
        options,
        start=None,
        text_encoder=text,
        vision_tower=text,
        typed=options.typed - {"start"} | {"text_encoder", "vision_tower"},
    )
