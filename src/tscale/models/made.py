"""A spec made in Python is held to what a file of the same content would be, and told so in the same words.

What comes out of the catalogue, of a file or of `--set` was validated on its way, so neither it nor whoever asks about it
pays for pydantic.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass, replace
from functools import partial
from itertools import zip_longest
from typing import Any, Final, get_args, get_type_hints
from weakref import WeakValueDictionary

from tscale.errors import RequestError, SpecError, SpecErrors, called, shown
from tscale.models.spec import ModelSpec

_ANY: Final = 10**300  # no size comes near, and a number of thousands of digits cannot even be written down
_VALID: Final[WeakValueDictionary[int, ModelSpec]] = WeakValueDictionary()
"""The specs known to be valid, by identity: a changed copy is another object."""


def trusted(spec: ModelSpec) -> ModelSpec:
    """A spec that was validated where it was made: nobody needs to do so again."""
    _VALID[id(spec)] = spec
    return spec


def checked(spec: object) -> ModelSpec:
    """A valid spec, its sizes each of one of the three kinds of number; arrays of whole numbers are made float64.

    Raises `SpecErrors` with all that validation of a file with the same content would find; of arrays, at their first
    elements that are at fault. Raises `RequestError` for what is no spec.
    """
    if not isinstance(spec, ModelSpec):
        raise RequestError(f'a ModelSpec must be given, such as tscale.load("gpt3"), not {a_kind_of(spec)}')
    if _VALID.get(id(spec)) is spec:
        return spec
    if arrays_in(spec):
        _refuse_misplaced_arrays(_name(spec), spec)
    sizes: ModelSpec = mapped(spec, partial(_of_three_kinds, _name(spec)))
    arrays = arrays_in(sizes)
    if arrays:
        _validate_elements(sizes, arrays)
        return sizes
    _validate(sizes)
    return trusted(sizes)


def a_kind_of(value: object) -> str:
    """What a value of the wrong type is called in a message: by its text where it is short, by its type otherwise."""
    if value is None or isinstance(value, bool):
        return repr(value)
    if isinstance(value, (int, float, str)):
        return shown(value)
    name = "array" if is_array(value) else type(value).__name__
    return f"{'an' if name[:1] in 'AEIOUaeiou' else 'a'} {name}"


def is_array(value: object) -> bool:
    """Whether a value is an array, of any library that follows the standard; numpy's single numbers are none."""
    return not isinstance(value, type) and hasattr(value, "__array_namespace__") and hasattr(value, "__len__")


def as_int(value: object) -> int | None:
    """A whole number of any library as an int; None for what is none."""
    if isinstance(value, int):
        return value
    if isinstance(value, type) or not hasattr(value, "__index__"):
        return None
    try:
        return operator.index(value)
    except Exception:  # noqa: BLE001 (it is somebody else's method: whatever it raises, it gives no number)
        return None


def as_floats(array: Any) -> Any:
    """An array of real numbers as float64, the one precision that formulas do not overflow; None for any other array.

    One without elements is none, and neither is one that hides some of them (numpy's masked arrays).
    """
    space = array.__array_namespace__()
    real = space.isdtype(array.dtype, ("integral", "real floating"))
    return space.astype(array, space.float64) if real and array.size and not hasattr(array, "mask") else None


def an_array(array: Any) -> str:
    """What an array that cannot be read is called in a message."""
    if not array.size:
        return "an empty array"
    return "a masked array" if hasattr(array, "mask") else f"an array of {called(str(array.dtype), 40)}"


def fit_together(arrays: Iterable[Any]) -> bool:
    """Whether arrays have one shape, or shapes that broadcast to one."""
    for sizes in zip_longest(*(reversed(array.shape) for array in arrays), fillvalue=1):
        if len({size for size in sizes if size != 1}) > 1:
            return False
    return True


Change = Callable[[str, Any], Any]
"""What becomes of a leaf of a spec, given its path with dots."""


def mapped(value: Any, change: Change, path: str = "") -> Any:
    """A spec with every leaf changed; itself where none does. Lists become tuples, as they do in what is read."""
    if is_dataclass(value) and not isinstance(value, type):
        return _mapped_block(value, change, path)
    if isinstance(value, dict):
        changes = {change(path, key): mapped(item, change, _inside(path, key)) for key, item in value.items()}
        return value if all(changes.get(key) is value[key] for key in value) else changes
    if isinstance(value, (list, tuple)):
        items = tuple(mapped(item, change, path) for item in value)
        same = isinstance(value, tuple) and all(new is old for new, old in zip(items, value, strict=True))
        return value if same else items
    return change(path, value)


def _mapped_block(block: Any, change: Change, path: str) -> Any:
    names = [field.name for field in fields(block)]
    changes = {name: mapped(getattr(block, name), change, _inside(path, name)) for name in names}
    same = all(changes[name] is getattr(block, name) for name in changes)
    return block if same else replace(block, **changes)


def _inside(path: str, key: object) -> str:
    """The path of a key, with dots."""
    return f"{path}.{key}" if path else str(key)


def _of_three_kinds(spec: str, path: str, leaf: Any) -> Any:
    """A number as formulas take it: another library's whole numbers as ints, arrays of real ones as float64."""
    if is_array(leaf):
        floats = as_floats(leaf)
        if floats is None:
            raise SpecError(f"{path}: an array of sizes holds whole numbers, this is {an_array(leaf)}", where=spec)
        return floats
    for plain in (float, str):
        if isinstance(leaf, plain):
            return leaf if type(leaf) is plain else plain(leaf)
    whole = None if isinstance(leaf, int) else as_int(leaf)
    return leaf if whole is None else whole


def arrays_in(spec: ModelSpec) -> list[Any]:
    """The arrays among the sizes of a spec, in the order in which `mapped` comes by them."""
    found: list[Any] = []

    def note(_: str, leaf: Any) -> Any:
        if is_array(leaf):
            found.append(leaf)
        return leaf

    mapped(spec, note)
    return found


def _refuse_misplaced_arrays(spec: str, block: Any, path: str = "") -> None:
    """Raises `SpecError` for an array in a field of a block that does not hold one whole number."""
    hints = get_type_hints(type(block))
    for field in fields(block):
        value, own = getattr(block, field.name), f"{path}{field.name}"
        several = isinstance(value, (list, tuple))
        a_size = not several and (hints[field.name] is int or int in get_args(hints[field.name]))
        for inner in value if several else (value,):
            if is_array(inner) and not a_size:
                raise SpecError(f"{own} is no size, and only sizes may be arrays", where=spec)
            if is_dataclass(inner) and not isinstance(inner, type):
                _refuse_misplaced_arrays(spec, inner, f"{own}.")


def _validate_elements(spec: ModelSpec, arrays: list[Any]) -> None:
    """Validates the models that a spec of arrays holds, each of them once."""
    if not fit_together(arrays):
        raise SpecError("its arrays of sizes do not fit together: give them one shape", where=_name(spec))
    space = arrays[0].__array_namespace__()
    columns = [space.reshape(array, (-1,)).tolist() for array in space.broadcast_arrays(*arrays)]
    for values in dict.fromkeys(zip(*columns, strict=True)):
        _validate(_element(spec, values))


def _element(spec: ModelSpec, values: tuple[Any, ...]) -> ModelSpec:
    """One of the models of a spec of arrays."""
    left = iter(values)

    def one_of(_: str, leaf: Any) -> Any:
        if not is_array(leaf):
            return leaf
        value = next(left)
        return int(value) if float(value).is_integer() else value

    element: ModelSpec = mapped(spec, one_of)
    return element


def _validate(spec: ModelSpec) -> None:
    """Raises `SpecErrors` for what is wrong with a spec of plain numbers."""
    from tscale.models.validation import validated
    from tscale.models.writing import plain
    from tscale.models.yaml_file import Document

    name = _name(spec)
    mapped(spec, partial(_refuse_odd, name))
    try:
        read = validated(Document(plain(spec), name, {}, {}))
    except SpecErrors as found:
        errors = [SpecError(error.text.removeprefix(f"{name}:1:1: "), where=name) for error in found.errors]
        raise SpecErrors(errors) from None
    if read != spec:
        raise SpecError(_misplaced(spec, read), where=name)


def _name(spec: ModelSpec) -> str:
    return called(spec.name) if isinstance(spec.name, str) and spec.name else "a ModelSpec"


def _refuse_odd(name: str, _: str, leaf: Any) -> Any:
    """Raises `SpecError` for what no spec holds and no file could say."""
    if leaf is None or isinstance(leaf, (bool, float, str)) or (isinstance(leaf, int) and abs(leaf) < _ANY):
        return leaf
    raise SpecError(f"a spec holds numbers, text and blocks, not {a_kind_of(leaf)}", where=name)


def _misplaced(spec: Any, read: Any, path: tuple[str, ...] = ()) -> str:
    """Which field holds what reads as another type: a mapping for a block, one block for another."""
    name = next(field.name for field in fields(read) if getattr(spec, field.name) != getattr(read, field.name))
    got, wanted = getattr(spec, name), getattr(read, name)
    if type(got) is type(wanted) and is_dataclass(got):
        return _misplaced(got, wanted, (*path, name))
    return f"{'.'.join((*path, name))} must be {a_kind_of(wanted)} of tscale.blocks, not {a_kind_of(got)}"
