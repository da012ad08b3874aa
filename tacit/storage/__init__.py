"""How are episodes, weights and half-done training kept on disk, outliving crashes and loading only where they belong?

One format for all: `files` has it, `episodes` and `weights` say what goes in.
"""

from tacit.storage.episodes import EpisodeHeader as EpisodeHeader
from tacit.storage.episodes import Recorded as Recorded
from tacit.storage.episodes import load_episode as load_episode
from tacit.storage.episodes import read_about as read_about
from tacit.storage.episodes import save_episode as save_episode
from tacit.storage.files import Provenance as Provenance
from tacit.storage.files import StorageError as StorageError
from tacit.storage.files import provenance as provenance
from tacit.storage.files import write_atomically as write_atomically
from tacit.storage.weights import about_checkpoint as about_checkpoint
from tacit.storage.weights import about_weights as about_weights
from tacit.storage.weights import load_checkpoint as load_checkpoint
from tacit.storage.weights import load_weights as load_weights
from tacit.storage.weights import save_checkpoint as save_checkpoint
from tacit.storage.weights import save_weights as save_weights
from tacit.storage.weights import shipped as shipped
