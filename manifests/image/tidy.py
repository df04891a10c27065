"""Finishes an environment of the image inside its build: prunes, compiles, lists, dates.

    tidy.py packages ENVIRONMENT             # prune.txt, SBOM, bytecode
    tidy.py code FOLDER ENVIRONMENT          # bytecode of our code, by that environment's Python
    tidy.py date FOLDER                      # one date for all

Two builds of the same inputs shall give the same bytes, so every file gets one date, bytecode is
bound to no date, and each package is compiled by a process of its own: what a process has compiled
before shows in its bytecode.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

TOOLS = Path(sys.executable).parent
# 1 January 1980, the first day that every archive format can write.
_DATE = 315_532_800
PRUNE = Path(__file__).with_name("prune.txt")
# A fifth of the modules: cloud clients and test suites, which no step imports.
UNCOMPILED = r"/(google/cloud/(?!storage|_)|google/(genai|pubsub_v1)|tests)/|_test[.]py$"


def main() -> None:
    """Does what the first argument says."""
    what, environment = sys.argv[1], Path(sys.argv[2])
    if what == "date":
        date(environment)
        return
    (packages,) = environment.glob("lib/python3.*/site-packages")
    if what == "packages":
        freed = prune(packages, PRUNE.read_text("utf-8"), os.environ.get("VARIANT", ""))
        print(f"pruned {freed / 1e6:,.0f} MB")
        list_packages(environment)
    compile_bytecode(packages, Path(sys.argv[-1]) / "bin" / "python")


def prune(packages: Path, patterns: str, variant: str) -> int:
    """Deletes what the patterns name.

    Args:
        packages: the folder that the patterns are relative to.
        patterns: a glob a line, with the variants that need what it names after it; empty lines
            and those that start with # are comments.
        variant: the image's.

    Returns:
        The bytes that were freed.
    """
    freed = 0
    for line in patterns.splitlines():
        if not line or line.startswith("#"):
            continue
        pattern, *needing = line.split()
        for path in sorted(packages.glob(pattern)) if variant not in needing else ():
            if path.is_dir():
                freed += sum(file.lstat().st_size for file in path.rglob("*") if file.is_file())
                shutil.rmtree(path)
            elif path.exists():
                freed += path.lstat().st_size
                path.unlink()
    return freed


def list_packages(environment: Path) -> None:
    """Writes the SBOM: what pip would list, and Debian's packages, in CycloneDX's JSON."""
    target = environment / "sbom.cdx.json"
    subprocess.run(
        [
            TOOLS / "cyclonedx-py",
            "environment",
            "--output-reproducible",
            f"--output-file={target}",
            environment / "bin" / "python",
        ],
        check=True,
    )
    listed = json.loads(target.read_text("utf-8"))
    listed["components"] += _debian_packages()
    target.write_text(json.dumps(listed, indent=1) + "\n", "utf-8")


def _debian_packages() -> list[dict[str, Any]]:
    release = dict(
        line.replace('"', "").split("=", 1)
        for line in Path("/etc/os-release").read_text("utf-8").splitlines()
        if "=" in line
    )
    asked = ["dpkg-query", "--show", "--showformat=${Package} ${Version} ${Architecture}\n"]
    found = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.splitlines()
    packages = []
    for name, version, architecture in sorted(line.split() for line in found):
        purl = (
            f"pkg:deb/{release['ID']}/{name}@{version.replace('+', '%2B')}"
            f"?arch={architecture}&distro={release['ID']}-{release['VERSION_ID']}"
        )
        packages.append(
            {
                "type": "library",
                "bom-ref": purl,
                "name": name,
                "version": version,
                "purl": purl,
            }
        )
    return packages


def compile_bytecode(packages: Path, python: Path) -> None:
    """Compiles every module to bytecode that is valid whatever the dates of the files are."""
    # Without site, whose own imports cost more than most packages.
    command = [str(python), "-S", "-m", "compileall", "-q", "-x", UNCOMPILED]
    command.append("--invalidation-mode=unchecked-hash")
    environment = {**os.environ, "PYTHONHASHSEED": "0"}

    def compile_one(path: Path) -> None:
        # What does not compile, such as templates of code, could not be imported either.
        subprocess.run(
            [*command, str(path)], env=environment, stdout=subprocess.DEVNULL, check=False
        )

    for stale in packages.rglob("__pycache__"):
        shutil.rmtree(stale)
    modules = sorted(
        path
        for path in packages.iterdir()
        if path.suffix == ".py" or (path.is_dir() and path.suffix not in (".dist-info", ".libs"))
    )
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(compile_one, modules))


def date(folder: Path) -> None:
    """Gives all files and folders one date, which is that of no revision."""
    for path in [folder, *folder.rglob("*")]:
        os.utime(path, (_DATE, _DATE), follow_symlinks=False)


if __name__ == "__main__":
    main()
