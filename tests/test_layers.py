"""Imports point down: no module imports one that stands above it."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import polyclip
from polyclip.core.registry import FOLDERS

HERE = Path(polyclip.__file__).parent
LAYERS = """
errors
core
languages
data
models
evaluation translation
report
training
search exporters
pipeline
alignment
api
studies
cli
__main__
""".strip().splitlines()
RANK = {name: depth for depth, layer in enumerate(LAYERS) for name in layer.split()}
# `backbone.describe` and `registry.find` look files up by name, which is how the lower layers reach plug-ins without
# importing them.


def imports() -> list[tuple[str, int, str]]:
    found = []
    for path in HERE.rglob("*.py"):
        room = path.relative_to(HERE).parts[0].removesuffix(".py")
        tree = Pruned().visit(ast.parse(path.read_text("utf-8")))
        for node in ast.walk(tree):
            names = []
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("polyclip"):
                names = [
                    f"{node.module}.{alias.name}" if node.module == "polyclip" else node.module for alias in node.names
                ]
            found += [(room, node.lineno, name.split(".")[1]) for name in names if room != "__init__"]
    return found


class Pruned(ast.NodeTransformer):
    """Without what only type checkers read."""

    def visit_If(self, node: ast.If) -> ast.If | None:
        return None if "TYPE_CHECKING" in ast.unparse(node.test) else node


def test_imports_point_down() -> None:
    found = imports()
    assert len(found) > 100
    wrong = [
        f"{room}:{line} imports {target}"
        for room, line, target in found
        if room != target and RANK[target] >= RANK[room]
    ]
    assert wrong == []


def test_every_room_has_a_place() -> None:
    rooms = {path.relative_to(HERE).parts[0].removesuffix(".py") for path in HERE.rglob("*.py")} - {"__init__"}
    assert rooms == set(RANK)


def test_plugins_never_import_each_other() -> None:
    for kind, folder in FOLDERS.items():
        public = {path.stem for path in (HERE / folder).glob("[a-z]*.py")}
        assert public, kind
        for path in (HERE / folder).glob("[a-z]*.py"):
            text = path.read_text("utf-8")
            for other in public - {path.stem}:
                assert f"polyclip.{folder.replace('/', '.')}.{other} " not in text, f"{path.name} imports {other}"


def test_no_underscore_module_is_imported_from_another_folder() -> None:
    wrong = []
    for path in HERE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("polyclip"):
                for target in (node.module, *(f"{node.module}.{alias.name}" for alias in node.names)):
                    *folder, module = str(target).split(".")
                    private = (
                        module.startswith("_")
                        and not module.startswith("__")
                        and (HERE.parent / Path(*folder) / f"{module}.py").is_file()
                    )
                    if private and HERE.parent / Path(*folder) != path.parent:
                        wrong.append(f"{path.relative_to(HERE)}:{node.lineno} imports {target}")
    assert wrong == []


def test_no_files_import_each_other_in_a_circle() -> None:
    """Within folders too, and counting imports inside functions; the error names the circle."""
    files = {name_module(path): path for path in HERE.rglob("*.py")}
    graph = {name: (list_targets(path) & files.keys()) - {name} for name, path in files.items()}
    assert sum(map(len, graph.values())) > 1000
    TopologicalSorter(graph).prepare()


def name_module(path: Path) -> str:
    return ".".join(path.relative_to(HERE.parent).with_suffix("").parts).removesuffix(".__init__")


def list_targets(path: Path) -> set[str]:
    """Names of modules, and of what is imported from them, which may be modules too."""
    return {
        name
        for node in ast.walk(Pruned().visit(ast.parse(path.read_text("utf-8"))))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("polyclip.")
        for alias in node.names
        for name in (str(node.module), f"{node.module}.{alias.name}")
    }


ASKED = {  # files that ask an object whether it has an attribute, and whose object that is
    "__init__.py": "the public names, imported when they are first used",
    "cli/main.py": "commands of a group, imported by name",
    "core/encode_precision.py": "torch < 2.11",
    "core/fields.py": "any record: the one place where fields are read by name",
    "core/matmul.py": "torch < 2.9, and operations that torch has or has not",
    "data/images.py": "Pillow's decoder state",
    "evaluation/tokenizer/vocabulary.py": "tokenizers of transformers, tokenizers and third-party encoders",
    "exporters/preprocess_cfg.py": "image processors of transformers, and third-party encoders",
    "exporters/timm_config.py": "timm's models",
    "models/hf.py": "configurations of transformers",
    "models/pretrained/clip.py": "transformers' CLIP-like models, their configurations and outputs",
    "models/text/huggingface.py": "configurations and tokenizers of transformers",
    "models/trunk/packed_bert.py": "layers of transformers",
    "models/trunk/vision.py": "configurations of transformers",
    "models/vision/_strips.py": "timm's blocks",
    "models/vision/_opened.py": "image processors of transformers, transforms of torchvision",
    "models/vision/huggingface.py": "configurations and embeddings of transformers",
    "training/fsdp.py": "torch's DTensor, whose import takes half a second",
    "translation/engines/_reading.py": "M2M-100's tokenizer",
    "translation/engines/_seq2seq.py": "configurations of transformers",
}


def test_only_objects_of_other_libraries_are_asked_for_attributes() -> None:
    """polyclip's own objects are told apart by Protocols and base classes."""
    asking = {
        path.relative_to(HERE).as_posix()
        for path in HERE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if (isinstance(node, ast.Name) and node.id in ("hasattr", "getattr"))
        or (isinstance(node, ast.FunctionDef) and node.name == "__getattr__")
    }
    assert asking == set(ASKED)
