"""What is a person at a game? A fold over what they said and over the turns that were played.

`accept` takes a message and cannot fail; `wishes.choose` says what the person's next action is; `acted` plays one turn
by `play.turn`, both actions given. The assistant thinks beforehand (`thought`), so that its guess and what it is about
to do can be seen, judged and stopped before it happens. From the recorded events `resume` finds the very same session
again.
"""

import json
from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from tacit.app.scenes import Scene, believing, following, opening
from tacit.app.session import messages, pairs, wishes
from tacit.app.session import players as table
from tacit.app.session.evidence import judgement, press
from tacit.app.session.messages import (
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
from tacit.app.session.players import Players, Tellable, decoded
from tacit.app.session.state import Edit, Session
from tacit.app.session.store import Event
from tacit.app.session.wishes import Choice
from tacit.core import ASSISTANT, HUMAN
from tacit.games.building.actions import BREAK, PASS, PLACE
from tacit.games.building.blocks import AIR, NAMES
from tacit.games.building.game import House, similarity
from tacit.games.building.plans import Plan
from tacit.play import Moment

FINISHED = "This house is finished."
UNWISHED = -1
"""The kind of every cell of the goal of someone who builds freely: no block is it, so nothing is ever finished."""


def begin(players: Players, goal: House | None, key: Key[Array, ""]) -> Session:
    """A session before anything happened. Without a goal the person builds freely."""
    theta = jnp.full(players.game.shape, UNWISHED, jnp.int8) if goal is None else goal
    moment = table.begin(players, theta, key)
    return Session(key, goal is None, moment, opening(theta, moment.state))


def thought(players: Players, session: Session) -> Session:
    """The session once the assistant has thought about the present world, and about what was said of houses."""
    session = pairs.heard(players, session)
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
            session = wishes.add(session, message)
        case Undo():
            session = wishes.undo(session)
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
            session = pairs.ask(players, session) if on else session._replace(asking=False)
        case Prefer() | Skip():
            session = pairs.answered(players, session, message)
    return session


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
    left, undoing = wishes.settle(choice, mine)
    following_session = session._replace(
        moment=moment,
        scene=scene,
        thinking=None,
        wishes=left,
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
    after = jnp.array([edit.after for edit in made], jnp.int8)
    before = jnp.array([edit.before for edit in made], jnp.int8)
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
        return pairs.asked(players, thought(players, session), Plan(*plans.T))
    human, assistant = json.loads(event.body)["actions"]
    return acted(players, session, wishes.choose(players, session)._replace(action=human), assistant)


def turn_body(choice: Choice, assistant: int) -> str:
    """A turn as it is recorded."""
    return json.dumps({"actions": [choice.action, assistant]})


def pair_body(plans: Plan) -> str:
    """A pair as it is recorded: the numbers of both plans, in the order of `Plan`."""
    return json.dumps({"plans": np.stack(plans, 1).tolist()})


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
