"""Requests as a client would write them, and their answers as it would read them."""

import json
from typing import Any

from ruxa_async.testing.fake import FakeRuxa
from ruxa_async.wire.messages import FilePart, Multipart, Request, Response

BASE = "https://api.ruxa.ai"
KEY = {"Authorization": "Bearer sk-sandbox"}
JSON = {**KEY, "Content-Type": "application/json"}
PICTURE = FilePart("input_reference", "horse.png", "image/png", b"\x89PNG")


def create(prompt: object = "A horse taking flight", **fields: object) -> Request:
    return post({"model": "sora-2", "prompt": prompt, **fields})


def post(body: object) -> Request:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Request("POST", f"{BASE}/api/v1/tasks/create", JSON, content, idempotent=False)


def image(model: str, **parameters: object) -> Request:
    return post({"model": model, "input": {"prompt": "A horse", **parameters}})


def form(*more: tuple[str, str], file: FilePart = PICTURE) -> Request:
    fields = (("model", "sora-2"), ("prompt", "A horse"), *more)
    return Request("POST", f"{BASE}/api/v1/tasks/create", KEY, Multipart(fields, file))


def query(task_id: str) -> Request:
    return Request("GET", f"{BASE}/api/v1/tasks/query/{task_id}", KEY)


def read(response: Response) -> Any:
    return json.loads(response.body)


def created(fake: FakeRuxa, request: Request, now: float = 0.0) -> str:
    """Return the id of the task that a valid create has made."""
    answer = read(fake.answer(request, now))
    assert answer["code"] == 200, answer
    return answer["data"]["taskId"]


def details(fake: FakeRuxa, task_id: str, now: float) -> dict[str, Any]:
    return read(fake.answer(query(task_id), now))["data"]
