"""Peers from npm: installed once into a cache of the user, never into the repository."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import platformdirs

from bench.children import environment
from bench.words import AbsentError

INSTALL_S = 180
OLDEST_NODE = 20


def node() -> str:
    """Where node is, if it is young enough."""
    found = shutil.which("node")
    if found is None:
        raise AbsentError("node is not installed")
    done = subprocess.run([found, "--version"], capture_output=True, text=True, check=False)
    major = re.match(r"v(\d+)", done.stdout)
    if major is None or int(major[1]) < OLDEST_NODE:
        raise AbsentError(f"node {OLDEST_NODE} or later is needed, this is {done.stdout.strip()}")
    return found


def installed(packages: Mapping[str, str]) -> Path:
    """The node_modules of exactly these versions. Scripts of packages are not run."""
    wanted = json.dumps({"private": True, "dependencies": dict(packages)}, sort_keys=True)
    name = sha256(wanted.encode()).hexdigest()[:16]
    place = platformdirs.user_cache_path("clubledger-bench", appauthor=False) / name
    modules = place / "node_modules"
    if (place / "complete").exists():
        return modules
    npm = shutil.which("npm")
    if npm is None:
        raise AbsentError("npm is not installed")
    try:
        place.mkdir(parents=True, exist_ok=True)
        (place / "package.json").write_text(wanted, encoding="utf-8")
        done = subprocess.run(
            [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"],
            cwd=place,
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=INSTALL_S,
        )
    except (OSError, subprocess.TimeoutExpired) as failure:
        raise AbsentError(f"npm could not install it: {type(failure).__name__}") from failure
    if done.returncode:
        raise AbsentError(f"npm could not install {', '.join(packages)}")
    os.close(os.open(place / "complete", os.O_CREAT | os.O_WRONLY))
    return modules
