"""Images and rows become gated and served models, by the commands that a user types."""

import csv
import random
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from components.artifacts import Drift, Published
from components.gate.gate import named_figures
from components.gate.metrics import known
from pipelines.services import EmbeddedServer
from serving.client import Client

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

Completed = subprocess.CompletedProcess[str]
FAST = {
    "train.cpu_seconds": "0",
    "train.eval_every": "30",
    "train.preview_every": "30",
    "train.warmup_steps": "5",
    "evaluate.resamples": "20",
    "drift.max_rows": "500",
}


def loomline(*arguments: str, **settings: str) -> Completed:
    chosen = [f"--set={key}={value}" for key, value in settings.items()]
    command = [sys.executable, "-m", "pipelines.cli", *arguments, *chosen]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)


def ready(server: EmbeddedServer, model: str) -> str:
    """The address of a server, once it has loaded the model."""
    with Client(server.address(), model=model) as client:
        client.wait_until_available(timeout=180)
        return client.address


def unknown(published: Published, modality: str) -> list[str]:
    """Figures that no rule could speak of."""
    reports = {"evaluation": published.evaluation(), "drift": Drift(published.provenance_folder)}
    return [name for name in named_figures(reports) if not known(name, modality)]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bars and squares, a folder each, on grounds that differ."""
    from PIL import Image, ImageDraw

    folder = tmp_path_factory.mktemp("pictures")
    draw = random.Random(0)
    for label in ("bar", "square"):
        (folder / label).mkdir()
        for number in range(150):
            # Grounds of noise: the expectations refuse pictures that are nearly the same.
            image = Image.frombytes("L", (16, 16), draw.randbytes(256)).point(
                lambda level: level // 3
            )
            left, top = draw.randrange(1, 6), draw.randrange(1, 6)
            size = (left + 2, 14) if label == "bar" else (left + 7, top + 7)
            ImageDraw.Draw(image).rectangle((left, top, *size), fill=draw.randrange(150, 256))
            image.save(folder / label / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def orders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV whose amounts depend on the country, delivered no earlier than ordered."""
    path = tmp_path_factory.mktemp("orders") / "orders.csv"
    draw = random.Random(0)
    currencies = {"FR": "EUR", "DE": "EUR", "US": "USD"}
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["country", "currency", "amount", "pieces", "ordered", "delivered", "paid"])
        for _ in range(1500):
            country = draw.choice(list(currencies))
            amount = abs(draw.gauss({"FR": 20, "DE": 60, "US": 150}[country], 9))
            ordered = draw.randrange(1, 200)
            writer.writerow(
                [
                    country,
                    currencies[country],
                    f"{amount:.2f}",
                    "" if draw.random() < 0.1 else draw.randrange(1, 90),
                    ordered,
                    ordered + draw.randrange(0, 90),
                    draw.choice(["true", "false"]),
                ]
            )
    return path


@pytest.fixture(scope="module")
def drawn(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Completed, Path]:
    output = tmp_path_factory.mktemp("image-runs")
    settings = {
        **FAST,
        "ingest.source": str(pictures),
        "ingest.eval_percent": "25",
        "transform.height": "16",
        "transform.width": "16",
        "train.family": "vae",
        "train.steps": "60",
        "evaluate.samples": "50",
        "evaluate.classifier_epochs": "4",
        "gate.rules": "[{metric: evaluation.model_bytes, at_most: 1000000000}]",
    }
    return loomline("run", "image", f"--output={output}", "--prompt=bar", **settings), output


@pytest.fixture(scope="module")
def filled(orders: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Completed, Path]:
    output = tmp_path_factory.mktemp("table-runs")
    settings = {
        **FAST,
        "ingest.source": str(orders),
        "ingest.columns": "[]",
        "ingest.time_column": "",
        "ingest.reference_to": "''",
        "ingest.current_from": "''",
        "ingest.eval_percent": "25",
        "ingest.constraints": "['ordered <= delivered', 'amount > 0', 'fixed: country, currency']",
        "validate.suite": "table",
        "train.steps": "60",
        "train.batch_size": "64",
        "evaluate.target": "",
        "gate.rules": "[{metric: evaluation.constraint_violations, at_most: 0}]",
    }
    prompt = "--prompt=country=US"
    return loomline("run", "table", f"--output={output}", prompt, **settings), output


def test_images_end_in_pictures_of_the_class_asked_for(drawn: tuple[Completed, Path]) -> None:
    done, output = drawn
    assert done.returncode == 0, done.stdout + done.stderr
    assert "version 1 of image says, over gRPC" in done.stdout
    latest = output / "latest"
    (picture,) = latest.glob("drawn-*-bar.png")
    assert picture.read_bytes().startswith(b"\x89PNG")
    for page in ("decision.html", "drift.html", "evaluation.html", "validation.html"):
        assert "<html" in (latest / page).read_text("utf-8")[:500].lower()
    published = Published(output / "models" / "image" / "1")
    figures = published.evaluation().figures()
    assert unknown(published, "image") == []
    assert figures["classifier_accuracy"].value > 0.8
    assert figures["frechet_distance"].low is not None


def test_images_are_written_by_command(drawn: tuple[Completed, Path], tmp_path: Path) -> None:
    models = drawn[1] / "models" / "image"
    with EmbeddedServer(models, "image", tmp_path / "log") as server:
        address = ready(server, "image")
        asked = ["sample", "image", f"--server={address}", f"--out={tmp_path / 'some'}"]
        done = loomline(*asked, "--label=square", "--count=3", "--seed=5")
        assert done.returncode == 0, done.stderr
        again = loomline(*asked[:-1], f"--out={tmp_path / 'again'}", "--label=square", "--count=3",
                         "--seed=5")  # fmt: skip
        assert again.returncode == 0, again.stderr
        wrong = loomline(*asked, "--label=circle")
    files = sorted(path.name for path in (tmp_path / "some").iterdir())
    assert files == [f"{seed:06d}-square.png" for seed in (5, 6, 7)]
    for name in files:
        assert (tmp_path / "some" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    assert wrong.returncode == 2
    assert "one of bar, square" in wrong.stderr
    assert wrong.stderr.count("\n") == 1


def test_rows_end_in_rows_that_meet_every_constraint(
    filled: tuple[Completed, Path], tmp_path: Path
) -> None:
    done, output = filled
    assert done.returncode == 0, done.stdout + done.stderr
    assert "version 1 of table says, over gRPC" in done.stdout
    models = output / "models" / "table"
    figures = Published(models / "1").evaluation().figures()
    assert unknown(Published(models / "1"), "table") == []
    assert figures["quality"].low is not None
    with EmbeddedServer(models, "table", tmp_path / "log") as server:
        address = ready(server, "table")
        written = tmp_path / "rows.parquet"
        asked = ["sample", "table", f"--server={address}", "--rows=2500", "--batch-rows=1000"]
        done = loomline(*asked, f"--out={written}", "--where=country=US")
        wrong = loomline(*asked, f"--out={tmp_path / 'none.csv'}", "--where=country=Mars")
    assert done.returncode == 0, done.stderr
    table = pq.read_table(written)
    assert table.num_rows == 2500
    assert table.column_names[:3] == ["country", "currency", "amount"]
    rows = table.to_pylist()
    assert {(row["country"], row["currency"]) for row in rows} == {("US", "USD")}
    assert all(row["ordered"] <= row["delivered"] for row in rows)
    assert all(row["amount"] > 0 and round(row["amount"], 2) == row["amount"] for row in rows)
    assert 0 < table.column("pieces").null_count < 1000
    assert wrong.returncode == 2
    assert "Mars" in wrong.stderr
    assert wrong.stderr.count("\n") == 1
    assert not (tmp_path / "none.csv").exists()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"train.family": "transformer"}, "expected a family of"),
        ({"train.family_options": "{depht: 3}"}, "depht"),
        ({"ingest.source": "/nowhere"}, "/nowhere"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_mistake_is_one_line(
    settings: dict[str, str], said: str, drawn: tuple[Completed, Path], pictures: Path
) -> None:
    chosen = {
        **FAST,
        "ingest.source": str(pictures),
        "ingest.eval_percent": "25",
        "transform.height": "16",
        "transform.width": "16",
        "train.family": "vae",
        **settings,
    }
    done = loomline("run", "image", f"--output={drawn[1]}", "--no-serve", **chosen)
    assert done.returncode == 2
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert [path.name for path in (drawn[1] / "models" / "image").iterdir() if path.is_dir()] == [
        "1"
    ]
