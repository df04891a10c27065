"""Images come as images and rows as rows, from real models behind a real server."""

from __future__ import annotations

import base64
import csv
import io
from typing import Any

import pytest

PNG = b"\x89PNG\r\n\x1a\n"


def test_models_tell_what_may_be_chosen(gallery: Any) -> None:
    found = {one["name"]: one for one in gallery.http.get("/v1/models").json()["models"]}
    assert {name: one["modality"] for name, one in found.items()} == {
        "image": "image",
        "table": "table",
        "plain": "image",
    }
    choices = found["image"]["choices"]
    assert choices["labels"] == ["Bag", "Coat <b>", "Sneaker"]
    assert choices["parameters"]["guidance"] == {"default": 2.0, "minimum": 0.0, "maximum": 20.0}
    assert found["plain"]["choices"]["parameters"] == {"guidance": {}, "steps": {}}
    table = found["table"]["choices"]
    assert [column["name"] for column in table["columns"]] == ["distance", "carrier", "dep_delay"]
    assert table["columns"][1]["categories"] == ["AA", "B6", "UA, United"]
    assert table["parameters"]["temperature"]["default"] == 1.0


def test_images_have_their_class_and_seeds_that_follow_each_other(gallery: Any) -> None:
    body = {"model": "image", "class": "Sneaker", "n": 3, "seed": 7, "parameters": {"guidance": 5}}
    reply = gallery.http.post("/v1/images", json=body)
    assert reply.status_code == 200, reply.text
    answer = reply.json()
    assert (answer["version"], answer["seed"]) == (1, 7)
    assert [(one["class"], one["seed"]) for one in answer["images"]] == [
        ("Sneaker", 7),
        ("Sneaker", 8),
        ("Sneaker", 9),
    ]
    files = [base64.b64decode(one["b64"]) for one in answer["images"]]
    assert all(file.startswith(PNG) for file in files)
    assert len(set(files)) == 3
    again = gallery.http.post("/v1/images", json={**body, "n": 1, "seed": 8}).json()
    assert base64.b64decode(again["images"][0]["b64"]) == files[1]
    kept = gallery.http.get(f"/v1/requests/{answer['request_id']}").json()
    assert kept["inputs"]["class"] == "Sneaker"
    assert base64.b64decode(kept["outputs"]["image"][2]["b64"]) == files[2]


@pytest.mark.parametrize("model", ["image", "plain"])
def test_what_is_left_out_is_the_models_own_default(gallery: Any, model: str) -> None:
    given = {"model": model, "class": "Bag", "seed": 1}
    plain = gallery.http.post("/v1/images", json=given).json()["images"]
    parameters = {"guidance": 2.0, "steps": 50.0}
    same = gallery.http.post("/v1/images", json={**given, "parameters": parameters}).json()
    assert plain == same["images"]
    other = gallery.http.post("/v1/images", json={**given, "parameters": {"guidance": 9}}).json()
    assert plain != other["images"]


def test_one_image_comes_as_itself(gallery: Any) -> None:
    body = {"model": "image", "seed": 2**63 - 1}
    reply = gallery.http.post("/v1/images", json=body, headers={"Accept": "image/png"})
    assert reply.headers["content-type"] == "image/png"
    assert reply.headers["x-model-version"] == "1"
    assert reply.content.startswith(PNG)
    two = gallery.http.post("/v1/images?as=image", json={**body, "n": 2})
    assert (two.status_code, two.json()["error"]["message"]) == (
        400,
        "expected n=1 for an image itself. Received: 2",
    )


def test_rows_have_their_types_and_what_is_missing_is_null(gallery: Any) -> None:
    body = {"model": "table", "num_rows": 5, "seed": 1, "temperature": 2.0}
    answer = gallery.http.post("/v1/rows", json=body).json()
    assert answer["columns"] == ["distance", "carrier", "dep_delay", "cancelled"]
    assert answer["rows"][0] == {
        "distance": 2**40,
        "carrier": "B6",
        "dep_delay": 0.0,
        "cancelled": True,
    }
    assert [row["dep_delay"] for row in answer["rows"]] == [0.0, 0.25, 0.5, None, 1.0]
    assert gallery.http.post("/v1/rows", json=body).json()["rows"] == answer["rows"]
    kept = gallery.http.get(f"/v1/requests/{answer['request_id']}").json()
    assert kept["outputs"]["distance"] == [2**40 + index for index in range(5)]


def test_conditions_hold_and_csv_quotes_what_it_must(gallery: Any) -> None:
    body = {"model": "table", "num_rows": 4, "conditions": ["carrier=UA, United"], "seed": 3}
    reply = gallery.http.post("/v1/rows", json=body, headers={"Accept": "text/csv"})
    assert reply.headers["content-type"] == "text/csv; charset=utf-8"
    assert (reply.headers["x-model-version"], reply.headers["x-seed"]) == ("1", "3")
    rows = list(csv.DictReader(io.StringIO(reply.text)))
    assert [row["carrier"] for row in rows] == ["UA, United"] * 4
    assert [row["dep_delay"] for row in rows] == ["0.0", "0.125", "0.25", ""]


def test_many_rows_are_recorded_in_part(gallery: Any) -> None:
    answer = gallery.http.post("/v1/rows", json={"model": "table", "num_rows": 1000}).json()
    assert len(answer["rows"]) == 1000
    kept = gallery.http.get(f"/v1/requests/{answer['request_id']}").json()
    assert len(kept["outputs"]["carrier"]) == 100
    assert kept["inputs"]["seed"] == answer["seed"]


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        (
            "images",
            {"model": "table"},
            "expected a model of images, whose generate gives one. Received: table",
        ),
        (
            "rows",
            {"model": "image"},
            "expected a model of rows, whose generate takes num_rows. Received: image",
        ),
        ("images", {"model": "image", "n": 17}, "expected n of at most 16. Received: 17"),
        ("rows", {"model": "table", "num_rows": 10_001}, "num_rows of at most 10000"),
        (
            "images",
            {"model": "image", "parameters": {"guidence": 2}},
            "expected parameters of: guidance, steps. Received: 'guidence'",
        ),
        (
            "images",
            {"model": "image", "parameters": {"guidance": 21}},
            "guidance must be from 0 to 20",
        ),
        ("images", {"model": "image", "parameters": {"guidance": "2"}}, "parameters.guidance"),
        ("rows", {"model": "table", "conditions": ["distance=3"]}, "conditions must name carrier"),
        ("rows", {"model": "table", "rows": 3}, "rows"),
    ],
)
def test_mistakes_are_told_in_one_line(
    gallery: Any, path: str, body: dict[str, Any], said: str
) -> None:
    reply = gallery.http.post(f"/v1/{path}", json=body)
    assert reply.status_code == 400, reply.text
    message = reply.json()["error"]["message"]
    assert said in message
    assert "\n" not in message


def test_the_documentation_names_both_calls(gallery: Any) -> None:
    paths = gallery.http.get("/openapi.json").json()["paths"]
    assert {"/v1/images", "/v1/rows"} <= paths.keys()
