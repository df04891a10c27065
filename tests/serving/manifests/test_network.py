"""Which pod may reach which, by the rendered policies: the flows that are needed, and no others.

Policies are evaluated here as Kubernetes documents them: a pod that a policy selects may do what at
least one policy of that direction allows; a flow inside the cluster needs both ends' leave.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Callable
from typing import Any

import pytest

HERE = "loomline"
KUBE_SYSTEM = {"kubernetes.io/metadata.name": "kube-system"}
DATABASE, BUCKET, METADATA = "10.20.30.40", "142.250.1.1", "169.254.169.254"


@dataclasses.dataclass(frozen=True)
class End:
    """One end of a flow: a pod of a namespace, or an address outside of the cluster."""

    labels: tuple[tuple[str, str], ...] = ()
    namespace: tuple[tuple[str, str], ...] = ()
    address: str | None = None


def pod(namespace: dict[str, str] | None = None, **labels: str) -> End:
    given = {"app.kubernetes.io/name": labels.pop("name", "other"), **labels}
    inside = namespace or {"kubernetes.io/metadata.name": HERE}
    return End(tuple(given.items()), tuple(inside.items()))


def labelled(objects: Any, end: End) -> End:
    """The same pod, with the labels that the manifests give it where they make it."""
    name = dict(end.labels).get("app.kubernetes.io/name")
    own = (("kubernetes.io/metadata.name", HERE),)
    for each in objects.pods():
        if end.namespace == own and each.labels["app.kubernetes.io/name"] == name:
            return dataclasses.replace(end, labels=tuple(each.labels.items()))
    return end


def allowed(objects: Any, source: End, target: End, port: int) -> bool:
    """Whether a TCP flow passes."""
    ports = {
        one["containerPort"]: one["name"]
        for each in objects.pods()
        for one in each.container.get("ports", [])
    }
    names = {port, ports.get(port)}
    policies = objects.of("NetworkPolicy")
    return _passes(policies, "Egress", source, target, names) and _passes(
        policies, "Ingress", target, source, names
    )


def _passes(policies: Any, direction: str, own: End, peer: End, ports: set[Any]) -> bool:
    if own.address or dict(own.namespace).get("kubernetes.io/metadata.name") != HERE:
        return True  # somebody else's
    chosen = [
        one
        for one in policies
        if direction in one["spec"]["policyTypes"]
        and _selects(one["spec"]["podSelector"], own.labels)
    ]
    rules = [rule for one in chosen for rule in one["spec"].get(direction.lower(), [])]
    side = "to" if direction == "Egress" else "from"
    return not chosen or any(
        any(one.get("protocol", "TCP") == "TCP" and one["port"] in ports for one in rule["ports"])
        and any(_is(peer, one) for one in rule[side])
        for rule in rules
    )


def _selects(selector: dict[str, Any], labels: tuple[tuple[str, str], ...]) -> bool:
    assert selector.keys() <= {"matchLabels"}
    return selector.get("matchLabels", {}).items() <= dict(labels).items()


def _is(peer: End, rule: dict[str, Any]) -> bool:
    if "ipBlock" in rule:
        if peer.address is None:
            return False
        address = ipaddress.ip_address(peer.address)
        block = rule["ipBlock"]
        inside = address in ipaddress.ip_network(block["cidr"])
        return inside and not any(
            address in ipaddress.ip_network(one) for one in block.get("except", [])
        )
    if peer.address is not None:
        return False
    own = (("kubernetes.io/metadata.name", HERE),)
    if "namespaceSelector" in rule:
        if not _selects(rule["namespaceSelector"], peer.namespace):
            return False
    elif peer.namespace != own:
        return False
    return "podSelector" not in rule or _selects(rule["podSelector"], peer.labels)


SERVER = pod(name="model-server")
GATEWAY = pod(name="gateway")
MONITOR = pod(name="monitor")
RETRAIN = pod(name="retrain")
PIPELINES = pod({"kubernetes.io/metadata.name": "kubeflow"}, app="ml-pipeline")
PROMETHEUS = pod({"kubernetes.io/metadata.name": "monitoring"}, name="prometheus")
SETTLE = pod(name="settle")
DNS = pod(KUBE_SYSTEM, **{"k8s-app": "kube-dns"})
CALLER = pod({"kubernetes.io/metadata.name": "shop", "loomline.dev/clients": "allowed"})
STRANGER = pod({"kubernetes.io/metadata.name": "elsewhere"})
INGRESS = pod({"kubernetes.io/metadata.name": "ingress-nginx"}, name="ingress-nginx")
NEIGHBOUR = pod(name="neighbour")


@pytest.mark.parametrize(
    ("components", "source", "target", "port", "expected"),
    [
        ((), CALLER, GATEWAY, 8080, True),
        ((), STRANGER, GATEWAY, 8080, False),
        ((), NEIGHBOUR, GATEWAY, 8080, False),
        ((), GATEWAY, SERVER, 8500, True),
        ((), GATEWAY, SERVER, 8501, False),
        ((), CALLER, SERVER, 8500, False),
        ((), NEIGHBOUR, SERVER, 8500, False),
        ((), SERVER, GATEWAY, 8080, False),
        ((), GATEWAY, End(address=DATABASE), 5432, True),
        ((), GATEWAY, End(address=DATABASE), 443, False),
        ((), GATEWAY, End(address=BUCKET), 443, False),
        ((), SERVER, End(address=DATABASE), 5432, False),
        ((), SERVER, End(address=BUCKET), 443, False),
        ((), SERVER, End(address=METADATA), 80, False),
        ((), SERVER, DNS, 53, True),
        ((), GATEWAY, DNS, 53, True),
        ((), GATEWAY, STRANGER, 53, False),
        ((), NEIGHBOUR, End(address=BUCKET), 443, False),
        (("models-gcs",), SERVER, End(address=BUCKET), 443, True),
        (("models-gcs",), SERVER, End(address=METADATA), 80, True),
        (("models-gcs",), SERVER, End(address=DATABASE), 443, False),
        (("models-gcs",), GATEWAY, End(address=METADATA), 80, False),
        (("ingress",), INGRESS, GATEWAY, 8080, True),
        (("ingress",), INGRESS, SERVER, 8500, False),
        (("approvals",), SETTLE, End(address=DATABASE), 5432, True),
        (("approvals",), SETTLE, SERVER, 8500, False),
        (("approvals",), CALLER, SETTLE, 8080, False),
        (("monitoring-run",), MONITOR, SERVER, 8500, True),
        (("monitoring-run",), MONITOR, End(address=BUCKET), 443, True),
        (("monitoring-run",), MONITOR, End(address=METADATA), 80, False),
        (("monitoring-run",), MONITOR, PIPELINES, 8888, False),
        (("monitoring-run", "monitoring-retrain"), MONITOR, PIPELINES, 8888, True),
        (("monitoring-run", "monitoring-retrain"), MONITOR, PIPELINES, 3306, False),
        (("retraining",), RETRAIN, PIPELINES, 8888, True),
        (("retraining",), RETRAIN, End(address=DATABASE), 5432, False),
        (("monitoring",), PROMETHEUS, SERVER, 8501, True),
        (("monitoring",), PROMETHEUS, SERVER, 8500, False),
        (("monitoring",), PROMETHEUS, GATEWAY, 8080, True),
        (("monitoring",), STRANGER, SERVER, 8501, False),
    ],
)
def test_flows(
    overlay: Callable[..., Any],
    components: tuple[str, ...],
    source: End,
    target: End,
    port: int,
    expected: bool,
) -> None:
    objects = overlay("cpu", *components)
    ends = labelled(objects, source), labelled(objects, target)
    assert allowed(objects, *ends, port) is expected


def test_every_pod_is_closed_by_default(rendered: Any) -> None:
    [closed] = [
        one for one in rendered.of("NetworkPolicy") if one["metadata"]["name"] == "default-deny"
    ]
    assert closed["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_policies_select_pods_that_there_are(rendered: Any) -> None:
    for policy in rendered.of("NetworkPolicy"):
        selector = policy["spec"]["podSelector"]
        found = [one for one in rendered.pods() if _selects(selector, tuple(one.labels.items()))]
        assert found, policy["metadata"]["name"]
