"""Makes the PrometheusRule out of the one file of rules.

python manifests/components/monitoring/generate.py
"""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent
RULES = HERE.parents[1] / "monitoring/prometheus/rules.yaml"
RULE = HERE / "prometheus-rule.yaml"
_HEAD = """\
# Made by generate.py out of manifests/monitoring/prometheus/rules.yaml: change it there.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: loomline
spec:
"""


def prometheus_rule() -> str:
    """The object's YAML: the file of rules, further to the right, under a head of its own."""
    lines = RULES.read_text("utf-8").splitlines()
    return _HEAD + "".join(f"  {line}\n" if line else "\n" for line in lines)


if __name__ == "__main__":
    RULE.write_text(prometheus_rule(), "utf-8")
