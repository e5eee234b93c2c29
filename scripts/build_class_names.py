"""Make models/vocabulary/wordnet-names.tsv, names of ImageNet-1k's classes and of their hypernyms in other languages.

Reads wordnets of the Open Multilingual Wordnet (https://github.com/omwn/omw-data, commit f75be19), which link words to
WordNet 3.0. Their licences are WordNet's, MIT or Apache-2.0; WORDNETS-LICENSES beside the table has them. Of each
synset and language the first word of the file is kept.

    python scripts/build_class_names.py omw-data/wns
"""

import hashlib
import sys
from pathlib import Path

from polyclip.models.vocabulary.classes import list_nodes, list_synsets
from polyclip.models.vocabulary.translations import read_wordnet

TARGET = Path(__file__).parents[1] / "polyclip" / "models" / "vocabulary" / "wordnet-names.tsv"
SOURCES = {  # language: file, SHA-256
    "da": ("dan/wn-data-dan.tab", "3510c66a67957ac1a18a80f5042a95415e85555c6d8d0067404e1385595b6b4a"),
    "el": ("ell/wn-data-ell.tab", "4ca93ef34e44224ece4a0edd6c63a10013c352a76f736574ac748099f315a818"),
    "he": ("heb/wn-data-heb.tab", "d59c3d9db64802628b12866bde337b67a9c0689fadf570f6145aaeec1cd3e8dc"),
    "id": ("msa/wn-data-ind.tab", "aa4fffad11f83199a7a0ffe062aad65eb72216b47f3b2944b86cb806b4c1175a"),
    "zh": ("cow/wn-data-cmn.tab", "379fd2e41d3e1395f9f27cf23a39c6181849ffb4020c14a07ed2a4d4dd651122"),
}


def main() -> None:
    """Write the table."""
    root, wordnets = Path(sys.argv[1]), {}
    for language, (name, expected) in SOURCES.items():
        digest = hashlib.sha256((root / name).read_bytes()).hexdigest()
        if digest != expected:
            raise SystemExit(f"{root / name} is another version: SHA-256 {digest}, expected {expected}.")
        wordnets[language] = read_wordnet(root / name)
    lines = ["\t".join(["synset", *SOURCES])]
    for node in list_nodes(list_synsets("imagenet-1k")):
        words = [wordnet.get(node.synset, "") for wordnet in wordnets.values()]
        if any(words):
            lines.append("\t".join([node.synset, *words]))
    TARGET.write_text("\n".join(lines) + "\n", encoding="utf-8")
    counts = {language: sum(bool(line.split("\t")[1 + n]) for line in lines[1:]) for n, language in enumerate(SOURCES)}
    print(f"{TARGET}: {len(lines) - 1} synsets, names in {counts}")


if __name__ == "__main__":
    main()
