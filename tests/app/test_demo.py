"""The demo from end to end, and its episode seen again: what is shown is what was played."""

import io
import json
import re

import jax
import numpy as np
import pytest
from PIL import Image

from tacit.app import cli, demo, replay
from tacit.app.cast import building_cast
from tacit.app.scenes import scenes
from tacit.core import ASSISTANT
from tacit.games.building.game import edit_distance
from tacit.storage import load_episode, read_about

SEED = 5


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """One demo with the oracle, the quickest assistant that helps: its words and its file."""
    path = tmp_path_factory.mktemp("demo") / "episode.safetensors"
    buffer = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", buffer)
        words = ["demo", "--assistant", "oracle", "--fast", "--seed", str(SEED), "--save", str(path)]
        assert cli.main(words) == 0
    return buffer.getvalue(), path


@pytest.fixture(scope="module")
def episode(played):
    return load_episode(played[1], building_cast("building-small", "builder", "oracle").game).episode


def test_it_prints_plain_frames_and_a_verdict(played, episode):
    words, path = played
    num_turns = int(episode.active.sum())
    assert "\x1b" not in words
    assert [int(turn) for turn in re.findall(r"^turn (\d+):", words, re.MULTILINE)] == [
        *range(0, num_turns, 25),
        num_turns,
    ]
    assert f"(seed {SEED}), not an average" in words
    assert "goal completed     100 %" in words
    assert tuple(read_about(path)) == ("building-small", "builder", "oracle", SEED)


def test_the_verdict_counts_what_happened(played, episode):
    words, _ = played
    cells = np.asarray(episode.states.edits.cell)
    human, alone = map(int, re.search(r"human actions +(\d+), and (\d+) when alone", words).groups())
    assert human == (cells[:, 0] >= 0).sum() < alone
    needed = float(edit_distance(jax.tree.map(lambda leaf: leaf[0], episode.states).blocks, episode.theta))
    share = int(re.search(r"assistant's share +(-?\d+) %", words)[1])
    assert share == pytest.approx(100 * float(episode.rewards[:, ASSISTANT].sum()) / needed, abs=0.51)
    assert "0.000 nats" in words  # the oracle knows


def test_scenes_tell_the_episode(episode):
    told = scenes(episode, None)
    assert len(told) == int(episode.active.sum()) + 1
    for turn in (0, len(told) // 2, len(told) - 1):
        state = jax.tree.map(lambda leaf, turn=turn: leaf[turn], episode.states)
        assert (told[turn].blocks == np.asarray(state.blocks)).all()
        left = float(edit_distance(state.blocks, episode.theta))
        assert told[turn].completed == pytest.approx(1 - left / told[0].needed)
    parts = np.asarray(episode.rewards)[:, ASSISTANT]
    assert (told[-1].assistant_right, told[-1].assistant_wrong) == ((parts > 0).sum(), (parts < 0).sum())


def test_a_film_a_page_and_a_picture_can_be_written(played, tmp_path, capsys):
    _, path = played
    for name in ("film.gif", "page.html", "moment.png"):
        assert cli.main(["replay", str(path), "--out", str(tmp_path / name)]) == 0
        assert name in capsys.readouterr().out
        assert (tmp_path / name).stat().st_size < 5_000_000
    assert Image.open(tmp_path / "film.gif").n_frames > 20
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    frames = json.loads(re.search(r"const data = (\{.*\});", page)[1])
    assert len(frames["images"]) == len(frames["turns"]) > 20
    assert not re.search(r"https?://|src=|@import|url\(", page)
    assert cli.main(["replay", str(path), "--out", str(tmp_path / "x.png"), "--turn", "9999"]) == 1
    assert "has turns 0 to" in capsys.readouterr().err


def test_without_out_it_is_shown_as_it_was(played, capsys):
    words, path = played
    assert cli.main(["replay", str(path), "--delay", "0"]) == 0
    frames = re.search(r"turn 0:.*?(?=turn 25:)", words, re.DOTALL)[0]
    assert frames in capsys.readouterr().out


def test_belief_and_world_of_a_scene_belong_together(played):
    """The oracle is certain of the goal in every scene, the first included."""
    told, _ = replay.remembered(played[1])
    for scene in told:
        assert scene.belief is not None
        assert (scene.belief.argmax(-1) == scene.goal).all()
        assert scene.sureness == pytest.approx(1.0)


def test_nobody_has_no_figures_of_belief():
    found = {"goal_completed": 50.0, "human_actions": 3.0, "assistant_share": None, "turns": 9.0, "belief_nll": None}
    settings = demo.Settings("building-small", "builder", "none", 0, 0.0, None)
    assert not any("belief" in line for line in demo.verdict(found, demo.Alone(4, 9), settings))
