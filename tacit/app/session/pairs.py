"""What is somebody asked who does not know yet what they want? Which of two houses they like better, again and again.

`next_pair` finds two houses, `asked` shows them, and what is said of them moves the belief over houses (`discovery`)
and with it the assistant's.
"""

from collections.abc import Iterable

import jax
import numpy as np
from jaxtyping import Array, Key

from tacit.app.session import discovery as discoveries
from tacit.app.session import players as table
from tacit.app.session.evidence import cells
from tacit.app.session.messages import Judge, Prefer, Skip
from tacit.app.session.players import Expectant, Players
from tacit.app.session.state import Session
from tacit.beliefs.particles import ParticleBelief
from tacit.core import HUMAN
from tacit.games.building.blocks import AIR
from tacit.games.building.houses import HouseGenerator
from tacit.games.building.plans import Plan

ASKING = 2**31 - 1
"""Where the randomness of questions begins: a turn that nobody reaches."""


def ask(players: Players, session: Session) -> Session:
    """Begin to show pairs, or begin again: what was built meanwhile is to be taken in."""
    if not isinstance(players.assistant, Expectant):
        return session._replace(note="This assistant cannot be told of whole houses.")
    if not isinstance(players.game.houses, HouseGenerator):
        return session._replace(note="There are no houses to show in this game.")
    if session.discovery is None:
        return session._replace(asking=True, discovery=discoveries.start(players.game, _asking_key(session)))
    return session._replace(asking=True, discovery=session.discovery._replace(heard=False), thinking=None)


def asking(session: Session) -> bool:
    """Whether a pair is to be shown and none is."""
    return session.asking and not session.done and session.discovery is not None and session.discovery.shown is None


def next_pair(players: Players, session: Session) -> Plan:
    """The plans of two houses of which to ask, once the assistant has thought."""
    discovery = session.discovery
    assert discovery is not None
    key = jax.random.fold_in(_asking_key(session), 2 * discovery.num_pairs)
    offer = discoveries.offer(discoveries.generator_of(players.game), discovery.belief, key)
    return jax.tree.map(np.asarray, offer.plans)


def asked(players: Players, session: Session, plans: Plan) -> Session:
    """The session in which this pair is shown."""
    discovery = session.discovery
    assert discovery is not None
    return session._replace(discovery=discoveries.show(players.game, discovery, plans))


def answered(players: Players, session: Session, message: Prefer | Skip) -> Session:
    """What was said of the pair that is shown; it is taken in when the assistant thinks."""
    discovery = session.discovery
    if not session.asking or discovery is None or discovery.shown is None or discovery.shown.number != message.pair:
        return session._replace(note="That pair is not shown any more.")
    match message:
        case Skip():
            return session._replace(discovery=discovery._replace(shown=None))
        case Prefer(_, which, what):
            discovery, note = discoveries.answer(players.game, discovery, which, what)
            thinking = session.thinking if discovery.heard else None
            return session._replace(discovery=discovery, thinking=thinking, note=note)


def heard(players: Players, session: Session) -> Session:
    """The session once all answers are taken in, by the belief over houses and by the assistant's."""
    discovery = session.discovery
    if discovery is None or discovery.heard:
        return session
    assert isinstance(players.assistant, Expectant)
    learn_key, tell_key = jax.random.split(jax.random.fold_in(_asking_key(session), 2 * discovery.num_said + 1))
    discovery = discoveries.hear(players.game, discovery, cells(players.game, _judgements(session)), learn_key)
    plans = ParticleBelief(discovery.belief.hypotheses.plan, discovery.belief.log_weights)
    memory = table.expect(players.assistant, session.moment.assistant, plans, tell_key)
    return session._replace(discovery=discovery, moment=session.moment._replace(assistant=memory), thinking=None)


def _judgements(session: Session) -> Iterable[Judge]:
    """What was said of single cells, and what was built: a block that stands is right, one that was broken is not."""
    yield from session.judged
    for edit in session.edits:
        if edit.player == HUMAN and edit.after != AIR and session.scene.blocks[edit.cell] == edit.after:
            yield Judge(edit.cell, edit.after, True)
        elif edit.player == HUMAN and edit.before != AIR and session.scene.blocks[edit.cell] != edit.before:
            yield Judge(edit.cell, edit.before, False)


def _asking_key(session: Session) -> Key[Array, ""]:
    return jax.random.fold_in(session.key, ASKING)
