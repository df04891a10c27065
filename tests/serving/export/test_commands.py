"""What an export needs is asked for in one line."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from click.testing import Result


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a", "--to=mlflow"], "expected --tracking-uri with --to mlflow"),
        (["a", "--to=kubeflow"], "expected --host with --to kubeflow"),
        (["nothing", "--to=kubeflow", "--host=http://x"], "expected the name of one run"),
        (["a", "--to=kubeflow", "--host=somewhere"], "expected --host as https://HOST"),
        (["a", "--to=kubeflow", "--host=https://me:pw@x"], "expected --host as https://HOST"),
        (["a", "--to=kubeflow", "--host=http://x", "--token-file=/none"], "expected a token in"),
        (["a", "--to=kubeflow", "--host=http://x", "--token-file=/dev/null"], "one token in"),
        (["b", "--to=kubeflow", "--host=http://x"], "Received: text/b, failed"),
    ],
)
def test_a_mistake_is_one_line(
    exported: Callable[..., Result],
    one_line: Callable[[Result, str], None],
    arguments: list[str],
    said: str,
) -> None:
    one_line(exported(*arguments), said)


def test_without_mlflow_the_extra_is_named(
    exported: Callable[..., Result],
    one_line: Callable[[Result, str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    monkeypatch.setitem(sys.modules, "mlflow.tracking", None)
    one_line(exported("a", "--to=mlflow", "--tracking-uri=sqlite:///x"), "loomline[mlflow]")
