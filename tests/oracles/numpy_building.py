"""The building game once more, one world at a time in plain NumPy, written from the rules and from nothing of tacit's.

Every click is traced by itself through the world, cell by cell (Amanatides and Woo 1987), in whole numbers: 10,000 to
the cell, so the eye is at (5000, 16000, 5000) from the feet's corner and clicks are 1 away from their face.
It is also the yardstick of `tacit bench building`.
"""

import itertools

import numpy as np

STEPS = np.array([(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)])
CELL = 10_000


def click_pattern(shift):
    """Clicks on one block, from its corner: [6 faces in the order of STEPS, 9, 3]; shift > 0 is outside of it."""
    pattern = np.zeros((6, 9, 3), np.int64)
    for face, step in enumerate(STEPS):
        axis = int(np.flatnonzero(step)[0])
        others = [a for a in range(3) if a != axis]
        for number, (u, v) in enumerate(itertools.product((1000, 5000, 9000), repeat=2)):
            pattern[face, number, axis] = CELL + shift if step[axis] > 0 else -shift
            pattern[face, number, others[0]] = u
            pattern[face, number, others[1]] = v
    return pattern


FROM_OUTSIDE, FROM_INSIDE = click_pattern(1), click_pattern(-1)


def within(cells, shape):
    return ((cells >= 0) & (cells < np.array(shape))).all(-1)


def body(feet):
    return [tuple(feet), (feet[0], feet[1] + 1, feet[2])]


def clear(blocks, feet, other, clicks, reach):
    """Which clicks [n, 3] the player with `feet` can make: in the world, near enough, nothing in between."""
    shape = np.array(blocks.shape)
    eye = np.array(feet) * CELL + np.array((5000, 16000, 5000))
    delta = clicks - eye
    good = within(clicks, shape * CELL) & ((delta.astype(float) ** 2).sum(1) <= (reach * CELL) ** 2)
    chosen = np.flatnonzero(good)
    delta = delta[chosen]
    # Three empty cells more above the world, for heads that stick out.
    solid = np.pad(blocks != 0, [(0, 0), (0, 3), (0, 0)])
    for cell in body(other):
        if within(np.array(cell), solid.shape):
            solid[cell] = True
    sign = np.where(delta >= 0, 1, -1)
    length = np.abs(delta)
    # The times of the next wall crossings are wall / length; an axis without motion is never crossed.
    wall = np.where(delta >= 0, CELL - eye % CELL, eye % CELL)
    wall, length = np.where(length == 0, 1, wall), np.where(length == 0, 1, length)
    cell = np.repeat((eye // CELL)[None], len(chosen), 0)
    free = np.ones(len(chosen), bool)
    while True:
        x, y, z = wall.T
        a, b, c = length.T
        moving = (wall < length).any(1) & free
        if not moving.any():
            break
        along_x = (x * b <= y * a) & (x * c <= z * a)
        along_y = ~along_x & (y * c <= z * b) & ~(x * b <= y * a)
        axis = np.where(along_x, 0, np.where(along_y, 1, 2))
        rows = np.flatnonzero(moving)
        cell[rows, axis[rows]] += sign[rows, axis[rows]]
        wall[rows, axis[rows]] += CELL
        free[rows] &= ~solid[tuple(cell[rows].T)]
    good[chosen] = free
    return good


def clickable(blocks, feet, other, cells, placing, reach):
    """Which of the cells [n, 3] have a click that places into them (or breaks them)."""
    pattern = FROM_INSIDE if placing else FROM_OUTSIDE
    clicks = cells[:, None, None] * CELL + pattern
    allowed = np.ones((len(cells), 6), bool)
    if placing:
        against = cells[:, None] + STEPS
        allowed = within(against, blocks.shape)
        allowed[allowed] = blocks[tuple(against[allowed].T)] != 0
    which = np.flatnonzero(np.repeat(allowed.ravel(), 9))
    found = np.zeros(len(cells) * 54, bool)
    found[which] = clear(blocks, feet, other, clicks.reshape(-1, 3)[which], reach)
    return found.reshape(len(cells), 54).any(1)


def can_stand(blocks, feet, other):
    x, y, z = feet
    if not within(np.array(feet), blocks.shape) or blocks[x, y, z] != 0:
        return False
    if y < blocks.shape[1] - 1 and blocks[x, y + 1, z] != 0:
        return False
    return not (x == other[0] and z == other[2] and y in (other[1] - 1, other[1], other[1] + 1))


def masks(blocks, feet, other, reach):
    """(place, remove, move) as flat booleans: what the player with `feet` is offered."""
    shape = blocks.shape
    head = np.array(body(feet)[1])
    cells = np.stack(np.unravel_index(np.arange(blocks.size), shape), -1)
    near = ((cells - head) ** 2).sum(1) <= reach**2
    bodies = np.zeros(shape, bool)
    for cell in body(feet) + body(other):
        if within(np.array(cell), shape):
            bodies[cell] = True
    kinds = blocks.ravel()
    found = []
    for placing in (True, False):
        wanted = near & ((kinds == 0) & ~bodies.ravel() if placing else kinds > 1)
        chosen = np.flatnonzero(wanted)
        wanted[chosen] = clickable(blocks, feet, other, cells[chosen], placing, reach)
        found.append(wanted)
    moves = [can_stand(blocks, tuple(np.array(feet) + step), other) for step in STEPS]
    return found[0], found[1], np.array(moves)


def take_apart(action, num_kinds, size):
    """(what, cell, kind, direction) with what one of "pass", "place", "break", "move"."""
    if action == 0:
        return "pass", 0, 0, 0
    action -= 1
    if action < num_kinds * size:
        return "place", action % size, action // size, 0
    action -= num_kinds * size
    if action < size:
        return "break", action, 0, 0
    return "move", 0, 0, action - size


def offered(blocks, mine, other, action, num_kinds, reach):
    """Whether the player with feet `mine` is offered an action."""
    place, remove, move = masks(blocks, mine, other, reach)
    what, cell, kind, direction = take_apart(int(action), num_kinds, blocks.size)
    return {"pass": True, "place": place[cell] and kind >= 2, "break": remove[cell], "move": move[direction]}[what]


def step(blocks, touched, feet, actions, num_kinds, reach, masked=False):
    """One turn; with `masked`, what is not offered when a player's half comes is not even tried.

    Returns blocks, touched, feet, edits [(cell or -1, before, after)] and which actions did anything.
    """
    blocks, touched, feet = blocks.copy(), touched.copy(), [tuple(int(v) for v in place) for place in feet]
    edits, effective = [], []
    for player in (0, 1):
        what, cell, kind, direction = take_apart(int(actions[player]), num_kinds, blocks.size)
        where = tuple(int(v) for v in np.unravel_index(cell, blocks.shape))
        mine, other = feet[player], feet[1 - player]
        if masked and not offered(blocks, mine, other, actions[player], num_kinds, reach):
            what = "pass"
        before, after, did = blocks[where], blocks[where], False
        if what == "move":
            target = tuple(int(v) for v in np.array(mine) + STEPS[direction])
            if can_stand(blocks, target, other):
                feet[player], did = target, True
        elif what == "place" and before == 0 and kind >= 2 and where not in body(other):
            did = bool(clickable(blocks, mine, other, np.array([where]), True, reach)[0])
            after = kind if did else before
        elif what == "break" and before > 1:
            did = bool(clickable(blocks, mine, other, np.array([where]), False, reach)[0])
            after = 0 if did else before
        if did and what != "move":
            blocks[where], touched[where] = after, player + 1
            edits.append((cell, int(before), int(after)))
        else:
            edits.append((-1, 0, 0))
        effective.append(did)
    return blocks, touched, feet, edits, effective


def distance(blocks, goal):
    """Blocks to place or break until `blocks` is `goal`."""
    return int((blocks != goal).sum() + ((blocks != goal) & (blocks != 0) & (goal != 0)).sum())


def start(shape):
    """Bare ground and two bodies side by side in the air."""
    blocks = np.zeros(shape, np.int64)
    blocks[:, 0], blocks[:, 1] = 1, 2
    return blocks, np.zeros(shape, np.int64), [(0, 2, 0), (shape[0] - 1, 2, shape[2] - 1)]


def random_turn(blocks, touched, feet, num_kinds, reach, rng):
    """Both players are offered what is possible, choose evenly among it (then the kind), and act."""
    actions = []
    for player in (0, 1):
        place, remove, move = masks(blocks, feet[player], feet[1 - player], reach)
        offered = np.flatnonzero(np.concatenate([[True], place, remove, move]))
        choice = int(rng.choice(offered))
        if choice == 0:
            actions.append(0)
        elif choice <= blocks.size:
            actions.append(1 + int(rng.integers(2, num_kinds)) * blocks.size + choice - 1)
        else:
            actions.append(choice + (num_kinds - 1) * blocks.size)
    return step(blocks, touched, feet, actions, num_kinds, reach)
