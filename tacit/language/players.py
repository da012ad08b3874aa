"""Who answers and who judges? A model in either role, or a critic behind an address, as a round takes them."""

import concurrent.futures
import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool

from tacit.language.game import Pair
from tacit.language.prompts import Prompt, Roles
from tacit.language.rounds import Answer, Judge, Samples


class CriticError(RuntimeError):
    """A critic behind an address does not answer; the message is one sentence for the user."""


@runtime_checkable
class Speaks(Protocol):
    """A model that can be asked, wherever it is kept."""

    def speak(
        self, prompts: Sequence[Prompt], most_tokens: int, rng: np.random.Generator
    ) -> tuple[list[str], Bool[np.ndarray, " B"], Any]:
        """Draw a completion to each prompt: the texts, which came to an end within `most_tokens`, and their trace."""
        ...


def answering(speaker: Speaks, roles: Roles, most_tokens: int) -> Answer:
    """The model as the policy. A text without a final answer counts as cut off."""

    def answer(questions: Sequence[str], rng: np.random.Generator) -> Samples:
        texts, whole, speech = speaker.speak([roles.ask(question) for question in questions], most_tokens, rng)
        answers = [roles.final_answer(text) for text in texts]
        return Samples(answers, whole & np.array([bool(one) for one in answers], bool), speech)

    return answer


def judging(speaker: Speaks, roles: Roles, most_tokens: int) -> Judge:
    """The model as the critic."""

    def judge(pairs: Sequence[Pair], rng: np.random.Generator) -> Samples:
        return Samples(*speaker.speak([roles.compare(pair) for pair in pairs], most_tokens, rng))

    return judge


class Address(NamedTuple):
    """Where a model speaks OpenAI's chat protocol: the address up to `/v1`, the model's name, and its key."""

    url: str
    model: str
    key: str = ""
    seconds: float = 120.0
    tries: int = 3
    at_once: int = 8


def judging_at(address: Address, roles: Roles, most_tokens: int) -> Judge:
    """A critic behind an address: it judges, and cannot be taught. Raises CriticError when it cannot be asked."""
    if not address.url.startswith(("http://", "https://")):
        raise CriticError(f"{address.url!r} is no address of a model; it begins with http:// or https://.")

    def judge(pairs: Sequence[Pair], rng: np.random.Generator) -> Samples:
        seeds = rng.integers(2**31, size=len(pairs)).tolist()
        with concurrent.futures.ThreadPoolExecutor(address.at_once) as pool:
            said = list(
                pool.map(lambda pair, seed: _ask(address, roles.compare(pair), seed, most_tokens), pairs, seeds)
            )
        return Samples([text for text, _ in said], np.array([whole for _, whole in said], bool), None)

    return judge


def _ask(address: Address, prompt: Prompt, seed: int, most_tokens: int) -> tuple[str, bool]:
    """What the model says, and whether it came to an end."""
    messages = [{"role": "system", "content": prompt.role}, {"role": "user", "content": prompt.text}]
    body = {"model": address.model, "messages": messages, "max_tokens": most_tokens, "temperature": 1.0, "seed": seed}
    headers = {"Content-Type": "application/json"}
    if address.key:
        headers["Authorization"] = f"Bearer {address.key}"
    url = f"{address.url.rstrip('/')}/chat/completions"
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    reason = ""
    for attempt in range(address.tries):
        time.sleep(0.0 if attempt == 0 else 0.5 * 2**attempt)
        try:
            with urllib.request.urlopen(request, timeout=address.seconds) as reply:
                choice = json.load(reply)["choices"][0]
            return str(choice["message"]["content"] or ""), choice.get("finish_reason") == "stop"
        except urllib.error.HTTPError as error:
            reason = f"it answers {error.code} {error.reason}"
            # Only too many requests and faults of the server may pass by themselves.
            if error.code != 429 and error.code < 500:
                break
        except (OSError, http.client.HTTPException) as error:
            reason = str(error)
        except (ValueError, LookupError, TypeError):
            reason = "what it answers is not in OpenAI's form"
            break
    raise CriticError(f"The critic at {url} could not be asked: {reason}.")
