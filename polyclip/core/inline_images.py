"""Images in terminals that show them: kitty's graphics protocol, and iTerm2's inline images.

Which one a terminal knows is told by its environment alone: nothing is asked of the terminal itself.
"""

import base64
from typing import Literal

from polyclip.core.environment import read_variable

Protocol = Literal["kitty", "iterm2"]
KNOWN: dict[str, Protocol] = {  # by TERM_PROGRAM; mintty and WezTerm show iTerm2's, too
    "ghostty": "kitty",
    "kitty": "kitty",
    "iTerm.app": "iterm2",
    "WezTerm": "iterm2",
    "mintty": "iterm2",
}
NAMES = "kitty, Ghostty, iTerm2, WezTerm and mintty"
TERMS: dict[str, Protocol] = {"xterm-kitty": "kitty", "xterm-ghostty": "kitty"}
CHUNK = 4096  # bytes of base64 that kitty takes at once


def find_protocol() -> Protocol | None:
    """Find out how the terminal of this process shows images; whether anything is printed to it, others look.

    Returns:
        The protocol; None for a terminal that is not known to show images, and within tmux and screen, which would not
        hand it on.

    """
    term = read_variable("TERM")
    if term == "dumb" or term.startswith(("tmux", "screen")):
        return None
    if read_variable("TMUX") or read_variable("STY"):
        return None
    if term in TERMS:
        return TERMS[term]
    if read_variable("KITTY_WINDOW_ID"):
        return "kitty"
    return KNOWN.get(read_variable("TERM_PROGRAM")) or ("iterm2" if read_variable("LC_TERMINAL") == "iTerm2" else None)


def format_image(png: bytes, protocol: Protocol, columns: int, lines: int) -> str:
    """Format an image as what a terminal shows it by.

    Args:
        png: A PNG file.
        protocol: The terminal's.
        columns: Columns that the image is wide.
        lines: Lines that it is high in kitty, of which older ones keep no proportions by themselves.

    Returns:
        Escape sequences and a line break.

    """
    data = base64.b64encode(png).decode()
    if protocol == "iterm2":
        about = f"inline=1;size={len(png)};width={columns};preserveAspectRatio=1"
        return f"\x1b]1337;File={about}:{data}\x07\n"
    parts = [data[at : at + CHUNK] for at in range(0, len(data), CHUNK)]
    keys = ["m=1"] * (len(parts) - 1) + ["m=0"]
    keys[0] = (
        f"a=T,f=100,q=2,c={columns},r={lines},{keys[0]}"  # shown at once, a PNG, without an answer from the terminal
    )
    return "".join(f"\x1b_G{key};{part}\x1b\\" for key, part in zip(keys, parts, strict=True)) + "\n"
