"""Avro's binary encoding, compiled: a schema becomes two Python functions such as one would write by hand for it.

The hop reads and writes half a dozen records for each document; walking a schema for every one of their fields
costs more than verifying the signature does. Guarantees: the bytes and values are those of Avro 1.12, "Binary
encoding" (held against fastavro in the tests); whatever bytes are read, `read` returns or raises one of `DAMAGED`,
in time and memory bounded by their length; whatever isn't of the schema's types, `write` raises one of `UNFIT`.

Does not know schema evolution, maps, recursive types, aliases or defaults: whoever writes names every field. Of a
union with several records the value names its branch, ``("full.name", fields)``. The code that is compiled is made
of nothing but the schemas that we ship.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from exchange.errors import InvariantBroken

DAMAGED = (EOFError, IndexError, ValueError, struct.error)
UNFIT = (ValueError, TypeError, KeyError, AttributeError, struct.error)

Read = Callable[[bytes, int], tuple[dict[str, Any], int]]
"""Bytes and where to begin, to the fields and where they end. An end beyond the bytes says that they were cut."""

Write = Callable[[Mapping[str, Any]], bytes]
"""Fields to bytes."""

_SMALL = 1 << 14
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


Cut = Callable[[bytes, int], tuple[int, list[bytes]]]
"""Bytes of a record and where to begin, to where its last field begins, an array, and the bytes of each item."""


class Codec(NamedTuple):
    """The two functions of one schema."""

    read: Read
    write: Write


def compile_codec(schema: Any, prefix: bytes) -> Codec:  # noqa: ANN401  as fastavro's `parse_schema` returns it
    """Compile a record schema, names resolved, without logical types. `prefix`: what is written begins with it.

    Raises: InvariantBroken for what this module doesn't know.
    """
    reading, writing = _Reading(), _Writing()
    fields = reading.value(schema)
    writing.value(schema, "fields")
    writing.flush()
    source = [
        "def read(data, at):",
        *(f"    {line}" for line in reading.lines),
        f"    return {fields}, at",
        "def write(fields):",
        f"    out = [{prefix!r}]",
        *(f"    {line}" for line in writing.lines),
        "    return b''.join(out)",
    ]
    made: dict[str, Any] = {"more": _more, "length": _length, "number": _number, "SMALL": _NUMBERS, **_FLOATS}
    # As dataclasses and namedtuples are made: the source is ours, its names are our schemas'.
    exec(compile("\n".join(source), f"<avro {schema['name']}>", "exec"), made)  # nosec B102  # noqa: S102
    return Codec(made["read"], made["write"])


def compile_cut(schema: Any) -> Cut:  # noqa: ANN401  as for `compile_codec`
    """Compile what cuts a record whose last field is an array, without reading a value.

    The function raises one of `DAMAGED` unless the array ends where the bytes do.
    Raises: InvariantBroken for what this module doesn't know.
    """
    *head, (_, last) = _fields(schema)
    skipping = _Skipping()
    for _, type_ in head:
        skipping.value(type_)
    skipping.line("begin, items = at, []")
    skipping.array(skipping.resolved(last)["items"], collect=True)
    source = [
        "def cut(data, at):",
        *(f"    {line}" for line in skipping.lines),
        "    if at != len(data): raise ValueError('cut off, or more than the record')",
        "    return begin, items",
    ]
    made: dict[str, Any] = {"more": _more, "length": _length}
    exec(compile("\n".join(source), f"<avro cut {schema['name']}>", "exec"), made)  # nosec B102  # noqa: S102
    cut: Cut = made["cut"]
    return cut


def _more(first: int, data: bytes, at: int) -> tuple[int, int]:
    """Go on with a number of several bytes, zigzag: `first` had its high bit set, `at` is the next byte."""
    result, shift = first & 0x7F, 7
    while True:
        byte = data[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than ten bytes")
    if result >> 64:
        raise ValueError("a number of more than 64 bits")
    return result, at


def _length(first: int, data: bytes, at: int) -> tuple[int, int]:
    """The same for a number that can't be below zero."""
    result, at = _more(first, data, at) if first > 0x7F else (first, at)
    if result & 1:
        raise ValueError("a length below zero")
    return result, at


def _number(zigzag: int) -> bytes:
    """Write a number of any size, zigzag."""
    if not 0 <= zigzag < 1 << 64:
        raise ValueError("a number of more than 64 bits")
    out = b""
    while zigzag >= _SMALL:
        low = zigzag & _SMALL - 1
        out += bytes((low & 0x7F | 0x80, low >> 7 | 0x80))
        zigzag >>= 14
    return out + (bytes((zigzag & 0x7F | 0x80, zigzag >> 7)) if zigzag > 0x7F else bytes((zigzag,)))


_FLOATS = {"FLOAT": struct.Struct("<f"), "DOUBLE": struct.Struct("<d")}
_NUMBERS = tuple(_number(zigzag) for zigzag in range(_SMALL))


class _Source:
    """Lines of Python under way. Names of variables are numbered, so that no two meet."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._indent = ""
        self._variables = 0
        self._named: dict[str, Any] = {}

    def line(self, text: str) -> None:
        self.lines.append(self._indent + text)

    def variable(self) -> str:
        self._variables += 1
        return f"v{self._variables}"

    def deeper(self) -> None:
        self._indent += "    "

    def back(self) -> None:
        self._indent = self._indent[:-4]

    def resolved(self, schema: Any) -> Any:  # noqa: ANN401
        """The definition of a type, which is remembered under its name, and looked up by it."""
        if isinstance(schema, str) and schema in self._named:
            return self._named[schema]
        if isinstance(schema, dict) and isinstance(schema["type"], (dict, list)):
            return self.resolved(schema["type"])
        if isinstance(schema, dict) and "name" in schema:
            self._named[schema["name"]] = schema
        return schema


def _kind(schema: Any) -> str:  # noqa: ANN401
    kind = schema["type"] if isinstance(schema, dict) else "union" if isinstance(schema, list) else schema
    if not isinstance(kind, str):
        raise InvariantBroken(f"no codec for {schema}")
    return kind


def _fields(record: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    for field in record["fields"]:
        if not _NAME.fullmatch(field["name"]):
            raise InvariantBroken(f"field {field['name']!r}")
        yield field["name"], field["type"]


class _Reading(_Source):
    """The body of `read`. Slices beyond the end are short rather than errors: `at` is then beyond it for good."""

    def value(self, schema: Any) -> str:  # noqa: ANN401
        """Add what reads a value; returns the expression that it is in."""
        schema = self.resolved(schema)
        kind = _kind(schema)
        if kind == "record":
            return "{" + ", ".join(f"{name!r}: {self.value(type_)}" for name, type_ in _fields(schema)) + "}"
        value = self.variable()
        match kind:
            case "null":
                return "None"
            case "boolean":
                self.line(f"{value} = (False, True)[data[at]]; at += 1")
            case "int" | "long":
                self._number(value)
                if kind == "int":
                    self.line(f"if {value} >> 32: raise ValueError('an int of more than 32 bits')")
                self.line(f"{value} = {value} >> 1 ^ -({value} & 1)")
            case "float" | "double":
                size = 4 if kind == "float" else 8
                self.line(f"{value} = {kind.upper()}.unpack_from(data, at)[0]; at += {size}")
            case "string" | "bytes":
                self._length(value)
                decoded = ".decode()" if kind == "string" else ""
                self.line(f"end = at + ({value} >> 1); {value} = data[at:end]{decoded}; at = end")
            case "fixed":
                self.line(f"{value} = data[at : at + {schema['size']}]; at += {schema['size']}")
            case "enum":
                self._length(value)
                self.line(f"{value} = {tuple(schema['symbols'])!r}[{value} >> 1]")
            case "array":
                self._array(value, schema["items"])
            case "union":
                self._union(value, schema)
            case _:
                raise InvariantBroken(f"no codec for {kind}")
        return value

    def _number(self, value: str) -> None:
        self.line(f"{value} = data[at]; at += 1")
        self.line(f"if {value} > 127: {value}, at = more({value}, data, at)")

    def _length(self, value: str) -> None:
        """A number that can't be below zero, still doubled."""
        self.line(f"{value} = data[at]; at += 1")
        self.line(f"if {value} & 129: {value}, at = length({value}, data, at)")

    def _array(self, value: str, items: Any) -> None:  # noqa: ANN401
        """Blocks of items; a block with a negative count says its size in bytes as well."""
        if not self._takes_a_byte(items):
            raise InvariantBroken("no codec for an array of nothing: its length would bound no work")
        count, size = self.variable(), self.variable()
        self.line(f"{value} = []")
        self.line("while True:")
        self.deeper()
        self._number(count)
        self.line(f"if not {count}: break")
        self.line(f"if {count} & 1:")
        self.deeper()
        self._number(size)
        self.back()
        self.line(f"for _ in range(({count} >> 1) + ({count} & 1)):")
        self.deeper()
        # An item takes a byte at least, so this ends with the bytes, whatever the count says.
        self.line("if at >= len(data): raise EOFError('within an array')")
        self.line(f"{value}.append({self.value(items)})")
        self.back()
        self.back()

    def _takes_a_byte(self, schema: Any) -> bool:  # noqa: ANN401
        schema = self.resolved(schema)
        match _kind(schema):
            case "record":
                return any(self._takes_a_byte(type_) for _, type_ in _fields(schema))
            case "fixed":
                return bool(schema["size"])
            case kind:
                return kind != "null"

    def _union(self, value: str, branches: list[Any]) -> None:
        self.line(f"{value} = data[at]; at += 1")
        for number, branch in enumerate(branches):
            self.line(f"{'el' if number else ''}if {value} == {2 * number}:")
            self.deeper()
            self.line(f"{value} = {self.value(branch)}")
            self.back()
        self.line("else: raise ValueError('no such branch')")


class _Skipping(_Source):
    """The body of `cut`: what goes past a value. `at` may come to lie beyond the end, as in `_Reading`."""

    def value(self, schema: Any) -> None:  # noqa: ANN401
        """Add what skips a value."""
        schema = self.resolved(schema)
        kind = _kind(schema)
        match kind:
            case "record":
                for _, type_ in _fields(schema):
                    self.value(type_)
            case "null":
                self.line("pass")
            case "boolean":
                self.line("at += 1")
            case "int" | "long" | "enum":
                self.line("while data[at] > 127: at += 1")
                self.line("at += 1")
            case "float" | "double":
                self.line(f"at += {4 if kind == 'float' else 8}")
            case "string" | "bytes":
                size = self.variable()
                self.line(f"{size} = data[at]; at += 1")
                self.line(f"if {size} & 129: {size}, at = length({size}, data, at)")
                self.line(f"at += {size} >> 1")
            case "fixed":
                self.line(f"at += {schema['size']}")
            case "array":
                self.array(schema["items"])
            case "union":
                self._union(schema)
            case _:
                raise InvariantBroken(f"no codec for {kind}")

    def array(self, items: Any, *, collect: bool = False) -> None:  # noqa: ANN401
        """Add what skips an array; `collect`: the bytes of each item into ``items``."""
        count, start = self.variable(), self.variable()
        self.line("while True:")
        self.deeper()
        self.line(f"{count} = data[at]; at += 1")
        self.line(f"if {count} > 127: {count}, at = more({count}, data, at)")
        self.line(f"if not {count}: break")
        self.line(f"if {count} & 1:")  # then the block's size follows
        self.deeper()
        self.line("while data[at] > 127: at += 1")
        self.line("at += 1")
        self.back()
        self.line(f"for _ in range(({count} >> 1) + ({count} & 1)):")
        self.deeper()
        self.line("if at >= len(data): raise EOFError('within an array')")
        if collect:
            self.line(f"{start} = at")
        self.value(items)
        if collect:
            self.line(f"items.append(data[{start}:at])")
        self.back()
        self.back()

    def _union(self, branches: list[Any]) -> None:
        branch = self.variable()
        self.line(f"{branch} = data[at]; at += 1")
        for number, one in enumerate(branches):
            self.line(f"{'el' if number else ''}if {branch} == {2 * number}:")
            self.deeper()
            self.value(one)
            self.back()
        self.line("else: raise ValueError('no such branch')")


class _Writing(_Source):
    """The body of `write`. Pieces are collected and added to ``out`` in as few steps as control flow allows."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[str] = []

    def piece(self, *expressions: str) -> None:
        self._pieces += expressions

    def flush(self) -> None:
        if self._pieces:
            self.line(f"out += ({', '.join(self._pieces)},)")
            self._pieces = []

    def value(self, schema: Any, value: str) -> None:  # noqa: ANN401
        """Add what writes the value of an expression."""
        schema = self.resolved(schema)
        kind = _kind(schema)
        match kind:
            case "record":
                for name, type_ in _fields(schema):
                    field = self.variable()
                    self.line(f"{field} = {value}[{name!r}]")
                    self.value(type_, field)
            case "null":
                self.line(f"if {value} is not None: raise TypeError('not null')")
            case "boolean":
                self.piece(f"b'\\1' if {value} is True else b'\\0' if {value} is False else None")
            case "int" | "long":
                if kind == "int":
                    self.line(f"if {value} >> 31 not in (0, -1): raise ValueError('an int of more than 32 bits')")
                self._number(f"{value} << 1 ^ {value} >> 63")
            case "float" | "double":
                self.piece(f"{kind.upper()}.pack({value})")
            case "string" | "bytes":
                if kind == "string":
                    self.line(f"{value} = {value}.encode()")
                self._number(f"len({value}) << 1")
                self.piece(value)
            case "fixed":
                self.line(f"if len({value}) != {schema['size']}: raise ValueError('not {schema['size']} bytes')")
                self.piece(value)
            case "enum":
                numbers = {symbol: _number(2 * place) for place, symbol in enumerate(schema["symbols"])}
                self.piece(f"{numbers!r}[{value}]")
            case "array":
                self._array(value, schema["items"])
            case "union":
                self._union(value, schema)
            case _:
                raise InvariantBroken(f"no codec for {kind}")

    def _number(self, zigzag: str) -> None:
        number = self.variable()
        self.line(f"{number} = {zigzag}")
        self.piece(f"SMALL[{number}] if 0 <= {number} < {_SMALL} else number({number})")

    def _array(self, value: str, items: Any) -> None:  # noqa: ANN401
        item = self.variable()
        self.flush()
        self.line(f"if {value}:")
        self.deeper()
        self._number(f"len({value}) << 1")
        self.flush()
        self.line(f"for {item} in {value}:")
        self.deeper()
        self.value(items, item)
        self.flush()
        self.back()
        self.back()
        self.piece("b'\\0'")

    def _union(self, value: str, branches: list[Any]) -> None:
        self.flush()
        resolved = [self.resolved(branch) for branch in branches]
        several = sum(_kind(branch) == "record" for branch in resolved) > 1
        for number, branch in enumerate(resolved):
            self.line(f"{'el' if number else ''}if {_is(branch, value, several)}:")
            self.deeper()
            self.piece(repr(_number(2 * number)))
            self.value(branch, f"{value}[1]" if several and _kind(branch) == "record" else value)
            self.flush()
            self.back()
        self.line("else: raise TypeError('no branch for it')")


def _is(branch: Any, value: str, several: bool) -> str:  # noqa: ANN401
    """The condition that a value is of a union's branch."""
    match _kind(branch):
        case "null":
            return f"{value} is None"
        case "record":
            return (
                f"type({value}) is tuple and {value}[0] == {branch['name']!r}" if several else f"type({value}) is dict"
            )
        case "boolean":
            return f"type({value}) is bool"
        case "int" | "long":
            return f"isinstance({value}, int) and type({value}) is not bool"
        case "float" | "double":
            return f"type({value}) is float"
        case "string":
            return f"type({value}) is str"
        case "bytes":
            return f"type({value}) is bytes"
        case "fixed":
            return f"type({value}) is bytes and len({value}) == {branch['size']}"
        case kind:
            raise InvariantBroken(f"no codec for {kind} in a union")
