"""YAML as plain values: mappings, lists, text, numbers, booleans and null, and nothing implicit.

Everything else in YAML is refused with its line: tags, circular references, duplicate keys, aliases that expand to
millions of values.
"""

import math
import re
from pathlib import Path
from typing import Any

import yaml

from phf.storage.reading import INTEGERS, MAX_DEPTH, ErrorType, decode, read_bytes, sentence, short

MAX_BYTES = 2_000_000
"""Of a file, and of all texts with aliases expanded."""
MAX_VALUES = 50_000
"""Maximum number of values with all aliases expanded: nine aliases of nine aliases of ... make a billion values."""


def read_yaml(path: Path, error: ErrorType, advice: str = "") -> Any:
    """The value in a YAML file; see `parse_yaml`."""
    content = read_bytes(path, error, advice, MAX_BYTES)
    return parse_yaml(decode(content, str(path), error, advice), str(path), error, advice)


def parse_yaml(text: str, where: str, error: ErrorType, advice: str = "") -> Any:
    """One YAML document. 5e-4 is a number; what looks like a date is text. Every error names `where` and the line."""
    at = ""
    try:
        loader = PlainLoader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        at = _line(text, 0 if mark is None else mark.line)
        reason = problem.problem or problem.context or "it cannot be parsed"
    except yaml.reader.ReaderError as problem:
        at = _line(text, text.count("\n", 0, problem.position))
        reason = f"it has the character U+{problem.character:04X}"
    except RecursionError:
        reason = f"it is nested more than {MAX_DEPTH} deep"
    raise error(sentence(f"{where}{at}: is not valid YAML: {reason}", advice)) from None


def _line(text: str, line: int) -> str:
    return f", line {line + 1}" if "\n" in text.strip() else ""


class PlainLoader(yaml.SafeLoader):
    """`SafeLoader` with constructors only for plain values."""

    yaml_constructors = {}  # noqa: RUF012  as in every loader
    yaml_implicit_resolvers = {  # noqa: RUF012
        character: [rule for rule in rules if rule[0] != "tag:yaml.org,2002:timestamp"]
        for character, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._num_values = 0
        self._depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """A node. What is too large or too deep is refused here, before the rest of it is parsed, which takes long."""
        self._num_values += 1
        if self._num_values > MAX_VALUES:
            raise _error(self.peek_event(), f"it has more than {MAX_VALUES:,} values")
        if self._depth > MAX_DEPTH:
            raise RecursionError
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def fetch_flow_collection_start(self, token: Any) -> None:
        """An opening bracket; the scanner reads ahead, in a time that is quadratic in their number."""
        if self.flow_level > MAX_DEPTH:
            raise RecursionError
        super().fetch_flow_collection_start(token)

    def get_single_node(self) -> Any:
        """The document, if it is finite and not too large with all aliases expanded."""
        node = super().get_single_node()
        if node is not None:
            _check_size(node, {}, set())
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Raises for a duplicate key, or one that is not text or a whole number."""
        if not isinstance(node, yaml.MappingNode):
            raise _error(node, "a mapping was expected")
        mapping: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str | int) or isinstance(key, bool):
                raise _error(key_node, f"the key {short(repr(key))} is not text; quote it")
            if key in mapping:
                raise _error(key_node, f"'{key}' occurs twice")
            mapping[key] = self.construct_object(value_node, deep=deep)
        return mapping

    def construct_plain_bool(self, node: Any) -> Any:
        """True or False."""
        return _scalar(self.construct_yaml_bool, node)

    def construct_plain_int(self, node: Any) -> Any:
        """A whole number of 64 bits."""
        value = _scalar(self.construct_yaml_int, node)
        if value not in INTEGERS:
            raise _error(node, f"{short(node.value)} has more than 64 bits")
        return value

    def construct_plain_float(self, node: Any) -> Any:
        """A number, or .inf; not NaN, which is never intended."""
        value = _scalar(self.construct_yaml_float, node)
        if math.isnan(value):
            raise _error(node, f"{short(node.value)} is not a number")
        return value


def _scalar(construct: Any, node: Any) -> Any:
    try:
        return construct(node)
    except (ValueError, OverflowError, IndexError, KeyError) as problem:  # "", "perhaps" with a tag that does not fit
        raise _error(node, f"{short(node.value)} cannot be read as a value") from problem


def _refused(loader: PlainLoader, node: Any) -> Any:
    """As every loader has it for what it does not know, without the name of Python's own tags."""
    if node.tag == "tag:yaml.org,2002:merge":
        raise _error(node, "merge keys (<<) are not supported; write the keys out")
    raise _error(node, f"the tag {short(node.tag)} is not supported; write plain text, numbers, lists and mappings")


for _name, _construct in {
    "null": yaml.SafeLoader.construct_yaml_null,
    "bool": PlainLoader.construct_plain_bool,
    "int": PlainLoader.construct_plain_int,
    "float": PlainLoader.construct_plain_float,
    "str": yaml.SafeLoader.construct_yaml_str,
    "seq": yaml.SafeLoader.construct_yaml_seq,
    "map": yaml.SafeLoader.construct_yaml_map,
}.items():
    PlainLoader.add_constructor(f"tag:yaml.org,2002:{_name}", _construct)
PlainLoader.add_constructor(None, _refused)
PlainLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d[\d_]*)(\.[\d_]*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def _check_size(node: Any, known: dict[int, tuple[int, int, int]], above: set[int]) -> tuple[int, int, int]:
    """-> (number of values with all aliases expanded, characters of their texts, depth) of a node."""
    if isinstance(node, yaml.ScalarNode):
        return 1, len(node.value), 0
    if id(node) in known:
        return known[id(node)]
    if id(node) in above:
        raise _error(node, "it contains itself")
    if len(above) > MAX_DEPTH:
        raise RecursionError
    above.add(id(node))
    children = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
    size, chars, depth = 1, 0, 0
    for child in children:
        more, longer, below = _check_size(child, known, above)
        size, chars, depth = size + more, chars + longer, max(depth, below + 1)
    above.remove(id(node))
    if size > MAX_VALUES:
        raise _error(node, f"it expands to more than {MAX_VALUES:,} values")
    if chars > MAX_BYTES:
        raise _error(node, f"it expands to more than {MAX_BYTES:,} characters")
    if depth > MAX_DEPTH:
        raise RecursionError
    known[id(node)] = size, chars, depth
    return size, chars, depth


def _error(node: Any, problem: str) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
