"""What is a person at a game? A fold over what they said and over the turns that were played.

`accept` takes a message and cannot fail; `choose` says what the person's next action is (a click out of reach walks
there first); `acted` plays one turn by `play.turn`, both actions given. The assistant thinks beforehand (`thought`), so
that its guess and what it is about to do can be seen, judged and stopped before it happens. From the recorded events
`resume` finds the very same session again.

Whoever does not know yet what they want is asked first: `next_pair` finds two houses, `asked` shows them, and what is
said of them moves the belief over houses (`session_discovery`) and with it the assistant's.
"""

import json
from collections.abc import Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from tacit.app import session_discovery as discoveries
from tacit.app import session_messages as messages
from tacit.app import session_players as table
from tacit.app.scenes import Scene, believing, following, opening
from tacit.app.session_discovery import Discovery
from tacit.app.session_evidence import cells, judgement, press
from tacit.app.session_messages import (
    Ask,
    Break,
    Cell,
    Clock,
    Finish,
    Judge,
    Message,
    Place,
    Prefer,
    Rate,
    Skip,
    Step,
    Stop,
    Switch,
    Undo,
)
from tacit.app.session_players import Expectant, Players, Tellable, Thinking, decoded, encoded
from tacit.app.session_store import Event
from tacit.beliefs.particles import ParticleBelief
from tacit.core import ASSISTANT, HUMAN
from tacit.games.building.actions import BREAK, DIRECTIONS, MOVE, PASS, PLACE
from tacit.games.building.blocks import AIR, BEDROCK, NAMES
from tacit.games.building.game import House, similarity
from tacit.games.building.houses import HouseGenerator
from tacit.games.building.plans import Plan
from tacit.games.building.walking import UNREACHABLE
from tacit.play import Moment

SECONDS = 0.8
"""How long a turn waits for the person."""
LONGEST_WALK = 60
"""Turns after which a click is given up."""
MOST_WISHES = 64
"""Clicks that may wait."""
FINISHED = "This house is finished."
ASKING = 2**31 - 1
"""Where the randomness of questions begins: a turn that nobody reaches."""
UNWISHED = -1
"""The kind of every cell of the goal of someone who builds freely: no block is it, so nothing is ever finished."""


class Wish(NamedTuple):
    """What the person clicked and the game has not yet come to; `undoing` if it takes an edit back."""

    message: Place | Break | Step
    undoing: bool = False
    turns: int = 0


class Edit(NamedTuple):
    """A block that was placed or broken; `thought` is how probable the assistant then found each kind for the cell."""

    turn: int
    player: int
    cell: Cell
    before: int
    after: int
    thought: tuple[float, ...] | None


BEFORE, AFTER = Edit._fields.index("before"), Edit._fields.index("after")


class Choice(NamedTuple):
    """The person's next action, what is left to do with it under way, and why something was given up."""

    action: int
    wishes: tuple[Wish, ...]
    note: str


class Session(NamedTuple):
    """Everything between two events. The moment's assistant is its memory before it has thought about this world."""

    key: Key[Array, ""]
    free: bool
    moment: Moment
    scene: Scene
    thinking: Thinking | None = None
    wishes: tuple[Wish, ...] = ()
    edits: tuple[Edit, ...] = ()
    undoable: tuple[Edit, ...] = ()
    judged: tuple[Judge, ...] = ()
    sureness: tuple[float, ...] = ()
    on: bool = True
    seconds: float = SECONDS
    paused: bool = False
    asking: bool = False
    discovery: Discovery | None = None
    done: bool = False
    rating: Rate | None = None
    note: str = ""


def begin(players: Players, goal: House | None, key: Key[Array, ""]) -> Session:
    """A session before anything happened. Without a goal the person builds freely."""
    theta = jnp.full(players.game.shape, UNWISHED, jnp.int8) if goal is None else goal
    moment = table.begin(players, theta, key)
    return Session(key, goal is None, moment, opening(theta, moment.state))


def thought(players: Players, session: Session) -> Session:
    """The session once the assistant has thought about the present world, and about what was said of houses."""
    session = _heard(players, session)
    if session.thinking is not None:
        return session
    thinking = jax.block_until_ready(table.think(players, session.moment, session.key))
    scene = believing(session.scene, thinking.thoughts)
    if scene.sureness is None:
        return session._replace(thinking=thinking)
    sureness = (*session.sureness[: scene.turn], scene.sureness)
    return session._replace(thinking=thinking, scene=scene, sureness=sureness)


def accept(players: Players, session: Session, message: Message) -> Session:
    """The session after a message that `messages.parse` let through, once the assistant has thought."""
    session = thought(players, session)._replace(note="")
    if session.done:
        return session._replace(rating=message) if isinstance(message, Rate) else session._replace(note=FINISHED)
    match message:
        case Rate():
            session = session._replace(note="Finish the house before you rate it.")
        case Place() | Break() | Step() if session.asking:
            session = session._replace(note="Say first that you want to build.")
        case Place() | Break() | Step():
            session = _wish(session, message)
        case Undo():
            session = _undo(session)
        case Stop():
            session = session._replace(wishes=())
        case Judge():
            session = session._replace(judged=(*session.judged, message))
            session = _told(players, session, message.cell, judgement(players.game, message))
        case Switch(on):
            session = session._replace(on=on) if on or not session.on else _press(players, session)
        case Clock(seconds, paused):
            session = session._replace(seconds=seconds, paused=paused)
        case Finish():
            session = finish(session)
        case Ask(on):
            session = _ask(players, session) if on else session._replace(asking=False)
        case Prefer() | Skip():
            session = _answered(players, session, message)
    return session


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


def choose(players: Players, session: Session) -> Choice:
    """The person's action in the coming turn: what was clicked if it can be done from here, else a step towards it."""
    wishes, note = session.wishes, ""
    if not wishes:
        return Choice(PASS, (), note)
    game, blocks = players.game, session.scene.blocks
    place, remove, way = jax.tree.map(np.asarray, table.ways(game, session.moment))
    while wishes:
        wish = wishes[0]
        match wish.message:
            case Step(direction):
                return Choice(encoded(game, MOVE, direction=direction), wishes, note)
            case Place(cell, kind):
                done, action = blocks[cell] != AIR, encoded(game, PLACE, cell, kind) if place[cell] else None
            case Break(cell):
                done, action = blocks[cell] in (AIR, BEDROCK), encoded(game, BREAK, cell) if remove[cell] else None
        if action is not None:
            return Choice(action, wishes, note)
        leads = way.distance[cell] < UNREACHABLE and way.move[cell] < len(DIRECTIONS)
        if not done and leads and wish.turns < LONGEST_WALK:
            return Choice(encoded(game, MOVE, direction=int(way.move[cell])), wishes, note)
        note = note if done else "There is no way to that place from here."
        wishes = wishes[1:]
    return Choice(PASS, (), note)


def acted(players: Players, session: Session, choice: Choice, assistant_action: int) -> Session:
    """The session after one turn in which both do this."""
    session = thought(players, session)
    assert session.thinking is not None
    pair = jnp.array([choice.action, assistant_action], jnp.int32)
    theta = jnp.asarray(session.scene.goal)
    moment, now = table.turn(players.game, theta, session.moment, pair, session.key)
    moment = moment._replace(assistant=session.thinking.memory)
    scene = following(session.scene, moment.state, np.asarray(now.rewards))
    made = tuple(_edits(session, moment))
    mine = tuple(edit for edit in made if edit.player == HUMAN)
    wishes, undoing = _settle(choice, mine)
    following_session = session._replace(
        moment=moment,
        scene=scene,
        thinking=None,
        wishes=wishes,
        edits=(*session.edits, *made),
        undoable=session.undoable if undoing else (*session.undoable, *mine),
        note=choice.note,
    )
    return finish(following_session) if bool(moment.finished) else following_session


def assistant_action(session: Session) -> int:
    """What the assistant does in the coming turn, once it has thought; nothing while it is off."""
    assert session.thinking is not None
    return int(session.thinking.action) if session.on else PASS


def finish(session: Session) -> Session:
    """The session when it is over. Someone who built freely wanted what stands now, and it is counted by that."""
    if session.free and not session.done:
        session = session._replace(scene=counted(session))
    return session._replace(done=True, wishes=())


def counted(session: Session) -> Scene:
    """The counts if what stands now is the goal: s(after) - s(before) of every edit, summed by player."""
    goal, made = session.scene.blocks, session.edits
    first = goal.copy()
    for edit in reversed(made):
        first[edit.cell] = edit.before
    start = opening(jnp.asarray(goal), session.moment.state._replace(blocks=jnp.asarray(first)))
    wanted = jnp.array([goal[edit.cell] for edit in made], jnp.int8)
    after, before = (jnp.array([edit[field] for edit in made], jnp.int8) for field in (AFTER, BEFORE))
    gains = np.asarray(similarity(after, wanted) - similarity(before, wanted))
    theirs = gains[[edit.player == ASSISTANT for edit in made]]
    return session.scene._replace(
        goal=goal,
        needed=start.needed,
        gained=float(gains.sum()),
        assistant_right=int((theirs > 0).sum()),
        assistant_wrong=int((theirs < 0).sum()),
    )


def saved(scene: Scene) -> float:
    """How many more edits the person alone would have needed to get as far: those that were gained less their own."""
    return scene.gained - scene.human_edits


def doing(players: Players, session: Session) -> Edit | None:
    """The edit that the assistant is about to make; while it makes none, the last it made that still stands."""
    if session.thinking is None:
        return None
    blocks = session.scene.blocks
    what, cell, kind, _ = decoded(players.game, int(session.thinking.action))
    if what in (PLACE, BREAK):
        after = kind if what == PLACE else AIR
        return Edit(session.scene.turn, ASSISTANT, cell, int(blocks[cell]), after, None)
    made = [edit for edit in session.edits if edit.player == ASSISTANT and blocks[edit.cell] == edit.after]
    return made[-1] if made else None


def resume(players: Players, goal: House | None, key: Key[Array, ""], events: Iterable[Event]) -> Session:
    """The session that these events led to."""
    session = begin(players, goal, key)
    for event in events:
        session = happened(players, session, event)
    return session


def happened(players: Players, session: Session, event: Event) -> Session:
    """The session after a recorded event."""
    if event.kind == "message":
        return accept(players, session, messages.load(event.body))
    if event.kind == "pair" and session.discovery is None:
        return session
    if event.kind == "pair":
        plans = np.array(json.loads(event.body)["plans"], np.int32)
        return asked(players, thought(players, session), Plan(*plans.T))
    human, assistant = json.loads(event.body)["actions"]
    return acted(players, session, choose(players, session)._replace(action=human), assistant)


def turn_body(choice: Choice, assistant: int) -> str:
    """A turn as it is recorded."""
    return json.dumps({"actions": [choice.action, assistant]})


def pair_body(plans: Plan) -> str:
    """A pair as it is recorded: the numbers of both plans, in the order of `Plan`."""
    return json.dumps({"plans": np.stack(plans, 1).tolist()})


def _asking_key(session: Session) -> Key[Array, ""]:
    return jax.random.fold_in(session.key, ASKING)


def _ask(players: Players, session: Session) -> Session:
    """Begin to show pairs, or begin again: what was built meanwhile is to be taken in."""
    if not isinstance(players.assistant, Expectant):
        return session._replace(note="This assistant cannot be told of whole houses.")
    if not isinstance(players.game.houses, HouseGenerator):
        return session._replace(note="There are no houses to show in this game.")
    if session.discovery is None:
        return session._replace(asking=True, discovery=discoveries.start(players.game, _asking_key(session)))
    return session._replace(asking=True, discovery=session.discovery._replace(heard=False), thinking=None)


def _answered(players: Players, session: Session, message: Prefer | Skip) -> Session:
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


def _heard(players: Players, session: Session) -> Session:
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


def _wish(session: Session, message: Place | Break | Step) -> Session:
    if len(session.wishes) >= MOST_WISHES:
        return session._replace(note="Too much is waiting to be done.")
    return session._replace(wishes=(*session.wishes, Wish(message)))


def _undo(session: Session) -> Session:
    """Drop the last click that waits; if none does, wish for the inverse of the last edit."""
    if session.wishes:
        return session._replace(wishes=session.wishes[:-1])
    if not session.undoable:
        return session._replace(note="There is nothing to undo.")
    last, undoable = session.undoable[-1], session.undoable[:-1]
    if session.scene.blocks[last.cell] != last.after:
        return session._replace(undoable=undoable, note="That cell has changed since.")
    message = Break(last.cell) if last.before == AIR else Place(last.cell, last.before)
    return session._replace(undoable=undoable, wishes=(Wish(message, undoing=True),))


def _settle(choice: Choice, mine: tuple[Edit, ...]) -> tuple[tuple[Wish, ...], bool]:
    """What is left to wish after the turn, and whether it took an edit back."""
    if not choice.wishes:
        return (), False
    first, *rest = choice.wishes
    if isinstance(first.message, Step) or mine:
        return tuple(rest), first.undoing and bool(mine)
    return (first._replace(turns=first.turns + 1), *rest), False


def _edits(session: Session, moment: Moment) -> Iterable[Edit]:
    """What the two of them changed in the turn that led to `moment`."""
    edits, belief = moment.state.edits, session.scene.belief
    for player in (HUMAN, ASSISTANT):
        index = int(edits.cell[player])
        if index >= 0:
            x, y, z = (int(at) for at in np.unravel_index(index, session.scene.blocks.shape))
            after = int(edits.after[player])
            then = None if belief is None else tuple(belief[x, y, z].tolist())
            yield Edit(session.scene.turn, player, (x, y, z), int(edits.before[player]), after, then)


def _press(players: Players, session: Session) -> Session:
    """The off-switch is an answer as well: what the assistant was doing becomes less likely."""
    stopped, session = doing(players, session), session._replace(on=False)
    if stopped is None:
        return session
    told = _told(players, session, stopped.cell, press(players.game, stopped.before, stopped.after))
    what = (
        f"{NAMES[stopped.after]} is less likely" if stopped.after != AIR else f"{NAMES[stopped.before]} is more likely"
    )
    return told._replace(note=told.note or f"It has stopped, and learned: {what} at {stopped.cell}.")


def _told(players: Players, session: Session, cell: Cell, evidence: Float[np.ndarray, " M"]) -> Session:
    """The session after evidence about one cell, for the assistant to think again; a note if it cannot be told."""
    if not isinstance(players.assistant, Tellable):
        return session._replace(note="This assistant cannot be told.")
    whole = np.zeros((*players.game.shape, players.game.num_kinds), np.float32)
    whole[cell] = evidence
    memory = table.tell(players.assistant, session.moment.assistant, jnp.asarray(whole))
    return session._replace(moment=session.moment._replace(assistant=memory), thinking=None)
