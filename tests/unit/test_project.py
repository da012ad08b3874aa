"""Is the package itself in order: light to import, small at the top, listed by its folders, one version everywhere?"""

import ast
import importlib.metadata
import os
import random
import re
import string
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import tacit
from tacit.members import find, members
from tacit.storage import about_weights
from tacit.storage.weights import SHIPPED

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ["torch", "transformers", "matplotlib", "nicegui", "fastapi", "gymnasium", "pettingzoo", "optax"]
VERSION = importlib.metadata.version("tacit")


@pytest.mark.parametrize("module", ["tacit", "tacit.members", "tacit.core", "tacit.storage"])
def test_import_is_light(module: str, tmp_path: Path) -> None:
    # Stand-ins on the path: a heavy import is caught even where the real package is not installed.
    for name in HEAVY:
        (tmp_path / f"{name}.py").touch()
    program = f"import sys, {module}; print(*sorted(set({HEAVY}) & set(sys.modules)))"
    # Put first, so that the stand-ins win over installed packages.
    paths = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    assert done.stdout.split() == []


def test_top_level_is_small_and_explicit() -> None:
    tree = ast.parse(Path(tacit.__file__).read_text(encoding="utf-8"))
    exported = [alias for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert 8 <= len(exported) <= 15, "about a dozen names"
    assert all(alias.name == alias.asname for alias in exported), "an export is written `X as X`"
    for alias in exported:
        value = vars(tacit)[alias.name]
        assert isinstance(value, int) or value.__doc__, f"tacit.{alias.name} has no docstring"


def test_every_module_says_what_it_answers() -> None:
    files = sorted(Path(tacit.__file__).parent.rglob("*.py"))
    silent = [str(path) for path in files if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))]
    assert files
    assert silent == []
    homeless = [path for path in files if not (path.parent / "__init__.py").is_file()]
    assert homeless == [], "a folder without __init__.py is not in the package"


def test_forbidden_names_and_imports() -> None:
    for path in Path(tacit.__file__).parent.rglob("*.py"):
        assert path.stem.strip("_") not in {"utils", "util", "helpers", "common", "misc"}, path
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
            assert not future, f"{path}: postponed annotations break Equinox's abstract fields"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, list[str]]:
    """A package of members drawn at random, each of which would fail on import, and a file that is no member."""
    draw = random.Random()
    package = "zoo_" + "".join(draw.choices(string.ascii_lowercase, k=12))
    stems = sorted({"".join(draw.choices(string.ascii_lowercase, k=8)) + "_one" for _ in range(draw.randint(3, 6))})
    home = tmp_path / package
    home.mkdir()
    (home / "__init__.py").write_text('"""A zoo."""\n', encoding="utf-8")
    for stem in stems:
        text = f'"""What is {stem}?\n\nMore of it.\n"""\n\nimport no_such_package\n\n\ndef make():\n    """One."""\n'
        (home / f"{stem}.py").write_text(text, encoding="utf-8")
    (home / "aside.py").write_text('"""No member."""\n\n\ndef build():\n    """make"""\n', encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    return package, stems


def test_members_are_listed_without_import(folder: tuple[str, list[str]]) -> None:
    package, stems = folder
    listed = members(package)
    assert [member.name for member in listed] == [stem.replace("_", "-") for stem in stems]
    assert [member.about for member in listed] == [f"What is {stem}?" for stem in stems]
    assert not [name for name in sys.modules if name.startswith(f"{package}.")]
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        listed[0].load()


def test_find_names_near_misses(folder: tuple[str, list[str]]) -> None:
    package, stems = folder
    name = random.choice(stems).replace("_", "-")
    assert find(package, name).name == name
    missed = name[1:]
    with pytest.raises(ValueError, match=re.escape(repr(missed))) as near:
        find(package, missed)
    assert name in str(near.value)
    with pytest.raises(ValueError, match="There is no") as far:
        find(package, "0123456789" * 3)
    assert all(stem.replace("_", "-") in str(far.value) for stem in stems), "with nothing near, all are named"


def test_members_refuse_what_is_no_package() -> None:
    with pytest.raises(ValueError, match="not a package"):
        members("tacit.core")


FOLDERS = ["games", "humans", "assistants", "feedback", "studies", "benchmarks", "recipes"]


@pytest.mark.parametrize("name", [name for name in FOLDERS if (ROOT / "tacit" / name).is_dir()])
def test_listed_folders_list(name: str) -> None:
    listed = members(f"tacit.{name}")
    assert len({member.name for member in listed}) == len(listed)
    assert all(member.about for member in listed)


def test_one_version_everywhere() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"^version: (.+)$", citation, re.MULTILINE) == [VERSION]
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert [heading for heading in headings if heading != "Unreleased"][:1] in ([], [VERSION])
    assert "Unreleased" in headings[:1] or headings[:1] == [VERSION]


def test_lock_file_works_elsewhere() -> None:
    lock = (ROOT / "uv.lock").read_text(encoding="utf-8")
    assert set(re.findall(r'registry = "([^"]+)"', lock)) == {"https://pypi.org/simple"}
    assert set(re.findall(r'url = "(\w+://[^/"]+)', lock)) == {"https://files.pythonhosted.org"}
    assert not re.search(r'(path|directory) = "', lock)


def test_architecture_page_is_up_to_date() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    entries = [path for path in (ROOT / "tacit").iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()]
    names = {f"{path.name}/" if path.is_dir() else path.name for path in entries} - {"__init__.py"}
    assert names == set(re.findall(r"^\| `(\w+(?:/|\.py))` \|", page, re.MULTILINE))
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    assert re.sub(r"[()]", "", "\n".join(layers)) in page


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_python_in_the_pages_runs(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for block in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        exec(compile(block, page, "exec"), {})


def test_types_are_shipped() -> None:
    assert (Path(tacit.__file__).parent / "py.typed").is_file()


def test_weights_are_shipped_with_their_cards() -> None:
    for path in sorted(SHIPPED.glob("*.safetensors")):
        about = about_weights(path)
        assert {"name", "data", "command", "commit", "figures"} <= set(about)
        assert about["name"] == path.stem
        card = path.with_suffix(".md").read_text(encoding="utf-8")
        assert card.startswith(f"# {path.stem}\n")
        assert about["command"] in card
        assert all(f"| {figure} |" in card for figure in about["figures"])
