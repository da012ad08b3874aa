"""Do the examples on the theory pages run, and print what the page says that they print?"""

import re
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

PAGES = sorted((Path(__file__).parents[2] / "docs" / "theory").glob("*.md"))
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```$)?", re.DOTALL | re.MULTILINE)
"""A block of Python, and the block of text right after it, if there is one: what the former prints."""


@pytest.fixture(autouse=True, scope="module")
def compile_quickly() -> Iterator[None]:
    """Little is computed here and much compiled."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def test_there_are_pages() -> None:
    assert PAGES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A page's blocks are run one after the other, as a reader would paste them, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    names: dict = {"__name__": "__main__"}
    for code, printed in BLOCK.findall(page.read_text(encoding="utf-8")):
        exec(compile(code, str(page), "exec"), names)
        shown = capsys.readouterr().out
        if printed:
            assert shown == printed, f"{page.name} prints something else"
