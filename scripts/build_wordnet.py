"""Make models/vocabulary/wordnet.tsv, the synsets that image classifiers are trained on with hypernyms and words, and
imagenet-1k.txt, the classes of ImageNet-1k in their order.

Reads `data.noun` of WordNet 3.0 (Debian: `apt-get install wordnet-base`) and timm's lists of synsets.

    python scripts/build_wordnet.py /usr/share/wordnet/data.noun
"""

import hashlib
import sys
from importlib.resources import files
from pathlib import Path

SHA256 = "fea17d2f9656611334eac790e5d69e47645fa180c4aa481fb4cd9b3520754ca2"  # of data.noun in WordNet 3.0
TARGET = Path(__file__).parents[1] / "polyclip" / "models" / "vocabulary" / "wordnet.tsv"
LISTS = (
    "imagenet_synsets",
    "imagenet12k_synsets",
    "imagenet22k_synsets",
    "imagenet21k_goog_synsets",
    "imagenet21k_miil_synsets",
)
ORDER = TARGET.with_name("imagenet-1k.txt")
POINTERS = ("@", "@i")  # hypernym, hypernym of an instance


def read_nouns(path: Path) -> dict[str, tuple[list[str], list[str]]]:
    """Hypernyms and words of every noun synset, by its id (`n` and the offset in data.noun)."""
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("  "):  # the licence
            continue
        fields = line.partition("|")[0].split()
        words = int(fields[3], 16)
        end = 4 + 2 * words
        pointers = [fields[end + 1 + 4 * number : end + 4 + 4 * number] for number in range(int(fields[end]))]
        hypernyms = [f"n{offset}" for kind, offset, part in pointers if kind in POINTERS and part == "n"]
        found[f"n{fields[0]}"] = (hypernyms, [word.replace("_", " ") for word in fields[4:end:2]])
    return found


def with_ancestors(synsets: set[str], nouns: dict[str, tuple[list[str], list[str]]]) -> set[str]:
    """The synsets and all that lie above them."""
    found: set[str] = set()
    waiting = list(synsets)
    while waiting:
        synset = waiting.pop()
        if synset not in found:
            found.add(synset)
            waiting += nouns[synset][0]
    return found


def main() -> None:
    """Write the table and the order of the classes."""
    source = Path(sys.argv[1])
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    if digest != SHA256:
        raise SystemExit(f"{source} is not data.noun of WordNet 3.0: SHA-256 {digest}, expected {SHA256}.")
    nouns = read_nouns(source)
    info = Path(str(files("timm.data"))) / "_info"
    listed = {synset for name in LISTS for synset in (info / f"{name}.txt").read_text().split() if synset in nouns}
    kept = sorted(with_ancestors(listed, nouns))
    lines = [f"{synset}\t{' '.join(nouns[synset][0])}\t{'|'.join(nouns[synset][1])}" for synset in kept]
    TARGET.write_text("\n".join(lines) + "\n", encoding="utf-8")
    ORDER.write_text((info / f"{LISTS[0]}.txt").read_text(), encoding="utf-8")
    print(f"{TARGET}: {len(lines)} synsets, {len(listed)} of them classes")


if __name__ == "__main__":
    main()
