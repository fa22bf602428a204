"""Where a run comes from: code, machine, versions, packages, and a hash of its config."""

import getpass
import hashlib
import json
import platform
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from email.parser import HeaderParser
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distributions, version
from pathlib import Path
from typing import Any

OUTSIDE_IDENTITY = ("plugin_dirs", "sweep", "tracking", "trainer.progress")
"""Keys, and groups of them, that change no figure of a run: where it is found, kept and shown."""
_PACKAGES = ("rnnexp", "torch", "pytorch-lightning", "hydra-core", "mlflow")


def is_outside_identity(key: str) -> bool:
    """Tell whether a key of a config has no part in what a run computes."""
    return any(key == outside or key.startswith(f"{outside}.") for outside in OUTSIDE_IDENTITY)


def config_hash(values: Mapping[str, Any]) -> str:
    """Hash a config, independent of the order of its keys: 16 hexadecimal digits."""
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def provenance(folder: Path) -> dict[str, str]:
    """Describe code and machine as tags, as they were when this process first asked.

    The jobs of a sweep run the code that its process has loaded, whatever is committed meanwhile.

    Args:
        folder: if it lies in a git checkout, commit and state are included.
    """
    return dict(_found(folder))


@cache
def _found(folder: Path) -> Mapping[str, str]:
    tags = {"host": platform.node(), "version.python": platform.python_version()}
    tags |= {"mlflow.source.name": "rnnexp", "mlflow.source.type": "LOCAL"}  # a column of its UI
    with suppress(KeyError, OSError):  # a user id without a name, as in some containers
        tags["mlflow.user"] = getpass.getuser()
    for package in _PACKAGES:
        try:
            tags[f"version.{package.replace('-', '_')}"] = version(package)
        except PackageNotFoundError:
            continue
    commit = _git(folder, "rev-parse", "HEAD")
    if commit:
        tags["git.commit"] = tags["mlflow.source.git.commit"] = commit
        tags["git.dirty"] = str(bool(_git(folder, "status", "--porcelain"))).lower()
    return tags


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


@cache
def package_list() -> str:
    """List every installed package; looked up once, before a sweep copies its process."""
    return "\n".join(sorted(set(map(_pinned, distributions())))) + "\n"


def _pinned(package: Distribution) -> str:
    # The head of its metadata: `name` and `version` would each read the description, too.
    text = package.read_text("METADATA") or package.read_text("PKG-INFO") or ""
    head = HeaderParser().parsestr(text.partition("\n\n")[0])
    return f"{head['Name']}=={head['Version']}"
