"""tacit builds assistants that work out what you want."""

from tacit.core import ASSISTANT as ASSISTANT
from tacit.core import HUMAN as HUMAN
from tacit.core import Assistant as Assistant
from tacit.core import Belief as Belief
from tacit.core import Episode as Episode
from tacit.core import Game as Game
from tacit.core import Human as Human
from tacit.core import Problem as Problem
from tacit.core import Question as Question
