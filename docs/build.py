"""Build the site, offline: `uv run --group docs docs/build.py`.

Writes one reference page for every public module of tacit, so that a new file needs no other edit, and fails if a
public module, class, function or method says nothing about itself. Source is read, not run, so no extra is needed.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import griffe

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"


def public(parent: griffe.Module | griffe.Class) -> Iterator[griffe.Object]:
    """`parent` and every public module, class, function, method and property inside it."""
    yield parent
    for member in parent.members.values():
        if member.is_alias or not member.is_public or member.name.startswith("__"):
            continue
        if isinstance(member, griffe.Module | griffe.Class):
            yield from public(member)
        elif isinstance(member, griffe.Function) or "property" in member.labels:
            yield member


def first_line(module: griffe.Object) -> str:
    """The first line of a module's docstring."""
    return module.docstring.value.strip().partition("\n")[0] if module.docstring else ""


def write_reference(modules: list[griffe.Object]) -> None:
    """One page per module, and an index that says what each answers."""
    shutil.rmtree(REFERENCE, ignore_errors=True)
    REFERENCE.mkdir()
    rows = [f"| [`{module.path}`]({module.path}.md) | {first_line(module)} |" for module in modules]
    index = ["# Reference", "", "Every public module, and the question it answers.", "", "| module | |", "|---|---|"]
    (REFERENCE / "index.md").write_text("\n".join([*index, *rows, ""]), encoding="utf-8")
    for module in modules:
        (REFERENCE / f"{module.path}.md").write_text(f"::: {module.path}\n", encoding="utf-8")


def main() -> None:
    """Check that everything public is documented, write the reference, build the site under `site/`."""
    package = griffe.load("tacit", search_paths=[str(ROOT)])
    objects = list(public(package))
    silent = [f"{thing.filepath}:{thing.lineno or 1}: {thing.path}" for thing in objects if not thing.docstring]
    if silent:
        sys.exit("\n".join(["These public names have no docstring:", *silent]))
    modules = sorted((thing for thing in objects if thing.is_module), key=lambda module: module.path)
    write_reference(modules)
    subprocess.run([sys.executable, "-m", "zensical", "build", "--strict", "--clean"], cwd=ROOT, check=True)
    site = ROOT / "site"
    missing = [module.path for module in modules if not (site / "reference" / module.path / "index.html").is_file()]
    if missing:
        sys.exit(f"The site has no page for {', '.join(missing)}.")
    print(f"{len(objects)} public names in {len(modules)} modules are documented; the site is in {site}.")


if __name__ == "__main__":
    main()
