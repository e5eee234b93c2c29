"""The container file and the deployment page: what can be checked without a container engine, a proxy or a JVM."""

import fnmatch
import json
import re
import shlex
import tomllib
from pathlib import Path

from polyclip.core.environment import VARIABLES

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "guides" / "deployment.md").read_text("utf-8")


def instructions() -> list[tuple[str, str]]:
    """Instructions of the Dockerfile, continued lines joined, comments left out."""
    lines = [line for line in (ROOT / "Dockerfile").read_text("utf-8").splitlines() if not line.startswith("#")]
    whole = "\n".join(lines).replace("\\\n", " ")
    return [tuple(line.split(maxsplit=1)) for line in whole.splitlines() if line.strip()]  # type: ignore[misc]


def values(name: str) -> list[str]:
    return [rest for word, rest in instructions() if word == name]


def test_the_container_runs_as_nobody_of_note() -> None:
    assert [word for word, _ in instructions()][-1] == "CMD"
    assert values("USER") == ["10001"]  # a number: Kubernetes' runAsNonRoot knows no names
    order = [word for word, _ in instructions()]
    assert max(i for i, word in enumerate(order) if word in {"RUN", "COPY"}) < order.index("USER")
    assert json.loads(values("VOLUME")[0]) == ["/models", "/cache"]
    (run,) = [rest for rest in values("RUN") if "useradd" in rest]
    assert all(f" {folder}" in run.split("chown")[1] for folder in ("/models", "/cache"))
    assert values("EXPOSE") == ["8000"] and "/health" in values("HEALTHCHECK")[0]
    assert json.loads(values("ENTRYPOINT")[0]) == ["polyclip"]


def test_the_container_asks_nothing_but_pip() -> None:
    assert "ADD" not in [word for word, _ in instructions()]
    for rest in values("RUN"):
        assert not re.search(r"\b(curl|wget|git|apt-get|huggingface-cli)\b|https?:", rest), rest
        assert "pip install" not in rest or "--index-url" in rest, rest
    (first, *_) = values("RUN")
    assert first.startswith('pip install --index-url "$TORCH_INDEX_URL"')
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    both = [name for name in project if name.startswith("torch")]  # of one index, and as new as the package asks for
    assert len(both) == 2 and all(f'"{name}"' in first for name in both)
    arguments = {rest.partition("=")[0] for rest in values("ARG")}
    assert arguments == {"PIP_INDEX_URL", "TORCH_INDEX_URL", "EXTRAS"}
    (base,) = values("FROM")
    assert re.fullmatch(r"python:3\.\d+-slim-\w+", base)  # a tag that names version and system
    assert "HF_HUB_OFFLINE=1" in values("ENV")[0] and "POLYCLIP_CACHE" in VARIABLES


def test_what_the_container_copies_exists_and_is_let_through() -> None:
    rules = (ROOT / ".dockerignore").read_text("utf-8").split()
    assert rules[0] == "*"
    copied = [name for rest in values("COPY") for name in shlex.split(rest)[:-1]]
    assert copied and set(copied) == {rule[1:] for rule in rules if rule.startswith("!")}
    assert all((ROOT / name).exists() for name in copied)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    extras = next(rest for rest in values("ARG") if rest.startswith("EXTRAS=")).partition("=")[2].split(",")
    assert set(extras) <= project["project"]["optional-dependencies"].keys()
    assert project["project"]["readme"] in copied
    forced = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert {name.split("/")[0] for name in forced} <= set(copied)
    assert not any(fnmatch.fnmatch("polyclip/cli/main.py", rule) for rule in rules[1:] if not rule.startswith("!"))


def test_the_unit_is_hardened_and_the_proxies_have_limits() -> None:
    blocks = dict(re.findall(r"```(nginx|caddy|ini|java)\n(.*?)```", PAGE, re.DOTALL))
    unit = dict(line.split("=", 1) for line in blocks["ini"].splitlines() if "=" in line)
    for key in ("DynamicUser", "NoNewPrivileges", "PrivateTmp", "ProtectHome", "PrivateDevices"):
        assert unit[key] in {"yes", "read-only"}, key
    assert unit["ProtectSystem"] == "strict" and unit["Restart"] == "on-failure" and "MemoryMax" in unit
    assert {"client_max_body_size 21m;", "proxy_read_timeout 60s;"} <= {
        line.strip() for line in blocks["nginx"].splitlines()
    }
    assert "max_size 21MB" in blocks["caddy"]


def test_the_java_program_does_what_the_graphs_ask_for() -> None:
    """Its steps: ids of tokenizer.json, padded with the pad token's id, int32; the output is a unit vector already."""
    program = dict(re.findall(r"```(nginx|caddy|ini|java)\n(.*?)```", PAGE, re.DOTALL))["java"]
    for step in ('Map.of("text"', "int[][]", "tokenizer.json", "textual/model.onnx", "visual/model.onnx", "/ 255f"):
        assert step in program, step
    for step in ("scale < 1 ?", "VALUE_INTERPOLATION_BICUBIC", "fillRect"):  # small images, and transparent ones
        assert step in program, step
