"""Writes which keys of a `config.json` the classes of transformers read, family by family, from their source code.

    python tests/oracle/record_keys.py > src/tscale/importer/keys.json

`transformers` 5.24.0 must be installed, torch need not be: nothing is imported, the code is only parsed. A key counts as read
where the configuration class declares it, maps it to another or names it in its code, or where the family's models take it
off a configuration. The keys of a file's modules are taken together, those of its towers too: a key too many is a key
that is refused rather than passed over.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tscale.importer.families import FAMILIES, NESTED

_spec = importlib.util.find_spec("transformers")
assert _spec is not None and _spec.submodule_search_locations
ROOT = Path(_spec.submodule_search_locations[0])
COMMON = (
    "configuration_utils", "cache_utils", "masking_utils", "modeling_rope_utils", "modeling_layers", "modeling_utils",
    "activations", "pytorch_utils",
)  # fmt: skip
"""What every family's classes run through."""
SIZED_AHEAD = {"head_dim"}
"""What a shared helper reads to set up a cache ahead: it has the width that the models give, which read their own keys."""
BASE = "PreTrainedConfig"
_CONFIG = re.compile(r"(.*_)?(config|configs|cfg)")


@cache
def tree_of(path: Path) -> ast.Module:
    """A file, parsed."""
    return ast.parse(text_of(path))


def tables(*names: str) -> dict[str, str]:
    """What the release says of each model type under these names of tables."""
    auto = [
        tree_of(ROOT / "models" / "auto" / f"{name}.py")
        for name in ("auto_mappings", "configuration_auto", "modeling_auto")
    ]
    return {key: value for name in names for module in auto for key, value in _table(module, name)}


def file_with(cls: str, kind: str) -> Path | None:
    """The file of configurations or of models that defines a class."""
    found = [path for path in sorted((ROOT / "models").glob(f"**/{kind}_*.py")) if f"\nclass {cls}(" in text_of(path)]
    return found[0] if found else None


@cache
def text_of(path: Path) -> str:
    """The text of a file."""
    return path.read_text(encoding="utf-8")


def _table(module: ast.Module, name: str) -> Iterator[tuple[str, str]]:
    """A table of words that a module makes under a name, and what it adds to it later."""
    for node in module.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=found)]) | ast.AnnAssign(target=ast.Name(id=found)):
                pass
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=found), attr="update"))):
                pass
            case _:
                continue
        for item in ast.walk(node) if found == name else ():
            match item:
                case ast.Tuple(elts=[ast.Constant(value=str(key)), ast.Constant(value=str(value))]):
                    yield key, value
                case ast.Dict(keys=keys, values=values):
                    for key_node, value_node in zip(keys, values, strict=True):
                        match key_node, value_node:
                            case ast.Constant(value=str(key)), ast.Constant(value=str(value)):
                                yield key, value


def declared(cls: str, path: Path) -> set[str]:
    """The keys that a configuration class has, maps or names, its bases' of the same release included."""
    for node in tree_of(path).body:
        if isinstance(node, ast.ClassDef) and node.name == cls:
            found = set(_of_class(node))
            for base in node.bases:
                if isinstance(base, ast.Name) and base.id != BASE and not base.id.endswith("Mixin"):
                    found |= declared(base.id, _home(base.id, path))
            return found
    return set()


def _home(name: str, path: Path) -> Path:
    """The file that a name of another one comes from."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom) and node.module and any(alias.name == name for alias in node.names):
            base = path.parent
            for _ in range(node.level - 1):
                base = base.parent
            target = base.joinpath(*node.module.split("."))
            return (
                target.with_suffix(".py")
                if target.with_suffix(".py").exists()
                else next(target.glob("configuration_*.py"))
            )
    return path


def _of_class(node: ast.ClassDef) -> Iterator[str]:
    for item in node.body:
        match item:
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case ast.Assign(targets=[ast.Name(id="attribute_map")], value=ast.Dict(keys=keys, values=values)):
                yield from (
                    key.value
                    for key in [*keys, *values]
                    if isinstance(key, ast.Constant) and isinstance(key.value, str)
                )
            case ast.FunctionDef(name=name) if node.name != BASE or name in ("__post_init__", "get_text_config"):
                yield from _of_function(item)


def _of_function(function: ast.FunctionDef) -> Iterator[str]:
    """What a method of a configuration class takes off itself or off what it is given: attributes, and words that may be keys."""
    yield from (argument.arg for argument in [*function.args.args, *function.args.kwonlyargs] if argument.arg != "self")
    for node in ast.walk(function):
        match node:
            case ast.Attribute(attr=name):
                yield name
            case ast.Constant(value=str(word)) if word.isidentifier():
                yield word


def taken(path: Path) -> Iterator[str]:
    """The keys that a module takes off anything that is called a configuration, but what only checks one: that builds nothing."""
    for node in _outside_of_checks(tree_of(path)):
        match node:
            case ast.Attribute(value=ast.Name(id=owner) | ast.Attribute(attr=owner), attr=name) if _CONFIG.fullmatch(
                owner
            ):
                yield name
            case ast.Call(func=ast.Name(id="getattr" | "hasattr"), args=[_, ast.Constant(value=str(name)), *_]):
                yield name
            case ast.Subscript(
                value=ast.Name(id=owner) | ast.Attribute(attr=owner), slice=ast.Constant(value=str(name))
            ) if _CONFIG.fullmatch(owner):
                yield name
            case ast.Call(func=ast.Attribute(value=ast.Name(id=owner) | ast.Attribute(attr=owner), attr="get"),
                          args=[ast.Constant(value=str(name)), *_]) if _CONFIG.fullmatch(owner):  # fmt: skip
                yield name


def _outside_of_checks(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes below one, without functions that validate a configuration."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.FunctionDef) and node.name.startswith("validate")):
            yield node
            yield from _outside_of_checks(node)


def _models(folder: Path, seen: set[Path]) -> Iterator[Path]:
    """The modules of a family's models, and those of other families that they import."""
    for path in sorted(folder.glob("modeling_*.py")):
        if path in seen or path.name.startswith(("modeling_tf_", "modeling_flax_")):
            continue
        seen.add(path)
        yield path
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ImportFrom) and node.module and "modeling_" in node.module and node.level == 2:
                yield from _models(ROOT / "models" / node.module.split(".")[0], seen)


def keys_of(config: str, model: str | None) -> set[str]:
    """All keys that a family's classes read: its configuration's and those of the models in the same file, and next to it."""
    path = file_with(config, "configuration")
    assert path is not None
    found, folders = declared(config, path), {path.parent}
    models = None if model is None else file_with(model, "modeling")
    if models is not None:
        folders.add(models.parent)
    seen: set[Path] = set()
    for folder in sorted(folders):
        for module in _models(folder, seen):
            found |= set(taken(module))
    return found


def common() -> set[str]:
    """The keys that every family's classes read."""
    found = set(declared(BASE, ROOT / "configuration_utils.py"))
    for path in (*(ROOT / f"{name}.py" for name in COMMON), *(ROOT / "integrations" / "heterogeneity").glob("*.py")):
        found |= set(taken(path))
    return found - SIZED_AHEAD


def main() -> None:
    """Prints the table, a line a family: the keys that not all families read."""
    configs, shared = tables("CONFIG_MAPPING_NAMES"), common()
    models = tables("MODEL_MAPPING_NAMES", "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES")
    lines: dict[str, Any] = {
        "transformers": version("transformers"),
        "every family": _words({key for key in shared if not key.startswith("_")}),
    }
    for name in sorted({*FAMILIES, *NESTED}):
        if name in configs:
            lines[name] = _words(keys_of(configs[name], models.get(name)) - shared)
        else:
            print(f"{name}: no such model_type in this release", file=sys.stderr)
    print(json.dumps(lines, indent=0))


def _words(keys: set[str]) -> str:
    return " ".join(sorted(filter(_is_key, keys)))


def _is_key(word: str) -> bool:
    """Whether a word can be a key of a file: what begins with a capital or two underscores is code."""
    return word.isidentifier() and not word.startswith("__") and not word[0].isupper()


if __name__ == "__main__":
    main()
