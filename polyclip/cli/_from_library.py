"""`--from open_clip:MODEL`: an aligned model of another library as the two towers."""

from dataclasses import replace
from pathlib import Path

from polyclip.cli._align_options import Options
from polyclip.core.registry import module_name, names
from polyclip.errors import PolyclipError


def imported(options: Options) -> Options:
    """The same options, where --from names KIND:MODEL, with that model's towers; a run folder is left to `polyclip.training.finetune`.

    Raises PolyclipError where a tower was named as well, or the kind of model reads captions alone.
    """
    text = str(options.start or "")
    kind = module_name(text.partition(":")[0])
    if ":" not in text or Path(text).exists() or kind not in map(module_name, names("encoders")):
        return options
    if kind not in map(module_name, names("towers")):
        raise PolyclipError(
            f"--from {text}: {kind} models read captions alone; write --text-encoder {text} and name a --vision-tower."
        )
    wrong = [f"--{name.replace('_', '-')}" for name in ("text_encoder", "vision_tower") if name in options.typed]
    if wrong:
        raise PolyclipError(
            f"--from {text} is both towers: leave {' and '.join(wrong)} out, or leave --from out and name the towers one by one."
        )
    return replace(
        options,
        start=None,
        text_encoder=text,
        vision_tower=text,
        typed=options.typed - {"start"} | {"text_encoder", "vision_tower"},
    )
