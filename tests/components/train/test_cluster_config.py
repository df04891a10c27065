"""A worker without TF_CONFIG makes it from addresses and its index."""

import json

import pytest

from components.errors import ConfigError
from components.train.cluster_config import node_hosts, tf_config


def test_the_pod_of_an_index_is_the_task_of_that_index() -> None:
    hosts = node_hosts("job", "node", 3, 2222)
    config = json.loads(tf_config(hosts, "1"))
    assert config["task"] == {"type": "worker", "index": 1}
    assert config["cluster"]["worker"] == [
        "job-node-0-0.job:2222", "job-node-0-1.job:2222", "job-node-0-2.job:2222"
    ]  # fmt: skip


def test_tensorflow_finds_itself_and_the_chief(monkeypatch: pytest.MonkeyPatch) -> None:
    from components.train.distribution import check_tf_config

    text = tf_config(["10.0.0.1:2222", "[fd00::1]:2222"], "0")
    check_tf_config(text)
    monkeypatch.setenv("TF_CONFIG", text)
    import tensorflow as tf

    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    assert (resolver.task_type, resolver.task_id) == ("worker", 0)
    assert resolver.cluster_spec().num_tasks("worker") == 2


@pytest.mark.parametrize("index", ["", "2", "-1", "one"])
def test_an_index_that_is_none_of_them_is_refused(index: str) -> None:
    with pytest.raises(ConfigError, match="expected JOB_COMPLETION_INDEX from 0 to 1"):
        tf_config(["a:1", "b:1"], index)


@pytest.mark.parametrize("hosts", [["a:1", "a:1"], ["a", "b:1"], ["a:1", ""], ["a:x", "b:1"]])
def test_addresses_of_another_form_are_refused(hosts: list[str]) -> None:
    with pytest.raises(ConfigError, match="--workers expects host:port"):
        tf_config(hosts, "0")
