"""What the package imports it declares: what others bring along may leave with them."""

import re
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def _named(requirement: str) -> str:
    return re.split(r"[^\w-]", requirement)[0].lower()


def test_every_package_imported_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    declared = {"rnnexp", *(_named(requirement) for some in lists for requirement in some)}
    files = [file for top in ("src", "plugins") for file in (ROOT / top).rglob("*.py")]
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    names = set(re.findall(r"^\s*(?:import|from) (\w+)", text, re.MULTILINE))
    installed = packages_distributions()
    missing = {
        n for n in names & set(installed) if not declared & {d.lower() for d in installed[n]}
    }
    assert missing == set()
