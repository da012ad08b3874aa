"""What is a model told, so that it plays the policy or the critic? Two role prompts, and where an answer begins."""

import dataclasses
from typing import NamedTuple

from tacit.language.game import Pair


class Prompt(NamedTuple):
    """A role, and what is asked in it; with a chat template the role is the system's message."""

    role: str
    text: str


@dataclasses.dataclass(frozen=True)
class Roles:
    """The two role prompts, for one model that plays both or for two.

    What follows the last `answer_mark` in a policy's text is its final answer; what comes before is its own affair, and
    is shown to nobody. With an empty mark the whole text is the answer.
    """

    policy: str = "Answer the question. Think first, then end with a line that begins with 'Answer:'."
    critic: str = (
        "One of two answers to a question is an expert's, the other is not. Say which one is the expert's. "
        "Think first, then end with one line: 'Label: 1', 'Label: 2', or 'Label: tie' if you cannot tell."
    )
    answer_mark: str = "Answer:"

    def ask(self, question: str) -> Prompt:
        """The policy's prompt."""
        return Prompt(self.policy, f"Question: {question}")

    def explain(self, question: str, answer: str) -> Prompt:
        """The policy's prompt when it is told the answer, and is to find the way there."""
        return Prompt(self.policy, f"Question: {question}\nThe right answer: {answer}")

    def compare(self, pair: Pair) -> Prompt:
        """The critic's prompt."""
        return Prompt(self.critic, f"Question: {pair.question}\nAnswer 1: {pair.first}\nAnswer 2: {pair.second}")

    def final_answer(self, text: str) -> str:
        """The final answer in what a policy said, empty if there is none."""
        _, mark, answer = text.rpartition(self.answer_mark) if self.answer_mark else ("", "-", text)
        return answer.strip() if mark else ""

    def as_said(self, answer: str) -> str:
        """An expert's answer as a policy would have said it, for learning from it directly."""
        return f"{self.answer_mark} {answer}".strip()
