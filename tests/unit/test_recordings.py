"""Are people's recordings read safely and in full, and does the check find what our rules refuse?"""

import base64
import contextlib
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path

import lz4.frame
import numpy as np
import pytest

from tacit.games.building import checking, packed, recordings
from tacit.games.building.checking import check, check_recordings, differences, recorded_game, refusing_rule, replay
from tacit.games.building.game import ABSENT
from tacit.games.building.recordings import CELLS, NUM_ACTIONS, WORLD, Recording, Refused, find_feet, load_recordings

DATA = Path(__file__).parents[2] / ".." / "shared" / "data" / "mbag_human"
real = pytest.mark.skipif(not DATA.is_dir(), reason="the public recordings are not in ../shared/data/mbag_human")

FEET = (5, 3, 5)
BREAK, MOVE = 11001, 12101


def flat(x: int, y: int, z: int) -> int:
    return (x * 10 + y) * 10 + z


def place(kind: int, *cell: int) -> int:
    return 1 + kind * CELLS + flat(*cell)


def remove(*cell: int) -> int:
    return BREAK + flat(*cell)


def ground() -> np.ndarray:
    blocks = np.zeros(WORLD, np.int8)
    blocks[:, 0], blocks[:, 1] = 1, 2
    return blocks


def wrap(pickled: bytes) -> str:
    return base64.b64encode(lz4.frame.compress(pickled)).decode()


def table(
    worlds: list[np.ndarray],
    goal: np.ndarray,
    feet: Sequence[Sequence[int]],
    partner: tuple[int, int, int] | None = None,
    touched: list[np.ndarray] | None = None,
) -> np.ndarray:
    """Observations as the recordings hold them, written from the documented format alone."""
    num_inventories = 1 if partner is None else 2
    rows = []
    for t, (world, (x, y, z)) in enumerate(zip(worlds, feet, strict=True)):
        planes = np.zeros((6, *WORLD), np.int64)
        planes[0], planes[2] = world, goal
        if partner is not None:
            planes[4, partner[0], partner[1] : partner[1] + 2, partner[2]] = 2
        planes[4, x, y : y + 2, z] = 1
        if touched is not None:
            planes[5] = touched[t]
        rows.append(np.concatenate([planes.reshape(-1), np.zeros(10 * num_inventories, np.int64), [t]]))
    return np.stack(rows)


def batch(observations: np.ndarray, actions: list[int], rewards: list[float], episode: int = 7) -> dict:
    count = len(actions)
    return {
        "type": "SampleBatch",
        "eps_id": [episode] * count,
        "agent_index": [0] * count,
        "participant_id": [9] * count,
        "obs": wrap(pickle.dumps(observations, 5)),
        "actions": actions,
        "rewards": rewards,
        "infos": [{}] * count,
    }


def story(episode: int = 7) -> dict:
    """Place a right block and a wrong one, break the wrong one, step up, pass: worth 1 - 1 + 1."""
    first = ground()
    goal = ground()
    goal[5, 2, 6], goal[5, 2, 4] = 6, 3
    second = first.copy()
    second[5, 2, 6] = 6
    third = second.copy()
    third[5, 2, 4] = 9
    actions = [place(6, 5, 2, 6), place(9, 5, 2, 4), remove(5, 2, 4), MOVE + 2, 0]
    worlds = [first, second, third, second, second]
    feet = [FEET] * 4 + [(5, 4, 5)]
    return batch(table(worlds, goal, feet), actions, [0.0, 1.0, -1.0, 1.0, 0.0], episode)


def write(path: Path, *lines: dict | bytes) -> Path:
    path.write_bytes(b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines))
    return path


def load(path: Path) -> tuple[list[Recording], list[Refused]]:
    refused: list[Refused] = []
    return list(load_recordings(path, refused.append)), refused


@pytest.fixture(scope="module")
def game():
    return recorded_game(ground()[None])


# Arrays out of pickles.


@pytest.mark.parametrize("protocol", [4, 5])
@pytest.mark.parametrize("writable", [True, False])
def test_what_numpy_pickles_is_read_back(protocol: int, writable: bool):
    rng = np.random.default_rng()
    for shape in ((1, 1), (3, 40), (300, 7), (2, 70000)):
        array = rng.integers(-(2**62), 2**62, shape)
        array.flags.writeable = writable
        pickled = pickle.dumps(array, protocol)
        assert (packed.read_pickled(pickled) == array).all()
        older = pickled.replace(b"\x13numpy._core.num", b"\x12numpy.core.num")
        older = older.replace(b"\x16numpy._core.multi", b"\x15numpy.core.multi")
        assert b"numpy.core." in older
        assert (packed.read_pickled(older) == array).all()
        assert (packed.unpack(wrap(pickled)) == array).all()


def with_global(module: bytes, name: bytes, protocol: bytes = b"\x80\x05") -> bytes:
    """A pickle that would call `module.name` with a shell command."""
    command = b"touch " + os.fsencode(Path.cwd() / "executed")
    call = b"c" + module + b"\n" + name + b"\n(X" + struct.pack("<I", len(command)) + command + b"tR."
    return protocol + call


class Bomb:
    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_a_pickle_that_would_run_something_is_refused_unrun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    marker = tmp_path / "executed"
    good = pickle.dumps(np.arange(6).reshape(2, 3), 5)
    core = b"numpy._core.numeric" if b"numpy._core" in good else b"numpy.core.numeric"
    attacks = [with_global(b"os", b"system"), with_global(b"posix", b"system", b"")]
    attacks += [pickle.dumps(Bomb(marker), protocol) for protocol in range(6)]
    attacks.append(pickle.dumps([np.arange(6).reshape(2, 3), Bomb(marker)], 5))
    attacks.append(good[:-1] + pickle.dumps(Bomb(marker), 5)[2:])
    attacks.append(good.replace(bytes([len(core)]) + core, b"\x05posix").replace(b"\x0b_frombuffer", b"\x06system"))
    attacks.append(good + with_global(b"os", b"system"))
    for number, attack in enumerate(attacks):
        with pytest.raises(ValueError, match="pickle"):
            packed.read_pickled(attack)
        line = story() | {"obs": wrap(attack)}
        loaded, refused = load(write(tmp_path / f"{number}.json", line, story(8)))
        assert [recording.episode for recording in loaded] == [8]
        assert (refused[0].line, refused[0].episode) == (1, 7)
    assert not marker.exists()


def test_other_arrays_are_refused():
    array = np.arange(6).reshape(2, 3)
    others = [array.astype(np.float64), array.astype(np.int32), array.astype(">i8"), array.T, array[None], array[0]]
    for other in [*others, np.array([[{}]]), [1, 2], None]:
        for protocol in (4, 5):
            with pytest.raises(ValueError, match="pickle"):
                packed.read_pickled(pickle.dumps(other, protocol))


def test_every_cut_and_every_changed_byte_is_refused_or_harmless():
    rng = np.random.default_rng()
    for protocol in (4, 5):
        good = pickle.dumps(np.arange(6).reshape(2, 3), protocol)
        for cut in range(len(good)):
            with pytest.raises(ValueError, match="pickle"):
                packed.read_pickled(good[:cut])
        for at in range(len(good)):
            changed = bytearray(good)
            changed[at] ^= int(rng.integers(1, 256))
            with contextlib.suppress(ValueError):
                assert packed.read_pickled(bytes(changed)).dtype == np.int64


def test_frames_that_unpack_to_too_much_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(packed, "MAX_BYTES", 1000)
    honest = lz4.frame.compress(bytes(100_000), store_size=True)
    silent = lz4.frame.compress(bytes(100_000), store_size=False)
    for frame, reason in ((honest, "claim"), (silent, "more than"), (honest[:9], "LZ4"), (silent[:20], "short")):
        with pytest.raises(ValueError, match=reason):
            packed.unpack(base64.b64encode(frame).decode())


# Files.


def test_a_recording_is_read_in_full(tmp_path: Path):
    rng = np.random.default_rng()
    worlds = [rng.integers(0, 10, WORLD) for _ in range(4)]
    touched = [rng.integers(0, 3, WORLD) for _ in range(4)]
    goal, actions, rewards = rng.integers(0, 10, WORLD), rng.integers(0, NUM_ACTIONS, 4), rng.integers(-2, 3, 4)
    feet = rng.integers(0, (11, 9, 10), (4, 3)).tolist()
    observations = table(worlds, goal, feet, touched=touched)
    line = batch(observations, actions.tolist(), rewards.astype(float).tolist(), 2**62 + 1)
    (found,), refused = load(write(tmp_path / "one.jsonl", line))
    assert not refused
    assert (found.episode, found.participant, found.file, found.agent_index) == (2**62 + 1, 9, "one.jsonl", 0)
    assert not found.with_partner
    assert (found.blocks == worlds).all()
    assert (found.touched == touched).all()
    assert (found.goal == goal).all()
    assert (found.feet[:, 0] == feet).all()
    assert (found.feet[:, 1] == ABSENT).all()
    assert (found.actions == actions).all()
    assert (found.rewards == rewards).all()
    assert found.timesteps.tolist() == [0, 1, 2, 3]


def test_zips_and_folders_are_read_file_by_file(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.write(write(tmp_path / "inner", story(2), b"", story(3)), "inner.json")
        archive.writestr("README", "not a recording")
    write(tmp_path / "a.json", story(1))
    (tmp_path / "c.zip").write_bytes(b"PK no zip")
    whole = (tmp_path / "b.zip").read_bytes()
    (tmp_path / "d.zip").write_bytes(whole[: len(whole) // 2])
    damaged = bytearray(whole)
    damaged[60:90] = bytes(30)
    (tmp_path / "e.zip").write_bytes(damaged)
    write(tmp_path / "f.json", story(4))
    write(tmp_path / "g.json")
    loaded, refused = load(tmp_path)
    assert [recording.episode for recording in loaded] == [1, 2, 3, 4]
    assert [recording.file for recording in loaded] == ["a.json", "b.zip", "b.zip", "f.json"]
    assert sorted({refusal.file for refusal in refused}) == ["c.zip", "d.zip", "e.zip", "g.json"]
    assert "damaged" in refused[0].reason


@pytest.mark.parametrize("name", ["nothing.zip", "nothing.json", "nothing.txt", "nothing"])
def test_a_path_that_is_not_there_is_one_clear_problem(tmp_path: Path, name: str):
    report = check_recordings(tmp_path / name)
    assert not report.rows
    assert len(report.problems) == 1
    assert name in report.problems[0]


def changed(column: str, step: int, value: object) -> dict:
    line = story()
    line[column][step] = value
    return line


def reshaped(observations: np.ndarray) -> dict:
    return story() | {"obs": wrap(pickle.dumps(observations, 5))}


def with_number(plane: int, step: int, value: int) -> dict:
    observations = packed.unpack(story()["obs"]).copy()
    observations[step, plane * CELLS + 17] = value
    return reshaped(observations)


BROKEN = {
    "truncated line": (json.dumps(story()).encode()[:-200], None, "cut short"),
    "not an object": (b"[1, 2]", None, "object"),
    "deep": (b"[" * 100_000, None, "JSON"),
    "base64": (story() | {"obs": "$$$ not base64 $$$"}, None, "base64"),
    "unicode": (story() | {"obs": "é"}, None, "base64"),
    "no lz4": (story() | {"obs": base64.b64encode(b"garbage" * 99).decode()}, None, "LZ4"),
    "empty": (story() | {"obs": ""}, None, "LZ4"),
    "no text": (story() | {"obs": 5}, None, "text"),
    "width": (reshaped(np.zeros((5, 6608), np.int64)), None, "6608"),
    "no inventory": (reshaped(np.zeros((5, 6601), np.int64)), None, "6601"),
    "rows": (reshaped(np.zeros((4, 6611), np.int64)), None, "4 observations"),
    "no actions": (story() | {"actions": []}, None, "actions"),
    "action too high": (changed("actions", 3, NUM_ACTIONS), 3, "12107"),
    "action negative": (changed("actions", 2, -1), 2, "-1"),
    "action huge": (changed("actions", 2, 10**30), 2, "action"),
    "action text": (changed("actions", 1, "0"), 1, "action"),
    "reward": (changed("rewards", 4, None), 4, "reward"),
    "reward not finite": (changed("rewards", 4, float("nan")), 4, "reward"),
    "two episodes": (changed("eps_id", 4, 8), 4, "one episode"),
    "participant": (changed("participant_id", 0, "x"), 0, "participant_id"),
    "goal changes": (with_number(2, 3, 5), 3, "goal changes"),
    "block": (with_number(0, 2, 10), 2, "block"),
    "block far out": (with_number(0, 2, 256), 2, "block"),
    "player": (with_number(4, 1, -1), 1, "player"),
    "body": (with_number(4, 1, 1), 1, "body"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_episode_is_named_and_the_rest_goes_on(tmp_path: Path, name: str):
    line, step, reason = BROKEN[name]
    loaded, refused = load(write(tmp_path / "some.json", story(1), line, story(3)))
    assert [recording.episode for recording in loaded] == [1, 3]
    (refusal,) = refused
    assert (refusal.file, refusal.line, refusal.step) == ("some.json", 2, step)
    assert reason in refusal.reason
    if isinstance(line, dict) and name not in ("two episodes",):
        assert refusal.episode == 7
    assert str(refusal).startswith("some.json, line 2")


# Bodies.


def test_bodies_are_found_when_the_other_hides_a_half_or_the_head_sticks_out():
    rng = np.random.default_rng()
    players, wanted = [], []
    for _ in range(400):
        own = rng.integers(0, (11, 10, 10))
        near = own + rng.choice([[0, 1, 0], [0, -1, 0], [0, 2, 0], [0, -2, 0], [1, 0, 0]])
        front, back = rng.permutation(2) + 1
        at = {front: own, back: near}
        two_readings = {int(own[1]), int(near[1])} in ({7, 8}, {8, 9})  # the other hides a half, or the top does
        if not (0 <= near[1] <= 9) or near[0] > 10 or two_readings:
            continue
        plane = np.zeros(WORLD, np.int8)
        for who in (back, front):
            x, y, z = at[who]
            plane[x, y : y + 2, z] = who
        players.append(plane)
        wanted.append([at[1], at[2]])
    assert (find_feet(np.stack(players)) == np.array(wanted)).all()


def test_what_does_not_show_is_absent():
    planes = np.zeros((3, *WORLD), np.int8)
    planes[0, 5, 4:6, 5] = 2
    planes[1, 5, 9, 5] = 1
    planes[2, 5, 4, 5] = 1
    found = find_feet(planes)
    assert found[0].tolist() == [list(ABSENT), [5, 4, 5]]
    assert found[1].tolist() == [[5, 9, 5], list(ABSENT)]
    assert found[2].tolist() == [list(ABSENT), list(ABSENT)]


# The check.


def test_an_episode_by_the_rules_agrees(tmp_path: Path):
    report = check_recordings(write(tmp_path / "one.json", story()))
    assert not report.problems
    assert not report.notes
    assert report.rows == [
        {
            "episode": 7,
            "participant": 9,
            "transitions": 4,
            "grid_agreement": 1.0,
            "move_agreement": 1.0,
            "reward_ours": 1.0,
            "reward_recorded": 1.0,
            "refused": [],
        }
    ]
    json.dumps(report.rows)


def single(game, world: np.ndarray, feet: list[tuple[int, int, int]], action: int) -> tuple[bool, str]:
    """Whether the rules allow one action, and what they say against it."""
    recording = Recording(
        1, 9, "made", 0, True, world[None], world, np.array([feet], np.int32), np.zeros_like(world)[None],
        np.array([action]), np.zeros(1), np.zeros(1, np.int64),
    )  # fmt: skip
    return bool(replay(recording, game).effective[0]), refusing_rule(world, recording.feet[0], action)


def test_every_refusal_names_its_rule(game):
    world = ground()
    world[5, 2, 7] = 7
    world[8, 2:5, 5] = 7
    apart = [FEET, ABSENT]
    walled = ground()
    walled[4:7, 2:7, 6], walled[5, 2, 8] = 7, 7
    cases = [
        (world, apart, place(3, 5, 2, 7), "cell not air"),
        (world, apart, place(1, 5, 2, 6), "kind cannot be placed"),
        (world, [FEET, (5, 2, 6)], place(3, 5, 2, 6), "a body is in the cell"),
        (world, apart, place(3, 5, 6, 5), "nothing solid beside it"),
        (world, apart, place(3, 0, 2, 0), "out of reach"),
        (walled, apart, place(3, 5, 2, 7), "no line of sight"),
        (world, apart, remove(5, 4, 6), "nothing to break"),
        (world, apart, remove(5, 0, 5), "bedrock cannot be broken"),
        (world, apart, remove(0, 1, 0), "out of reach"),
        (walled, apart, remove(5, 2, 8), "no line of sight"),
        (world, [(0, 3, 0), ABSENT], MOVE + 1, "cell out of bounds"),
        (world, [(7, 3, 5), ABSENT], MOVE, "a block is in the way"),
        (world, [(8, 5, 5), ABSENT], MOVE + 3, "a block is in the way"),
        (world, [FEET, (5, 3, 6)], MOVE + 4, "a body is in the way"),
        (world, [ABSENT, FEET], MOVE + 4, "the player is not seen"),
        (world, [ABSENT, ABSENT], place(3, 5, 2, 6), "the player is not seen"),
    ]
    for blocks, feet, action, rule in cases:
        assert single(game, blocks, feet, action) == (False, rule)
    assert single(game, world, apart, place(3, 5, 2, 6))[0]
    assert single(game, world, apart, remove(5, 2, 7))[0]


def test_no_rule_is_named_against_what_was_allowed(game):
    rng = np.random.default_rng()
    count = checking.CHUNK
    worlds = np.where(rng.random((count, *WORLD)) < 0.2, rng.integers(0, 10, (count, *WORLD)), 0).astype(np.int8)
    feet = rng.integers((2, 2, 2), (9, 9, 8), (count, 2, 3)).astype(np.int32)
    near = np.clip(feet[:, 0] + rng.integers(-3, 4, (count, 3)), 0, np.array(WORLD) - 1)
    cells = np.ravel_multi_index(tuple(near.T), WORLD)
    edits = np.where(rng.random(count) < 0.5, 1 + rng.integers(0, 10, count) * CELLS + cells, BREAK + cells)
    actions = np.where(rng.random(count) < 0.7, edits, MOVE + rng.integers(0, 6, count))
    recording = Recording(
        1, 9, "made", 0, True, worlds, worlds[0], feet, np.zeros_like(worlds), actions, np.zeros(count),
        np.zeros(count, np.int64),
    )  # fmt: skip
    ours = replay(recording, game)
    assert 20 < ours.effective.sum() < count - 20
    for step in np.flatnonzero(ours.effective):
        # Sight, and for moves the other body, are the last rules asked: nothing before them may hold.
        last = "a body is in the way" if actions[step] >= MOVE else "no line of sight"
        assert refusing_rule(worlds[step], feet[step], int(actions[step])) == last


def test_what_the_row_does_not_explain_is_told_apart(tmp_path: Path, game):
    first = ground()
    second, third, fourth = first.copy(), first.copy(), first.copy()
    second[5, 6, 5] = 6  # asked for, but it hangs in the air
    third[:] = second
    third[1, 2, 1] = 3  # the partner's
    fourth[:] = third
    fourth[2, 2, 1] = 3  # nobody's
    goal = fourth.copy()
    touched = np.zeros((5, *WORLD), np.int8)
    touched[2:, 1, 2, 1] = 2
    observations = table([first, second, third, fourth, fourth], goal, [FEET] * 5, (0, 2, 0), list(touched))
    actions = [place(6, 5, 6, 5), 0, 0, MOVE, 0]
    path = write(tmp_path / "two.json", batch(observations, actions, [0.0, 1.0, 1.0, 0.0, 0.0]))
    (recording,), _ = load(path)
    row = check(recording, game)
    assert (row["grid_agreement"], row["move_agreement"]) == (0.25, 0.0)
    assert (row["reward_ours"], row["reward_recorded"]) == (0.0, 2.0)
    assert row["refused"] == [{"step": 0, "rule": "nothing solid beside it"}]
    found = differences(recording, replay(recording, game))
    assert found == checking.Differences(steps=3, refused=1, refused_worth=1.0, partner=1, unasked=1)
    (note,) = check_recordings(path).notes
    assert "1 by the partner" in note
    assert "nothing solid beside it" in note


def test_a_turn_alone_has_nothing_to_disagree_with(tmp_path: Path):
    line = batch(table([ground()], ground(), [FEET]), [0], [0.0])
    (row,) = check_recordings(write(tmp_path / "one.json", line)).rows
    assert (row["transitions"], row["grid_agreement"], row["move_agreement"]) == (0, 1.0, 1.0)


# The public recordings.


@real
def test_people_alone_keep_our_rules():
    report = check_recordings(DATA / "alone.zip")
    assert not report.problems
    assert len(report.rows) == 5
    for row in report.rows:
        assert row["grid_agreement"] >= 0.995
        assert row["move_agreement"] == 1.0
        assert abs(row["reward_ours"] - row["reward_recorded"]) <= 0.03 * row["reward_recorded"] + 1
        assert len(row["refused"]) <= 0.003 * row["transitions"]
    refused = {row["participant"]: row["refused"] for row in report.rows if row["refused"]}
    assert set(refused) == {4}
    assert [refusal["rule"] for refusal in refused[4]] == ["no line of sight"] * 5


@real
@pytest.mark.parametrize("name", ["with_assistant_human.zip", "with_assistant_assistant.zip"])
def test_people_in_pairs_are_read_and_the_difference_is_the_partner(name: str):
    refused: list[Refused] = []
    episodes = 0
    for recording in recordings.load_recordings(DATA / name, refused.append):
        episodes += 1
        assert recording.with_partner
        ours = replay(recording, recorded_game(recording.goal[None]))
        found = differences(recording, ours)
        assert 0.7 < 1 - found.steps / len(recording.actions) < 0.96
        assert found.partner > 0.8 * (found.refused + found.partner + found.unasked)
        moves = (ours.what[:-1] == 3) & ours.effective[:-1]
        assert (ours.feet[:-1] == recording.feet[1:, 0]).all(-1)[moves].all()
    assert not refused
    assert episodes == 5
