"""Does a game, human, assistant, belief or question of yours keep the contracts of `core`?

Each check plays a little and raises ValueError with one sentence about the first contract that is broken. They run over
everything that tacit lists, and are meant to be run over what you write.
"""

from tacit.contracts.game import check_game as check_game
from tacit.contracts.inference import check_belief as check_belief
from tacit.contracts.inference import check_question as check_question
from tacit.contracts.players import check_assistant as check_assistant
from tacit.contracts.players import check_human as check_human
