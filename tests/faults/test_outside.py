"""Commands write into the folder that was named and into the cache, and nowhere else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.toy import write_corpus, write_text_encoder, write_vision_tower

ROOT = Path(__file__).parents[2]
HOMES = {"HOME": "home", "XDG_CACHE_HOME": "home/cache", "XDG_CONFIG_HOME": "home/config", "XDG_DATA_HOME": "home/data"}
HOMES |= {"XDG_STATE_HOME": "home/state", "TMPDIR": "tmp", "HF_HOME": "home/hub", "TORCH_HOME": "home/torch"}
COMMANDS = """
import sys
from contextlib import suppress
from polyclip.cli.main import main
for line in sys.argv[1].splitlines():
    sys.argv = ["polyclip", *line.split()]
    code = 0
    try:
        main()
    except SystemExit as stop:
        code = stop.code
    if code:
        sys.exit(f"{line}: {code}")
"""
ALIGN = """
align --lang sw --corpus ../given/corpus/toy.toml --method heads --epochs 2 --text-encoder huggingface:../given/text
--vision-tower timm:test_vit,weights=../given/vision/test_vit.safetensors --out out/run
"""
LINES = f"""
{" ".join(ALIGN.split())}
index ../given/corpus --model out/run --out out/index
search mraba --index out/index --html out/sheet.html
search mraba --images ../given/corpus --model out/run --html out/images.html
eval retrieval --model out/run --data ../given/corpus --json out/scores.json
export out/run --to onnx --out out/onnx
report out/run --out out/page.html
languages
""".strip()


def list_files(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of everything below a folder; of folders neither."""
    found = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*"))}
    return {name: (0, 0) if path.is_dir() else path.stat()[6:9:2] for name, path in found.items()}


@pytest.mark.skipif(sys.platform == "win32", reason="has other variables for its folders")
def test_nothing_is_written_outside_the_named_folder_and_the_cache(tmp_path: Path) -> None:
    """Home, temporary files, settings, the working folder, and what was given stay as they were."""
    write_corpus(tmp_path / "given" / "corpus")
    write_text_encoder(tmp_path / "given" / "text")
    write_vision_tower(tmp_path / "given" / "vision", "test_vit")
    for name in (*HOMES.values(), "cwd/out"):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
    environment = os.environ | {name: str(tmp_path / folder) for name, folder in HOMES.items()}
    environment |= {"POLYCLIP_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    before = list_files(tmp_path)
    command = [sys.executable, "-W", "ignore", "-c", COMMANDS, LINES]
    done = subprocess.run(command, cwd=tmp_path / "cwd", env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    after = list_files(tmp_path)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    own = {name for name in changed if name.startswith(("cache/", "cwd/out/")) or name == "cache"}
    assert changed - own == set()
    assert {"cwd/out/run/result.json", "cwd/out/index/index.json", "cwd/out/scores.json"} <= own
    assert list((tmp_path / "tmp").iterdir()) == []
