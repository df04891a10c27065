"""Warmup requests in `assets.extra/tf_serving_warmup_requests` are run before a version serves."""

from __future__ import annotations

import pytest


def test_a_model_is_warmed_by_every_kind_of_call(calls, serve):
    """g3doc/saved_model_warmup.md: 'Regress, Classify, MultiInference and Predict'."""
    name = serve({1: "warm"}).name
    assert calls.states(name) == {1: "AVAILABLE"}
    assert calls.half(name) == (3.0, 1)


@pytest.fixture
def failure(calls, registry, serve, until):
    """Publishes an export as version 2 over a good version 1; how it ended."""

    def failure(export):
        base_path = serve({1: "half_plus_two"})
        registry.publish(export, base_path, 2)
        until(lambda: calls.states(base_path.name).get(2) == "END")
        assert calls.half(base_path.name) == (3.0, 1)
        return calls.status(base_path.name, version=2).model_version_status[0].status

    return failure


def test_a_warmup_request_that_fails_fails_the_load(failure):
    """servables/tensorflow/saved_model_warmup_util.cc: TF_RETURN_IF_ERROR of the request."""
    status = failure("warmup_fails")
    assert status.error_code == 3
    assert "n must be positive. Received:" in status.error_message


def test_a_warmup_file_that_is_no_tfrecord_fails_the_load(failure):
    """servables/tensorflow/saved_model_warmup_util.cc: DATA_LOSS, with advice."""
    status = failure("warmup_garbage")
    assert status.error_code == 15
    assert status.error_message.endswith("Please verify your warmup data is in TFRecord format.")


def test_more_than_a_thousand_warmup_records_fail_the_load(failure):
    """servables/tensorflow/saved_model_warmup_util.cc: kMaxNumRecords."""
    status = failure("warmup_too_long")
    assert status.error_code == 3
    assert status.error_message.startswith("Number of warmup records exceeds the maximum (1000)")
