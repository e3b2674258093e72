"""Which bodies are read at all, through a real route that then finds no database."""

import io

import pytest

from orchestrator.api.wire.members import BATCH_LIMIT_BYTES, LEASES_LIMIT_BYTES, PAYLOAD_LIMIT_BYTES

RUN = b'{"workflow": "refund"}'
JSON = "application/json"


class Endless:
    """A chunked body that never ends, counting what was taken from it."""

    taken = 0

    def read(self, size=-1):
        self.taken += size
        return b" " * size


@pytest.fixture
def create(client, bearer):
    def send(body, *, role="client", path="/v1/runs", **options):
        options = {"content_type": JSON, **options}
        return client.post(path, data=body, headers=bearer(role), **options)

    return send


@pytest.fixture
def send(client, bearer):
    """A body as a server hands it over: a stream, with or without a length."""

    def send(stream, *, length, role="client"):
        framing = {"HTTP_TRANSFER_ENCODING": "chunked"}
        if length is not None:
            framing = {"CONTENT_LENGTH": str(length)}
        environ = {"wsgi.input": stream, "wsgi.input_terminated": True, **framing}
        return client.post(
            "/v1/runs", content_type=JSON, headers=bearer(role), environ_overrides=environ
        )

    return send


def test_a_proper_body_reaches_the_database_which_is_away(create):
    answer = create(RUN)

    assert (answer.status_code, answer.json["code"]) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) >= 1


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "",
        "application/x-www-form-urlencoded",
        "application/json; charset=utf-16",
        "text/json",
    ],
)
def test_another_media_type_is_refused(create, content_type):
    answer = create(RUN, content_type=content_type)

    assert (answer.status_code, answer.json["code"]) == (415, "unsupported-media-type")


def test_a_compressed_body_is_refused(client, bearer):
    headers = bearer("client") | {"Content-Encoding": "gzip"}
    answer = client.post("/v1/runs", data=RUN, content_type=JSON, headers=headers)

    assert (answer.status_code, answer.json["code"]) == (415, "unsupported-encoding")


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"1", b"null", b"true"])
def test_what_is_no_object_does_not_fit(create, body):
    answer = create(body)

    assert (answer.status_code, answer.json["code"]) == (422, "validation")
    assert answer.json["errors"] == [{"path": "", "message": "must be a JSON object"}]


@pytest.mark.parametrize(
    ("path", "role", "limit_bytes"),
    [
        ("/v1/runs", "client", PAYLOAD_LIMIT_BYTES),
        ("/v1/claims", "executor", PAYLOAD_LIMIT_BYTES),
        ("/v1/runs/batch", "client", BATCH_LIMIT_BYTES),
        ("/v1/reports", "executor", BATCH_LIMIT_BYTES),
        ("/v1/leases/renew", "executor", LEASES_LIMIT_BYTES),
        ("/v1/leases/release", "executor", LEASES_LIMIT_BYTES),
    ],
)
def test_each_route_has_its_cap(create, path, role, limit_bytes):
    fits = create(b" " * limit_bytes, role=role, path=path)
    too_large = create(b" " * (limit_bytes + 1), role=role, path=path)

    assert (fits.status_code, fits.json["code"]) == (400, "malformed-json")
    assert (too_large.status_code, too_large.json["code"]) == (413, "payload-too-large")


def test_a_body_that_says_it_is_too_large_is_not_read(send):
    body = Endless()
    answer = send(body, length=2**40)

    assert answer.json["code"] == "payload-too-large"
    assert body.taken == 0


def test_a_chunked_body_is_read_to_its_cap_and_no_further(send):
    body = Endless()
    answer = send(body, length=None)

    assert answer.json["code"] == "payload-too-large"
    assert body.taken <= PAYLOAD_LIMIT_BYTES + 1


def test_a_chunked_body_that_fits_is_read(send):
    answer = send(io.BytesIO(RUN), length=None)

    assert answer.json["code"] == "unavailable"


def test_a_body_shorter_than_it_said_is_malformed(send):
    answer = send(io.BytesIO(RUN), length=1000)

    assert (answer.status_code, answer.json["code"]) == (400, "malformed-request")


def test_a_body_is_not_read_without_a_token(send):
    body = Endless()
    answer = send(body, length=100, role="stranger")

    assert answer.status_code == 401
    assert body.taken == 0


def test_a_body_may_be_left_out_where_nothing_is_required(client, bearer):
    path = "/v1/runs/01a20398-f4e1-7770-9bf5-9dee2154fafc"
    act = client.post(f"{path}/abort", headers=bearer("client"))
    resume = client.post(f"{path}/resume", headers=bearer("client"), content_type=JSON)

    assert act.json["code"] == "unavailable"
    assert (resume.status_code, resume.json["code"]) == (400, "malformed-json")
