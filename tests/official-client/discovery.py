"""Checks requests (path, parameters, `fields`, body, scopes) and answers (shapes, formats, required fields) against Google's discovery
documents. The documents are those shipped with Google's client; nothing is downloaded.

A result is a list of problem descriptions; an empty list means success.
"""
import datetime
import functools
import json
import pathlib
import re
import urllib.parse

import googleapiclient

import always

APIS = ("calendar.v3", "drive.v3", "gmail.v1", "admin.directory_v1")
LIMITS = {"int32": (-(2**31), 2**31 - 1), "uint32": (0, 2**32 - 1), "int64": (-(2**63), 2**63 - 1), "uint64": (0, 2**64 - 1)}
# For some methods, documents give the maximum page size only in the description.
LARGEST = re.compile(r"(?:can never be larger than|maximum allowed value for this field is|maximum page size is) ([\d,]+)")


@functools.cache
def document(api):
    """The discovery document of an API such as `calendar.v3`."""
    folder = pathlib.Path(googleapiclient.__file__).parent / "discovery_cache" / "documents"
    return json.loads((folder / f"{api}.json").read_text(encoding="utf-8"))


class Method:
    """A method of an API, such as `calendar.events.list`."""

    def __init__(self, api, description):
        self.api, self.description, self.id = api, description, description["id"]
        self.document = document(api)
        self.parameters = self.document["parameters"] | description.get("parameters", {})
        self.template = f"/{self.document['servicePath']}{description['path']}"
        # `{+name}` can contain slashes.
        parts = re.split(r"\{(\+?)(\w+)\}", self.template)
        pattern = re.escape(parts[0])
        for more, name, text in zip(parts[1::3], parts[2::3], parts[3::3]):
            pattern += f"(?P<{name}>{'.+' if more else '[^/]+'})" + re.escape(text)
        self.pattern = re.compile(pattern)

    def schema(self, which):
        """The schema of the `request` or the `response`; `None`: no schema."""
        named = self.description.get(which)
        return self.document["schemas"][named["$ref"]] if named else None

    def largest(self, name):
        """The largest value of a parameter, from the document's field or description; `None`: unknown."""
        parameter = self.parameters[name]
        words = LARGEST.search(parameter.get("description", ""))
        limits = [int(parameter["maximum"])] if "maximum" in parameter else []
        return min(limits + ([int(words[1].replace(",", ""))] if words else []), default=None)


@functools.cache
def methods():
    """All methods of the APIs, by id."""

    def walk(api, resource):
        for description in resource.get("methods", {}).values():
            yield Method(api, description)
        for inner in resource.get("resources", {}).values():
            yield from walk(api, inner)

    return {method.id: method for api in APIS for method in walk(api, document(api))}


def find(verb, path):
    """The method that a request calls; `None`: no such method."""
    fits = (m for m in methods().values() if m.description["httpMethod"] == verb and m.pattern.fullmatch(path))
    # `files/generateIds` is not a file: prefer paths with fewer parameters.
    return min(fits, key=lambda method: method.template.count("{"), default=None)


# The `fields` selector. A selection maps names to selections; an empty one is everything.


def parse_fields(text):
    """Parses a selector such as `nextPageToken,items(id,organizer/email)`; raises ValueError if it is malformed."""
    selection, rest = _paths(text, text)
    if rest:
        raise ValueError(f"malformed at {rest!r}")
    return selection


def _paths(rest, whole):
    selection = {}
    while True:
        found = re.match(r"[\w-]+|\*", rest)
        if not found:
            raise ValueError(f"a name is missing at {rest!r} of {whole!r}")
        name, rest, inner = found[0], rest[found.end() :], {}
        if rest.startswith("/"):
            # Parse only the path: a comma after it belongs to the outer list.
            end = _end(rest)
            inner, left = _paths(rest[1:end], whole)
            if left:
                raise ValueError(f"malformed at {left!r}")
            rest = rest[end:]
        elif rest.startswith("("):
            inner, rest = _paths(rest[1:], whole)
            if not rest.startswith(")"):
                raise ValueError(f"a parenthesis is open in {whole!r}")
            rest = rest[1:]
        selection[name] = _union(selection[name], inner) if name in selection else inner
        if not rest.startswith(","):
            return selection, rest
        rest = rest[1:]


def _end(text):
    depth = 0
    for at, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth < 0 or (depth == 0 and letter == ","):
            return at
    return len(text)


def _union(one, other):
    if not one or not other:
        return {}
    return {name: _union(one[name], other[name]) if name in one and name in other else one.get(name, other.get(name)) for name in one | other}


def selected(selection, name):
    """What is selected of a field; `None`: nothing."""
    return {} if not selection else selection.get(name, selection.get("*"))


def unknown_fields(api, schema, selection, where=""):
    """Problems of a selection: names that the schema does not have."""
    schema = _resolved(api, schema)
    if schema.get("type") == "array":
        return unknown_fields(api, schema["items"], selection, where)
    problems = []
    for name, inner in selection.items():
        known = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
        if name == "*" or schema.get("type") == "any":
            continue
        if known is None:
            problems.append(f"fields: the answer has no {where}{name}")
        else:
            problems += unknown_fields(api, known, inner, f"{where}{name}/")
    return problems


# Values.


def _resolved(api, schema):
    return document(api)["schemas"][schema["$ref"]] if "$ref" in schema else schema


def _date_time(text):
    return "T" in text and datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).tzinfo is not None


def _number(text, form):
    low, high = LIMITS[form]
    return re.fullmatch(r"-?\d+", text) is not None and low <= int(text) <= high


FORMATS = {
    "int64": lambda text: _number(text, "int64"),
    "uint64": lambda text: _number(text, "uint64"),
    "date-time": _date_time,
    "google-datetime": _date_time,
    "date": lambda text: bool(datetime.date.fromisoformat(text)),
    "byte": lambda text: re.fullmatch(r"[\w+/-]*={0,2}", text) is not None,
}


def _well_formed(text, form):
    try:
        return FORMATS.get(form, lambda _: True)(text)
    except ValueError:
        return False


def judge_value(api, schema, value, where, selection=None, is_answer=True):
    """Problems of a value: types, formats, enums, names that the schema does not have or that were not selected, and, in an answer,
    missing required fields."""
    name = schema.get("$ref", schema.get("id"))
    schema, selection = _resolved(api, schema), selection or {}
    kind, form = schema.get("type"), schema.get("format")
    if kind == "object" and isinstance(value, dict):
        return _judge_object(api, name, schema, value, where, selection, is_answer)
    if kind == "array" and isinstance(value, list):
        return [p for at, item in enumerate(value) for p in judge_value(api, schema["items"], item, f"{where}[{at}]", selection, is_answer)]
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    is_integer = is_number and isinstance(value, int) and LIMITS[form or "int64"][0] <= value <= LIMITS[form or "int64"][1] if kind == "integer" else False
    fits = {
        "any": True,
        "string": isinstance(value, str) and _well_formed(value, form),
        "boolean": isinstance(value, bool),
        "integer": is_integer,
        "number": is_number,
    }
    if not fits.get(kind, False):
        return [f"{where}: {value!r} is no {kind}" + (f" ({form})" if form else "")]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{where}: {value!r} is none of {schema['enum']}"]
    return []


def _judge_object(api, name, schema, value, where, selection, is_answer):
    problems = []
    for key, inner in value.items():
        known = schema.get("properties", {}).get(key, schema.get("additionalProperties"))
        wanted = selected(selection, key)
        if known is None:
            problems.append(f"{where}: there is no field {key}")
        elif wanted is None:
            problems.append(f"{where}: {key} was not selected")
        else:
            problems += judge_value(api, known, inner, f"{where}.{key}", wanted, is_answer)
            if is_answer and key == "kind" and known.get("default", inner) != inner:
                problems.append(f"{where}: kind is {inner!r}, not {known['default']!r}")
    if is_answer:
        missing = [key for key in always.fields(api, name, value) if key not in value and selected(selection, key) is not None]
        problems += [f"{where}: {key} always comes, and is missing" for key in missing]
    return problems


# Requests and answers.


def judge_request(method, path, query, body, scopes):
    """Problems of a request; `query` is the raw query string, `scopes` those of its token, if any."""
    given = [(name, value, "path") for name, value in method.pattern.fullmatch(path).groupdict().items()]
    given = [(name, urllib.parse.unquote(value), place) for name, value, place in given]
    given += [(name, value, "query") for name, value in urllib.parse.parse_qsl(query, keep_blank_values=True)]
    names = [name for name, _, _ in given]
    problems = [p for name, value, place in given for p in _judge_parameter(method, name, value, place)]
    for name, parameter in method.parameters.items():
        if parameter.get("required") and name not in names:
            problems.append(f"the parameter {name} is missing")
        if names.count(name) > 1 and not parameter.get("repeated"):
            problems.append(f"the parameter {name} comes {names.count(name)} times")
    if "media" in [value for name, value, _ in given if name == "alt"] and not method.description.get("supportsMediaDownload"):
        problems.append("alt=media: the method gives no content")
    # A call without a token checks whether Google is reachable, and is refused.
    if scopes is not None and not set(scopes) & set(method.description["scopes"]):
        problems.append(f"none of the token's scopes {scopes} is enough")
    return problems + _judge_body(method, body)


def _judge_body(method, body):
    schema = method.schema("request")
    if not body or body == "{}":
        return []
    if schema is None:
        return ["there is a body where none belongs"]
    try:
        return judge_value(method.api, schema, json.loads(body), "body", is_answer=False)
    except json.JSONDecodeError as error:
        return [f"the body is no JSON: {error}"]


def _judge_parameter(method, name, value, place):
    parameter = method.parameters.get(name)
    if parameter is None or parameter["location"] != place:
        return [f"there is no {place} parameter {name}"]
    problems = [f"the parameter {name} is deprecated"] if parameter.get("deprecated") else []
    kind, form = parameter["type"], parameter.get("format")
    if kind == "integer" and _number(value, form or "int64"):
        largest, smallest = method.largest(name), int(parameter.get("minimum", 0))
        if not smallest <= int(value) or (largest is not None and int(value) > largest):
            problems.append(f"{name}={value} is not within {smallest} and {largest}")
    elif kind == "integer" or (kind == "boolean" and value not in ("true", "false")) or (kind == "string" and not _well_formed(value, form)):
        problems.append(f"{name}={value} is no {kind}" + (f" ({form})" if form else ""))
    if "enum" in parameter and value not in parameter["enum"]:
        problems.append(f"{name}={value} is none of {parameter['enum']}")
    if "pattern" in parameter and not re.fullmatch(parameter["pattern"], value):
        problems.append(f"{name}={value} does not match {parameter['pattern']}")
    if name == "fields":
        problems += _judge_fields(method, value)
    return problems


def _judge_fields(method, text):
    schema = method.schema("response")
    try:
        selection = parse_fields(text)
    except ValueError as error:
        return [f"fields: {error}"]
    return unknown_fields(method.api, schema or {}, selection)


def judge_answer(method, query, answer):
    """Problems of a successful JSON answer to a request with this query."""
    schema = method.schema("response")
    if schema is None:
        return [f"{answer!r} where no answer belongs"] if answer else []
    text = dict(urllib.parse.parse_qsl(query)).get("fields", always.SELECTED.get(method.id))
    return judge_value(method.api, schema, answer, method.id, parse_fields(text) if text else {})
