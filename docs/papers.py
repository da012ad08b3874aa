"""Write docs/papers.md, every published or derived number that tacit checks, and the studies' pictures.

`uv run --extra plots docs/papers.py` runs every study's tiny tier. With a file that `tacit study all --json` wrote, the
page alone: `docs/papers.py claims.json`; and `docs/papers.py claims.json --check` only says whether the page names the
same claims as the file.
"""

import json
import sys
from pathlib import Path

from tacit.evaluation.plots import plot
from tacit.members import members
from tacit.studies import claims

DOCS = Path(__file__).resolve().parent
PAGE = DOCS / "papers.md"
PICTURES = DOCS / "theory"

HEAD = """# What is checked

Every line is a claim of a study: a number that tacit measures, beside the one that a paper, a closed form or an
independent computation gives. `tacit study NAME` checks them again, `tacit study all --tier tiny` all of them. This
page is written by `docs/papers.py` from what they say; figures are those of the tiny tier.
"""


def cells(claim: dict) -> list[str]:
    """What the page says of one claim; the measured figure comes last, as it may differ from machine to machine."""
    expected = f"{claim['expected']:.6g}"
    if claim["tolerance"]:
        expected += f" ± {claim['tolerance']:.1g}"
    return [claim["name"], claim["source"], expected, f"{claim['measured']:.6g}"]


def page(reports: list[dict]) -> str:
    """The page in Markdown."""
    lines = [HEAD]
    for report in reports:
        about = {member.name: member.about for member in members("tacit.studies")}[report["study"]]
        lines += [f"## `tacit study {report['study']}`", "", about, ""]
        if report["skipped"]:
            lines += [f"Not run here: {report['skipped']}.", ""]
            continue
        lines += ["| claim | source | expected | measured |", "|---|---|---|---|"]
        rows = [[cell.replace("|", "\\|") for cell in cells(claim)] for claim in report["claims"]]
        lines += [f"| {' | '.join(row)} |" for row in rows]
        lines += [""]
    return "\n".join(lines)


def names(text: str) -> list[str]:
    """The claims that a page names: study headings and first columns, in order."""
    kept = [line.split(" | ")[0] for line in text.splitlines() if line.startswith(("## ", "| "))]
    return [line for line in kept if line != "| claim"]


def draw() -> None:
    """Draw the picture of every study that has one."""
    PICTURES.mkdir(exist_ok=True)
    for member in members("tacit.studies"):
        if "draw" in vars(member.load()):
            print(f"drawing {member.name}", file=sys.stderr)
            picture = PICTURES / f"{member.name.replace('-', '_')}.svg"
            plot(member.load().draw, picture)


def main(words: list[str]) -> None:
    """Write the page, or check it."""
    if words:
        reports = json.loads(Path(words[0]).read_text(encoding="utf-8"))
    else:
        reports = [report.json() for report in claims.run_all(members("tacit.studies"), "tiny", None)]
    if "--check" in words:
        if names(page(reports)) != names(PAGE.read_text(encoding="utf-8")):
            sys.exit("docs/papers.md names other claims than the studies: run `uv run --extra plots docs/papers.py`.")
        return
    PAGE.write_text(page(reports), encoding="utf-8")
    if not words:
        draw()


if __name__ == "__main__":
    main(sys.argv[1:])
