"""Whether a value has the shape that the served OpenAPI document says."""

from typing import Any, Final

from tests.acceptance.client import Json

TYPES: Final[dict[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
}
# RFC 9457: a problem may say more than what all problems say.
OPEN = ("Problem", "ItemProblem")


def answer_schema(document: Json, method: str, path: str, status: int) -> Json:
    """The schema of an answer."""
    response = document["paths"][path][method.lower()]["responses"][str(status)]
    if reference := response.get("$ref"):
        response = document["components"]["responses"][reference.rpartition("/")[2]]
    (content,) = response["content"].values()
    schema: Json = content["schema"]
    return schema


def check_shape(document: Json, schema: Json, value: Any, where: str = "") -> None:
    """
    Check that an object has exactly the members that its schema has, all the way down.

    What a schema leaves open (a payload) is not looked into.

    Raises:
        AssertionError: It names where the two differ.
    """
    if reference := schema.get("$ref"):
        resolved = document["components"]["schemas"][reference.rpartition("/")[2]]
        check_shape(document, resolved, value, where)
    elif options := schema.get("anyOf"):
        if value is not None:
            check_shape(document, next(o for o in options if o.get("type") != "null"), value, where)
        else:
            assert any(option.get("type") == "null" for option in options), f"{where} is null"
    elif "properties" in schema:
        assert isinstance(value, dict), where
        known = schema["properties"]
        optional = known.keys() - set(schema.get("required", ()))
        unknown = value.keys() - known.keys()
        assert not unknown or schema["title"] in OPEN, f"{where}: not described {unknown}"
        missing = known.keys() - value.keys() - optional
        assert not missing, f"{where}: missing {missing}"
        for name in value.keys() & known.keys():
            check_shape(document, known[name], value[name], f"{where}/{name}")
    elif schema.get("type") == "array":
        assert isinstance(value, list), where
        for index, item in enumerate(value):
            check_shape(document, schema["items"], item, f"{where}/{index}")
    elif kind := schema.get("type"):
        assert isinstance(value, TYPES[kind]), f"{where} is {value!r}, no {kind}"
