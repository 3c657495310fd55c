"""Check a JSON schema: it is valid, its references are found within it, and none is circular."""

from collections.abc import Iterator
from typing import Any

REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_LISTS = ("allOf", "anyOf", "oneOf")  # of schemas that apply to the same value
_SINGLE = ("not", "if", "then", "else")  # one such schema


def problem(schema: dict, kind: Any, registry: Any) -> str | None:
    """The fault of a schema as a predicate, such as "is nested too deep"; None if it has none.

    kind: the jsonschema validator class of its draft; registry: an empty referencing.Registry.
    """
    import jsonschema
    import referencing
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    try:
        kind.check_schema(schema)
    except jsonschema.SchemaError as error:
        return f"is invalid: {error.message}"
    except RecursionError:
        return "is nested too deep"
    root = referencing.Resource.from_contents(schema, default_specification=DRAFT202012)
    resolver = registry.resolver_with_root(root)
    targets: dict[int, list[Any]] = {}
    for node in _objects(schema):
        names = [node[word] for word in REFERENCES if isinstance(node.get(word), str)]
        for name in names:
            if not name.startswith("#"):
                return f"refers to {name!r}; only references within the schema (#...) are resolved"
        try:
            targets[id(node)] = [resolver.lookup(name).contents for name in names]
        except Unresolvable as error:
            return f"has a reference that is not found: {error}"
    return "has a circular reference" if _endless(schema, targets) else None


def _objects(value: Any) -> Iterator[dict]:
    if isinstance(value, dict):
        yield value
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _objects(each)


def _endless(schema: dict, targets: dict[int, list[Any]]) -> bool:
    """Whether the schemas that apply to the same value form a cycle."""
    open_, done = set(), set()

    def circular(node: Any) -> bool:
        if not isinstance(node, dict) or id(node) in done:
            return False
        if id(node) in open_:
            return True
        open_.add(id(node))
        found = any(circular(each) for each in _same_value(node, targets))
        open_.remove(id(node))
        done.add(id(node))
        return found

    try:
        return any(circular(node) for node in _objects(schema))
    except RecursionError:  # a chain of references that is too long for the validator as well
        return True


def _same_value(node: dict, targets: dict[int, list[Any]]) -> Iterator[Any]:
    yield from targets.get(id(node), ())
    for word in _LISTS:
        if isinstance(node.get(word), list):
            yield from node[word]
    for word in _SINGLE:
        yield node.get(word)
    for word in ("dependentSchemas", "dependencies"):
        if isinstance(node.get(word), dict):
            yield from node[word].values()
