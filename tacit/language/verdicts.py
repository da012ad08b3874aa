"""Which answer did the critic mean? From free text to a label, tolerantly, and never by guessing.

A critic is asked to reason and to end with a line such as "Label: 1". What counts is what follows the *last* mark
("label", "verdict"), so that "answer 1" in the reasoning decides nothing. Where there is no mark, the last line counts,
if it says no more than a label. Whatever says two things, or a third, is unreadable.
"""

import re

from tacit.language.game import FIRST, SECOND, TIE, UNREADABLE

WORDS = {
    **dict.fromkeys(("1", "1st", "one", "first"), FIRST),
    **dict.fromkeys(("2", "2nd", "two", "second"), SECOND),
    **dict.fromkeys(("tie", "tied", "draw"), TIE),
}
"""The words for each label."""

SAYING = {FIRST: "Label: 1", SECOND: "Label: 2", TIE: "Label: tie"}
"""How a critic is asked to say each label."""

_FILLERS = frozenset({"the", "is", "be", "would", "it", "a", "an", "answer", "response", "option", "final", "boxed"})
_ENDS = frozenset(".;!?\n")
_JOINING = frozenset({"or", "and", "nor"})

# The end of an XML element is no mark: <label>1</label>.
_MARK = re.compile(r"(?<!/)\b(?:label|verdict)\b", re.IGNORECASE)
# Numbers are taken whole, so that neither 10 nor 1.5 nor -1 is a label; then words; then what ends a sentence.
_TOKEN = re.compile(r"(?<!\d)[-+]?\d+(?:[.,]\d+)*[^\W_]*|[^\W\d_]+|[.;!?\n]")


def read(text: str) -> int:
    """The label that `text` ends with, or UNREADABLE."""
    *_, last = _MARK.split(text)
    if len(last) < len(text):
        return _leading(_tokens(last))
    return _only(_tokens(text.strip().rpartition("\n")[2]))


def _leading(tokens: list[str]) -> int:
    """The label that a text begins with, if no other one is offered beside it."""
    start = next((index for index, token in enumerate(tokens) if token not in _ENDS), len(tokens))
    label = WORDS.get(tokens[start], UNREADABLE) if start < len(tokens) else UNREADABLE
    beside = tokens[start + 1 : start + 2]
    offers_another = any(token in _JOINING or WORDS.get(token, label) != label for token in beside)
    return UNREADABLE if offers_another else label


def _only(tokens: list[str]) -> int:
    """The label of a line that says nothing else."""
    said = [token for token in tokens if token not in _ENDS]
    return WORDS.get(said[0], UNREADABLE) if len(said) == 1 else UNREADABLE


def _tokens(text: str) -> list[str]:
    """The numbers, words and ends of sentences in `text`, without words that say nothing."""
    return [token for token in _TOKEN.findall(text.casefold()) if token not in _FILLERS]
