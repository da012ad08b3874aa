"""tacit train: killed, stopped, resumed, refused; the same weights whatever happened on the way."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import equinox as eqx
import jax
import pytest
import safetensors.numpy

from tacit.app import cli, runs
from tacit.app.commands import learn
from tacit.members import Member
from tacit.storage import about_checkpoint, about_weights, files, load_weights

ROUNDS = 40
PROBE = '''
    """A line fitted to noise.

    Drawn by nobody: for tests.
    """

    import os
    import time
    from dataclasses import dataclass
    from pathlib import Path

    import equinox as eqx
    import jax
    import jax.numpy as jnp
    import numpy as np
    import optax

    from tacit.learning.training import Trainer

    PAUSE = float(os.environ.get("PROBE_PAUSE", "0"))
    OPTIMISER = optax.adam(0.05)
    hook = None  # called with the number of the round that begins


    @dataclass(frozen=True)
    class Config:
        rounds: int = 40
        size: int = 3
        widths: tuple[int, ...] = (2, 3)


    @eqx.filter_jit
    def step(model, moments, key):
        key, here = jax.random.split(key)
        x, y = jax.random.normal(here, (2, 8, 3))
        loss, slope = eqx.filter_value_and_grad(lambda one: jnp.mean((jax.vmap(one)(x) - y) ** 2))(model)
        with jax.numpy_dtype_promotion("standard"):  # optax computes with mixed types
            updates, moments = OPTIMISER.update(slope, moments, model)
        return eqx.apply_updates(model, updates), moments, key, loss


    class Probe(Trainer):
        config: Config = eqx.field(static=True)

        @property
        def num_rounds(self):
            return self.config.rounds

        def init(self, key):
            here, key = jax.random.split(key)
            model = eqx.nn.Linear(3, self.config.size, key=here)
            moments = OPTIMISER.init(eqx.filter(model, eqx.is_array))
            return {"model": model, "moments": moments, "key": key, "count": np.zeros(()), "weak": jnp.asarray(1.0)}

        def advance(self, state):
            time.sleep(PAUSE)
            if hook is not None:
                hook(int(state["count"]) + 1)
            model, moments, key, loss = step(state["model"], state["moments"], state["key"])
            count = state["count"] + 1.0
            new = {"model": model, "moments": moments, "key": key, "count": count, "weak": 1.5 * state["weak"]}
            return new, {"loss": float(loss), "third": float(count / 3)}

        def done(self, state):
            return bool(state["count"] >= 35)

        def release(self, state):
            return state["model"], {"rounds": float(state["count"])}


    def make(data: Path | None) -> Probe:
        return Probe(Config())
'''
CHILD = """
import sys
from tacit.app import cli
from tacit.app.commands import learn
from tacit.members import Member
learn.find = lambda package, name: Member(name, "probe_recipe", "")
sys.exit(cli.main(sys.argv[1:]))
"""
LAST = 35  # `done` stops it before ROUNDS


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recipes")
    (folder / "probe_recipe.py").write_text(textwrap.dedent(PROBE).lstrip(), encoding="utf-8")
    (folder / "needy.py").write_text(textwrap.dedent(PROBE).lstrip() + '\nNEEDS = ("data",)\n', encoding="utf-8")
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def probe(home):
    import probe_recipe  # pyright: ignore[reportMissingImports]

    return probe_recipe


@pytest.fixture
def train(probe, monkeypatch):
    """Run `tacit train` in this process."""
    monkeypatch.setattr(learn, "find", lambda package, name: Member(name, name.replace("-", "_"), ""))

    def run(*words: str, recipe: str = "probe-recipe") -> int:
        return cli.main(["train", recipe, *words])

    return run


@pytest.fixture(scope="module")
def straight(probe, tmp_path_factory):
    """A run that nothing befell."""
    out = tmp_path_factory.mktemp("straight") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learn, "find", lambda package, name: Member(name, "probe_recipe", ""))
        assert cli.main(["train", "probe-recipe", "--seed", "5", "--out", str(out)]) == 0
    return out


def lines(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def same_training(one: Path, other: Path) -> None:
    """Same weights and same state, bit for bit, and the same numbers in every round."""
    for name in ("probe-recipe.safetensors", "checkpoint.safetensors"):
        ours, theirs = (safetensors.numpy.load((out / name).read_bytes()) for out in (one, other))
        assert {leaf: array.tobytes() for leaf, array in ours.items()} == {
            leaf: array.tobytes() for leaf, array in theirs.items()
        }
    assert [line["round"] for line in lines(one)] == list(range(1, LAST + 1))
    assert [(line["round"], line["numbers"]) for line in lines(one)] == [
        (line["round"], line["numbers"]) for line in lines(other)
    ]


def one_sentence(text: str) -> bool:
    return text.startswith("tacit: ") and text.rstrip().endswith(".") and text.count("\n") == 1


def test_a_run_leaves_weights_a_card_and_its_numbers(straight, probe):
    assert {path.name for path in straight.iterdir()} == {
        "checkpoint.safetensors",
        "metrics.jsonl",
        "probe-recipe.safetensors",
        "probe-recipe.md",
    }
    about = about_weights(straight / "probe-recipe.safetensors")
    assert {"name", "data", "command", "commit", "figures"} <= set(about)
    assert about["figures"] == {"rounds": float(LAST)}
    assert about["command"] == "tacit train probe-recipe --seed 5"
    assert about["config"] == {"rounds": ROUNDS, "size": 3, "widths": [2, 3]}
    like = eqx.filter_eval_shape(lambda key: eqx.nn.Linear(3, 3, key=key), jax.random.key(0))
    weights = load_weights(straight / "probe-recipe.safetensors", like)
    assert weights(jax.numpy.ones(3)).shape == (3,)
    card = (straight / "probe-recipe.md").read_text()
    for words in ("A line fitted to noise.", "Drawn by nobody", about["command"], "stopped early", "| rounds | 35 |"):
        assert words in card
    assert [line["round"] for line in lines(straight)] == list(range(1, LAST + 1))
    seconds = [line["seconds"] for line in lines(straight)]
    assert seconds == sorted(seconds)


def test_a_killed_run_resumes_to_the_same_weights(home, straight, train, tmp_path):
    """SIGKILL twice, the second time in a resumed run, and a line torn by hand; then to the end in this process."""
    out = tmp_path / "killed"
    every = 0.2
    for resume, after in (([], 9), (["--resume"], 20)):
        words = ["train", "probe-recipe", "--out", str(out), "--every", str(every), *(resume or ["--seed", "5"])]
        command = [sys.executable, "-c", CHILD, *words]
        environment = {**os.environ, "PROBE_PAUSE": "0.05", "PYTHONPATH": str(home)}
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as child:
            while not (out / "metrics.jsonl").exists() or len(lines_whole(out)) < after:
                time.sleep(0.02)
                assert child.poll() is None, child.stderr.read() if child.stderr else ""
            child.send_signal(signal.SIGKILL)
        assert child.returncode == -signal.SIGKILL
        seen, kept = lines_whole(out), about_checkpoint(out / "checkpoint.safetensors")
        assert after <= seen[-1]["round"] < LAST
        # A round beyond the interval, and the time that writing takes.
        assert kept["seconds"] >= seen[-1]["seconds"] - every - 1.0
        with (out / "metrics.jsonl").open("a") as file:
            file.write('{"round": 9, "sec')
        (out / f".checkpoint.safetensors.{after}.tmp").write_bytes(b"torn")
    assert train("--resume", "--out", str(out)) == 0
    same_training(out, straight)
    assert not list(out.glob(".*"))


def lines_whole(out: Path) -> list[dict]:
    """The lines so far; the last may be half written at this moment."""
    text = (out / "metrics.jsonl").read_text()
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_after_the_round_and_says_how_to_go_on(number, probe, train, tmp_path, straight, capsys):
    out = tmp_path / "stopped run"
    probe.hook = lambda round_: os.kill(os.getpid(), number) if round_ == 12 else None
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    try:
        assert train("--out", str(out), "--seed", "5") == 130
    finally:
        probe.hook = None
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == before
    told = capsys.readouterr().err
    assert f"tacit train probe-recipe --resume --out '{out}'" in told
    assert "Traceback" not in told
    assert about_checkpoint(out / "checkpoint.safetensors")["rounds"] == 12 == lines(out)[-1]["round"]
    assert train("--out", str(out), "--resume") == 0
    same_training(out, straight)


def test_a_second_signal_stops_at_once(probe, train, tmp_path):
    out = tmp_path / "run"

    def twice(round_: int) -> None:
        if round_ == 7:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    probe.hook = twice
    try:
        assert train("--out", str(out)) == 130
    finally:
        probe.hook = None
    assert about_checkpoint(out / "checkpoint.safetensors")["rounds"] == 0


def test_what_would_be_overwritten_or_is_not_there_is_one_sentence(train, straight, tmp_path, capsys, home):
    kept = {path.name: path.read_bytes() for path in straight.iterdir()}
    (tmp_path / "file").write_text("not a folder")
    for words, part in (
        (["--out", str(straight)], "--resume"),
        (["--out", str(straight), "--resume", "--seed", "6"], "seed 5, not 6"),
        (["--out", str(tmp_path / "no run"), "--resume"], "nothing to resume"),
        (["--out", str(tmp_path / "file")], "could not be made"),
        (["--out", str(tmp_path / "file" / "below")], "could not be made"),
    ):
        assert train(*words) == 1
        shown = capsys.readouterr()
        assert one_sentence(shown.err)
        assert part in shown.err
        assert shown.out == ""
    assert train("--out", str(tmp_path / "needy"), recipe="needy") == 1
    assert "pass --data PATH" in capsys.readouterr().err
    assert not (tmp_path / "needy").exists()
    assert {path.name: path.read_bytes() for path in straight.iterdir()} == kept


def test_a_finished_run_says_so(train, straight, capsys):
    kept = {path.name: path.read_bytes() for path in straight.iterdir()}
    assert train("--out", str(straight), "--resume", "--json") == 0
    shown = capsys.readouterr()
    assert "is finished" in shown.err
    assert json.loads(shown.out)["figures"] == {"rounds": float(LAST)}
    assert {path.name: path.read_bytes() for path in straight.iterdir()} == kept


def test_another_config_or_recipe_or_kind_of_file_is_refused(train, probe, straight, capsys, monkeypatch, tmp_path):
    for changed in (probe.Config(size=4), probe.Config(widths=(2, 4))):
        monkeypatch.setattr(probe, "make", lambda data, changed=changed: probe.Probe(changed))
        assert train("--out", str(straight), "--resume") == 1
        shown = capsys.readouterr().err
        assert one_sentence(shown)
        assert ("size 3, not 4" in shown) or ("widths [2, 3], not [2, 4]" in shown)
    monkeypatch.undo()
    monkeypatch.setattr(learn, "find", lambda package, name: Member("other", "probe_recipe", ""))
    assert cli.main(["train", "other", "--out", str(straight), "--resume"]) == 1
    assert "name probe-recipe, not other" in capsys.readouterr().err
    (tmp_path / "checkpoint.safetensors").write_bytes((straight / "probe-recipe.safetensors").read_bytes())
    assert cli.main(["train", "other", "--out", str(tmp_path), "--resume"]) == 1
    assert "is not a checkpoint" in capsys.readouterr().err
    (tmp_path / "checkpoint.safetensors").write_bytes((straight / "checkpoint.safetensors").read_bytes()[:-1])
    assert cli.main(["train", "other", "--out", str(tmp_path), "--resume"]) == 1
    assert one_sentence(capsys.readouterr().err)


def test_not_a_number_stops_the_run_and_keeps_the_last_good_checkpoint(train, probe, tmp_path, capsys, monkeypatch):
    right = probe.step

    def spoiling_loss(model, moments, key):
        model, moments, key, loss = right(model, moments, key)
        return model, moments, key, loss + (float("nan") if moments[0].count == 20 else 0.0)

    def spoiling_model(model, moments, key):
        model, moments, key, loss = right(model, moments, key)
        bad = jax.numpy.where(moments[0].count == 20, jax.numpy.nan, model.bias)
        return eqx.tree_at(lambda one: one.bias, model, bad), moments, key, loss

    for number, (step, part) in enumerate(((spoiling_loss, "loss is nan"), (spoiling_model, "model.bias"))):
        monkeypatch.setattr(probe, "step", step)
        out = tmp_path / str(number)
        assert train("--out", str(out), "--every", "0") == 1
        shown = capsys.readouterr().err
        last = shown.splitlines()[-1]
        assert part in last
        assert "Round 20 went wrong" in last
        assert about_checkpoint(out / "checkpoint.safetensors")["rounds"] == 19
        assert not (out / "probe-recipe.safetensors").exists()
        monkeypatch.setattr(probe, "step", right)
        assert train("--out", str(out), "--resume") == 0


def test_a_full_disk_is_one_sentence_and_the_run_can_go_on(train, probe, tmp_path, capsys, monkeypatch, straight):
    out = tmp_path / "run"

    def fill(round_: int) -> None:
        def no_space(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        if round_ == 10:
            monkeypatch.setattr(files.os, "fsync", no_space)

    probe.hook = fill
    try:
        assert train("--out", str(out), "--every", "0", "--seed", "5") == 1
    finally:
        probe.hook = None
        monkeypatch.undo()
    assert "could not be written: No space left on device." in capsys.readouterr().err.splitlines()[-1]
    monkeypatch.setattr(learn, "find", lambda package, name: Member(name, "probe_recipe", ""))
    assert about_checkpoint(out / "checkpoint.safetensors")["rounds"] == 9
    assert train("--out", str(out), "--resume") == 0
    same_training(out, straight)


def test_two_cannot_train_in_one_folder(train, tmp_path, capsys):
    with runs.locked(tmp_path / "run"):
        assert train("--out", str(tmp_path / "run")) == 1
    assert "Another process is training" in capsys.readouterr().err
    assert list((tmp_path / "run").iterdir()) == []


def test_tensorboard_writes_events_or_says_what_it_needs(train, tmp_path, capsys, monkeypatch):
    pytest.importorskip("tensorboardX")
    assert train("--out", str(tmp_path / "run"), "--tensorboard") == 0
    (events,) = (tmp_path / "run" / "tensorboard").iterdir()
    assert events.stat().st_size > 1000
    capsys.readouterr()
    monkeypatch.setattr(runs.importlib.util, "find_spec", lambda name: None)
    assert train("--out", str(tmp_path / "other"), "--tensorboard") == 1
    shown = capsys.readouterr().err
    assert one_sentence(shown)
    assert "tacit[tensorboard]" in shown
    assert not (tmp_path / "other").exists()


def test_the_page_on_training_runs(train, home, tmp_path, monkeypatch, capsys):
    """Its recipe, through `tacit train` and then as a reader would paste it."""
    monkeypatch.chdir(tmp_path)
    page = Path(__file__).parents[2] / "docs" / "training.md"
    recipe, own = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    (printed,) = re.findall(r"^```text\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    (home / "line.py").write_text(recipe, encoding="utf-8")
    assert train(recipe="line") == 0
    assert "A line through noisy points" in (tmp_path / "runs" / "line" / "line.md").read_text()
    capsys.readouterr()
    exec(compile(recipe + own, str(page), "exec"), {"__name__": "page"})
    assert capsys.readouterr().out == printed


@pytest.mark.parametrize("words", [["--seed", "-1"], ["--every", "-1"], ["--every", "nan"]])
def test_wrong_usage_is_2(words, train, capsys):
    assert train(*words) == 2
    assert one_sentence(capsys.readouterr().err)
