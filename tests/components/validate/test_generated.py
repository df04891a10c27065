"""What models made is capped by provenance, found again untagged, and never dropped in silence."""

from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.artifacts import Examples, ExamplesManifest, Rejected, SplitInfo, ValidationReport
from components.errors import ConfigError, ValidationError
from components.ingest.ingest import COLUMNS
from components.ingest.writing import schema
from components.validate.generated import GeneratedShare
from components.validate.known_outputs import KnownOutputs, _text_ids
from components.validate.options import ValidateOptions
from components.validate.validate import run

MODEL = "model:text:3"


def sentence(number: int) -> str:
    words = random.Random(number).sample(WORDS, 24)
    return " ".join(words).capitalize() + "."


WORDS = [f"{start}{end}" for start in ("ba", "de", "ki", "lo", "mu") for end in "abcdefghijklmnop"]


def table(texts: list[str], tags: list[str | None]) -> pa.Table:
    rows = [
        {
            "example_id": next(iter(_text_ids(text))),
            "document_id": f"{number}",
            "position": 0,
            "text": text,
            "event_time": None,
            "provenance": tag,
        }
        for number, (text, tag) in enumerate(zip(texts, tags, strict=True))
    ]
    return pa.Table.from_pylist(rows, schema(COLUMNS))


def manifest(**rows: int) -> ExamplesManifest:
    infos = {name: SplitInfo(count, 0, None, None) for name, count in rows.items()}
    return ExamplesManifest("here", "digest", infos, COLUMNS)


def share_of(
    shards: list[pa.Table], known: KnownOutputs | None = None, **options: Any
) -> GeneratedShare:
    found = GeneratedShare(ValidateOptions(**options), known)
    for shard in shards:
        found.add("train", shard, set())
    return found


@pytest.mark.parametrize(
    ("human", "made", "most", "stay"),
    [(90, 10, 0.1, 10), (90, 11, 0.1, 10), (9, 50, 0.1, 1), (10, 5, 0.0, 0), (0, 7, 0.5, 0),
     (70, 30, 0.3, 30), (10, 90, 1.0, 90), (8, 0, 0.1, 0), (10, 20, 0.5, 10)],
)  # fmt: skip
def test_what_stays_is_the_most_that_the_cap_allows(
    human: int, made: int, most: float, stay: int
) -> None:
    texts = [sentence(number) for number in range(human + made)]
    tags = ["human"] * human + [MODEL] * made
    found = share_of([table(texts, list(tags))], max_generated_share=most)
    assert made - len(found.surplus("train")) == stay
    assert stay <= most * (human + stay) + 1e-9
    assert found.surplus("current") == set()


def test_the_choice_does_not_depend_on_the_order() -> None:
    texts = [sentence(number) for number in range(40)]
    tags: list[str | None] = [MODEL if number % 2 else None for number in range(40)]
    whole = share_of([table(texts, tags)]).surplus("train")
    parts = share_of([table(texts[20:], tags[20:]), table(texts[:20], tags[:20])])
    assert parts.surplus("train") == whole
    assert len(whole) == 18


def test_edited_examples_count_where_told() -> None:
    shard = table([sentence(number) for number in range(10)], ["edited:text:3"] * 5 + ["human"] * 5)
    assert share_of([shard]).figures()["generated_offered"].value == 0
    assert share_of([shard], count_edited=True).figures()["generated_offered"].value == 0.5


# --- Known outputs --------------------------------------------------------------------------------


def known(tmp_path: Path, texts: list[str], **options: Any) -> KnownOutputs:
    path = tmp_path / "known.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), "utf-8")
    return KnownOutputs([str(path)], manifest(), options.get("overlap", 0.8))


def test_untagged_outputs_are_found_again_also_after_an_edit(tmp_path: Path) -> None:
    made = [sentence(1), f"{sentence(2)} {sentence(3)} {sentence(4)}"]
    edited = made[1].replace(made[1].split()[30], "other")
    texts = [made[0], edited, sentence(5), sentence(2), "Too short."]
    found = known(tmp_path, made).find(table(texts, [None] * 5)).tolist()
    assert found == [True, True, False, True, False]


def test_a_person_who_says_so_is_believed(tmp_path: Path) -> None:
    shard = table([sentence(1), sentence(2)], ["human", None])
    found = share_of([shard], known(tmp_path, [sentence(1), sentence(2)]))
    assert found.tags == {"human": 1, "found among known outputs": 1}
    assert found.figures()["generated_offered"].value == 0.5


def test_every_form_of_known_outputs(tmp_path: Path) -> None:
    text = sentence(1)
    example_id = next(iter(_text_ids(text)))
    (tmp_path / "ids.txt").write_text(f"{example_id}\n\n")
    (tmp_path / "ids.jsonl").write_text(json.dumps({"example_id": example_id}) + "\n")
    head, tail = text[:20], text[20:]
    samples = {"prompt": [head], "text": [tail], "seed": [0]}
    pq.write_table(pa.table(samples), tmp_path / "samples.parquet")
    for name in ("ids.txt", "ids.jsonl", "samples.parquet"):
        found = KnownOutputs([str(tmp_path / name)], manifest(), 0.8)
        assert found.find(table([text, sentence(2)], [None, None])).tolist() == [True, False], name


def test_rows_of_a_table_are_found_by_what_they_hold(tmp_path: Path) -> None:
    from components.ingest.table.ingest import run as ingest
    from components.ingest.table.options import IngestTableOptions

    lines = "".join(f"{n},{n / 2},name {n},2013-01-{n % 28 + 1:02d}\n" for n in range(40))
    (tmp_path / "rows.csv").write_text(f"a,b,c,d\n{lines}{lines.splitlines()[3]}\n")
    ingest(IngestTableOptions(source=str(tmp_path / "rows.csv")), tmp_path / "examples")
    rows = pa.concat_tables(
        pq.read_table(shard)
        for split in ("train", "eval")
        for shard in Examples(tmp_path / "examples").shards(split)
    )
    made = [{"a": 3, "b": 1.5, "c": "name 3", "d": "2013-01-04"}, {"a": 1, "b": 0.5, "c": "x"}]
    told = "".join(json.dumps({"d": None, **row}) + "\n" for row in made)
    (tmp_path / "made.jsonl").write_text(told)
    read = Examples(tmp_path / "examples").manifest()
    found = KnownOutputs([str(tmp_path / "made.jsonl")], read, 0.8).find(rows)
    # Both of the equal rows, though the second has another id.
    assert rows.filter(pa.array(found)).column("a").to_pylist() == [3, 3]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.txt", None, "No such file"),
        ("a.csv", "x", "a file .csv"),
        ("a.txt", "nonsense", "the id 'nonsense', not 32 hexadecimal digits"),
        ("a.jsonl", '{"body": 1}\n', "columns body, neither example_id nor text"),
        ("a.jsonl", "[1]\n", "list in line 1"),
        ("a.jsonl", "{", "Received: "),
        ("a.parquet", "x", "Received: "),
    ],
)
def test_wrong_known_outputs_are_one_line(
    tmp_path: Path, name: str, content: str | None, said: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(ConfigError, match=r"validate\.known_outputs") as raised:
        KnownOutputs([str(tmp_path / name)], manifest(), 0.8)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


# --- The whole step -------------------------------------------------------------------------------


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    """80 rows of people and 20 of a model in training, 20 and 1 held out, 5 of a model since."""
    folder = Examples(tmp_path / "examples")
    splits: dict[str, list[str | None]] = {
        "train": [MODEL if number % 5 == 0 else "human" for number in range(100)],
        "eval": ["human"] * 20 + [MODEL],
        "current": [MODEL] * 5,
    }
    start = 0
    for split, tags in splits.items():
        (folder.path / split).mkdir(parents=True)
        half = len(tags) // 2
        for shard, part in enumerate((tags[:half], tags[half:])):
            texts = [sentence(number) for number in range(start, start + len(part))]
            start += len(part)
            pq.write_table(table(texts, part), folder.shard_path(split, shard))
    folder.write_manifest(manifest(**{name: len(tags) for name, tags in splits.items()}))
    return folder.path


def check(examples: Path, **options: Any) -> tuple[Examples, pa.Table, dict[str, Any]]:
    root = examples.parent
    run(
        examples, ValidateOptions(**options), root / "validated", root / "rejected", root / "report"
    )
    rejected = pq.read_table(Rejected(root / "rejected").rows_path)
    return Examples(root / "validated"), rejected, ValidationReport(root / "report").read()


def test_the_surplus_is_set_aside_and_reported(examples: Path) -> None:
    before = {path: path.read_bytes() for path in examples.rglob("*.parquet")}
    validated, rejected, report = check(examples, max_generated_share=0.1)
    # 8 of 88 are at most a tenth, 9 of 89 are more.
    counts = {name: info.rows for name, info in validated.manifest().splits.items()}
    assert counts == {"train": 88, "eval": 21, "current": 5}
    kept = pa.concat_tables(map(pq.read_table, validated.shards("train")))
    assert kept.column("provenance").to_pylist().count(MODEL) == 8
    assert rejected.num_rows == 12
    assert set(rejected.column("expectation").to_pylist()) == {"generated_share"}
    assert set(rejected.column("provenance").to_pylist()) == {MODEL}
    made = [row for row in kept.to_pylist() if row["provenance"] == MODEL]
    assert max(row["example_id"] for row in made) < min(rejected.column("example_id").to_pylist())
    figures = {name: figure["value"] for name, figure in report["figures"].items()}
    assert figures["generated_offered"] == pytest.approx(21 / 121)
    assert figures["generated_share"] == pytest.approx(9 / 109)
    assert figures["untagged_share"] == 0
    assert figures["rejected_share"] == pytest.approx(12 / 126)
    assert report["provenance"] == {"human": 100, MODEL: 21}
    page = ValidationReport(examples.parent / "report").html_path.read_text("utf-8")
    assert "Who made them" in page
    # What was read is not touched, though shards are links to it.
    assert {path: path.read_bytes() for path in before} == before


def test_or_the_run_stops(examples: Path) -> None:
    with pytest.raises(ValidationError, match=r"At most 10% .* mend the data or validate.max_gen"):
        check(examples, generated_surplus="fail")
    validated, rejected, _ = check(examples, generated_surplus="fail", max_generated_share=0.2)
    assert validated.manifest().splits["train"].rows == 100
    assert rejected.num_rows == 0


def test_data_of_a_model_alone_leave_nothing(examples: Path) -> None:
    for path in (examples / "train").glob("*"):
        path.unlink()
    for name in ("eval", "current"):
        for path in (examples / name).glob("*"):
            path.unlink()
    pq.write_table(
        table([sentence(1), sentence(2)], [MODEL, MODEL]), Examples(examples).shard_path("train", 0)
    )
    with pytest.raises(ValidationError, match="none of 2; the report tells why"):
        check(examples)


def test_a_guard_of_the_data_counts_or_sets_aside(examples: Path) -> None:
    shard = Examples(examples).shard_path("current", 0)
    first = pq.read_table(shard)
    texts = ["Write to ada@example.org today, please do it soon."]
    pq.write_table(pa.concat_tables([first, table(texts, ["human"])]), shard)
    guard = {"name": "pii", "scorer": "components.guards.pii.PersonalData"}
    validated, rejected, report = check(examples, max_generated_share=1, guards=[guard])
    assert report["figures"]["guards.pii.share"]["value"] == pytest.approx(1 / 127)
    assert rejected.num_rows == 0
    aside = {**guard, "set_aside": True}
    validated, rejected, _ = check(examples, max_generated_share=1, guards=[aside])
    assert rejected.column("text").to_pylist() == texts
    assert rejected.column("expectation").to_pylist() == ["guard:pii"]
    assert validated.manifest().splits["current"].rows == 5
    page = ValidationReport(examples.parent / "report").html_path.read_text("utf-8")
    assert "ada@example.org" not in page


def test_examples_of_before_the_column_existed_pass(examples: Path) -> None:
    for path in examples.rglob("*.parquet"):
        pq.write_table(pq.read_table(path).drop_columns(["provenance"]), path)
    columns = {name: kind for name, kind in COLUMNS.items() if name != "provenance"}
    read = Examples(examples).manifest()
    Examples(examples).write_manifest(dataclasses.replace(read, columns=columns))
    _, rejected, report = check(examples)
    assert rejected.num_rows == 0
    assert report["figures"]["untagged_share"]["value"] == 1
