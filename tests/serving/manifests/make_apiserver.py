"""Builds Kubernetes' own API server and etcd from their Go modules: some ten minutes of CPU.

    python tests/serving/manifests/make_apiserver.py .tools

Kubernetes is no module that others may build as it is: it names its parts by a version that does
not exist. A module of our own names those that were published with it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

# The newest of make_schemas.py.
VERSION = "v1.37.2"
ETCD = "go.etcd.io/etcd/server/v3@v3.7.3"
# The parts have the same number with another first digit.
PARTS = VERSION.replace("v1.", "v0.", 1)


def main() -> None:
    """Builds what is missing into the folder that the command line names."""
    target = Path(sys.argv[1]).resolve()
    if (target / "kube-apiserver").is_file() and (target / "etcd").is_file():
        return
    with tempfile.TemporaryDirectory() as folder:
        module = json.loads(_go(folder, "mod", "download", "-json", f"k8s.io/kubernetes@{VERSION}"))
        theirs = Path(module["GoMod"]).read_text("utf-8")
        (Path(folder) / "go.mod").write_text(_own(theirs), "utf-8")
        _go(folder, "mod", "tidy")
        for package, name in (("k8s.io/kubernetes/cmd/kube-apiserver", "kube-apiserver"),
                              (ETCD.partition("@")[0], "etcd")):  # fmt: skip
            _go(folder, "build", "-ldflags", _flags(), "-o", str(target / name), package)


def _own(theirs: str) -> str:
    """A module that needs Kubernetes, and the published versions of its parts."""
    found = re.search(r"^go (\S+)$", theirs, re.MULTILINE)
    assert found is not None
    parts = sorted(set(re.findall(r"^\t(k8s\.io/\S+) v0\.0\.0$", theirs, re.MULTILINE)))
    replaced = "".join(f"\t{name} => {name} {PARTS}\n" for name in parts)
    etcd, _, version = ETCD.partition("@")
    return (
        f"module loomline/apiserver\n\ngo {found[1]}\n\n"
        f"require (\n\tk8s.io/kubernetes {VERSION}\n\t{etcd} {version}\n)\n\n"
        f"replace (\n{replaced})\n\n"
        f"tool (\n\tk8s.io/kubernetes/cmd/kube-apiserver\n\t{etcd}\n)\n"
    )


def _flags() -> str:
    """Without these it would say that its version is 0.0.0, and offer nothing."""
    major, minor, _ = VERSION.removeprefix("v").split(".")
    package = "k8s.io/component-base/version"
    values = {"gitVersion": VERSION, "gitMajor": major, "gitMinor": minor}
    return "-s -w " + " ".join(f"-X {package}.{name}={value}" for name, value in values.items())


def _go(folder: str, *arguments: str) -> str:
    environment: dict[str, Any] = {**os.environ, "GOFLAGS": "-buildvcs=false"}
    done = subprocess.run(
        ["go", *arguments], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    )
    if done.returncode != 0:
        sys.exit(f"error: expected `go {' '.join(arguments)}` to succeed. See above")
    return done.stdout


if __name__ == "__main__":
    main()
