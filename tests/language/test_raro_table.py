"""The table of RARO's study, very small: every row, going on where it was, who may ask the checker, what it claims."""

import copy
import dataclasses
import importlib.util
import shutil
from functools import partial

import numpy as np
import pytest
import torch

from tacit.app.cli import main
from tacit.language import from_scratch, training, worked
from tacit.language.countdown import Form
from tacit.language.models import ModelError
from tacit.language.rounds import Config as GameConfig
from tacit.language.rounds import Memory
from tacit.language.score_critic import WarmUp
from tacit.studies import claims, raro, raro_puzzles, raro_rows, raro_table
from tacit.studies.raro_picture import METHODS
from tacit.studies.raro_table import Row

PUZZLES = raro_puzzles.Puzzles(Form(3, 4, 1, 20), 24, 6)
SCHOOL = raro_rows.School(PUZZLES, from_scratch.Size(width=16, num_heads=2), from_scratch.Schooling(4, 8), WarmUp(2, 8))
CONFIG = dataclasses.replace(
    raro_rows.SMALL,
    imitation=dataclasses.replace(raro_rows.SMALL.imitation, num_rounds=2, num_questions=8),
    play=dataclasses.replace(
        raro_rows.SMALL.play, game=GameConfig(num_answers=2, num_verdicts=2), num_rounds=2, num_questions=4
    ),
    num_seeds=1,
    look_every=1,
    num_each=1,
    num_entrants=4,
    num_tables=3,
)


def silent(what: str, num_done: int, num_rounds: int, numbers: dict[str, float]) -> None:
    assert 1 <= num_done <= num_rounds


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("study")
    setting = raro_rows.from_nothing(SCHOOL, CONFIG, out, silent)
    # One after another, in this process.
    alone = setting._replace(again=None)
    return alone, out, raro_table.table(alone, CONFIG, out, silent)


def test_every_method_has_its_row_and_its_curve(made) -> None:
    setting, out, rows = made
    assert [row.method for row in rows] == list(setting.makers)
    for row in rows:
        assert [point["round"] for point in row.curve] == [0, 1, 2]
        assert row.at_start == rows[0].at_start == row.curve[0]["right"]
        assert 0.0 <= row.right <= 1.0
    with_critic = {row.method for row in rows if row.tournament_gain is not None}
    assert with_critic == {"raro", "raro-no-tie", "raro-narrow-tie", "raro-no-replay", "raro-no-pairing"}
    assert {path.name for path in out.glob("row-*")} == {f"row-{method}-0.json" for method in setting.makers}


def test_rows_that_are_there_are_not_made_again_and_what_is_missing_is(made, monkeypatch, tmp_path) -> None:
    setting, kept_in, rows = made
    out = shutil.copytree(kept_in, tmp_path / "study")
    again: list[str] = []

    def make_row(method, seed, *rest):
        again.append(method)
        return Row(method, seed, 0.0, 0.0, None, 0.0, [])

    monkeypatch.setattr(raro_table, "make_row", make_row)
    kept = raro_table.table(setting, CONFIG, out, silent)
    assert {row.method: row for row in kept} == {row.method: row for row in rows}
    assert not again
    raro_table.table(setting, dataclasses.replace(CONFIG, num_seeds=2), out, silent)
    assert again == list(setting.makers)
    with pytest.raises(ValueError, match="other settings; give another folder"):
        raro_table.table(setting, dataclasses.replace(CONFIG, num_each=2), out, silent)
    with pytest.raises(ValueError, match="other settings; give another folder"):
        raro_rows.from_nothing(dataclasses.replace(SCHOOL, warm_up=WarmUp(3, 8)), CONFIG, out, silent)


def test_a_row_made_in_a_process_of_its_own_is_the_one_made_here(made, monkeypatch, tmp_path) -> None:
    setting, kept_in, rows = made
    out, told = shutil.copytree(kept_in, tmp_path / "study"), set()
    for path in [*out.glob("*raro-0*"), out / "imitation-0.safetensors", out / "start-0.json"]:
        path.unlink()
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    again = raro_rows.from_nothing(SCHOOL, CONFIG, out, silent)
    *there, row = raro_table.table(again, CONFIG, out, lambda what, *_: told.add(what))
    assert len(there) == len(setting.makers) - 1
    assert row._replace(seconds=0.0) == rows[0]._replace(seconds=0.0)
    assert told == {"imitation, seed 0", "raro, seed 0"}
    assert row in raro_table.load_rows(CONFIG, out)


def test_every_row_has_as_many_samples_a_round(made, make_model, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(raro_rows, "NUM_SHOWN", 10)
    monkeypatch.setattr(raro_rows, "NUM_UNSEEN", 1)
    play = training.Config(
        GameConfig(num_answers=2, num_verdicts=2), num_questions=4, answer_tokens=8, verdict_tokens=8
    )
    config = dataclasses.replace(CONFIG, play=play)
    large = raro_rows.brought_along(make_model(tmp_path / "model"), config, "cpu")
    for setting in (made[0], large):
        shown = setting.problems(0).shown
        for method, make in setting.makers.items():
            speaker = copy.deepcopy(setting.start)
            one = make(speaker, play)
            step = one.method(shown[: one.config.num_questions], Memory(), np.random.default_rng(0))
            policy, lessons = step.lessons[0]
            assert policy.speaker is speaker
            assert len(lessons[0].weights) == 8, method
            # DPO has its own answers beside the experts'; and it is held to the start by its own loss.
            assert method != "dpo" or (len(lessons[1].weights), policy.config.kl) == (8, 0.0)


def test_a_row_looks_at_the_start_once_for_all_methods_and_at_the_end_once(made, monkeypatch, tmp_path) -> None:
    setting, looks = made[0], []
    monkeypatch.setattr(raro_table, "share_right", lambda *given: looks.append(0) or 0.5)
    for method in ("sft", "rlvr"):
        row = raro_table.make_row(method, 0, setting, CONFIG, tmp_path, silent)
        assert [point["round"] for point in row.curve] == [0, 1, 2]
    assert len(looks) == 1 + 2 + 2


def test_a_row_that_was_stopped_ends_as_one_that_was_not(made, monkeypatch, tmp_path) -> None:
    """Killed between two rounds of the game, after the checkpoint of the first."""
    setting, _, rows = made
    through = training.train

    def keep_every_round(*given):
        return through(*given, keep_every=1)

    monkeypatch.setattr(training, "train", keep_every_round)

    def killed(what: str, num_done: int, num_rounds: int, numbers: dict[str, float]) -> None:
        if what.startswith("raro") and num_done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        raro_table.make_row("raro", 0, setting, CONFIG, tmp_path, killed)
    row = raro_table.make_row("raro", 0, setting, CONFIG, tmp_path, silent)
    assert row._replace(seconds=0.0) == rows[0]._replace(seconds=0.0)


def test_nobody_but_rlvr_asks_the_checker(made, monkeypatch, tmp_path) -> None:
    problems = made[0].problems(0)

    class AskedError(Exception):
        pass

    def asked(*given):
        raise AskedError

    monkeypatch.setattr(raro_table, "share_right", lambda *given: 0.0)
    monkeypatch.setattr(raro_table, "tournament_gain", lambda *given: 0.0)
    monkeypatch.setattr(worked, "solves", asked)
    monkeypatch.setattr(worked, "_combined", asked)
    kept = raro_rows.from_nothing(SCHOOL, CONFIG, made[1], silent)
    blind = kept._replace(problems=lambda seed: problems, solves=asked)
    for method in blind.makers:
        if method == "rlvr":
            with pytest.raises(AskedError):
                raro_table.make_row(method, 0, blind, CONFIG, tmp_path, silent)
        else:
            raro_table.make_row(method, 0, blind, CONFIG, tmp_path, silent)


def test_what_is_shown_what_is_kept_back_and_what_schools_a_model_are_apart(rng) -> None:
    shown, others = PUZZLES.split()
    assert not {one.identity for one in shown} & {one.identity for one in others}
    for seed in (0, 1):
        problems = PUZZLES.draw(seed)
        names = [one.id for one in (*problems.shown, *problems.unseen)]
        assert sorted(names) == sorted(one.identity for one in shown)
        assert all(worked.solves(one.question, one.answer) for one in (*problems.shown, *problems.unseen))
    assert PUZZLES.draw(0).shown != PUZZLES.draw(1).shown
    taught = PUZZLES.lessons()(40, rng)
    assert {one.id for one in taught} - {""} <= {one.identity for one in others}
    # Half are about nothing: the question names no target.
    assert sum("Make" not in one.question for one in taught) == 20
    with pytest.raises(ValueError, match="leave none to school"):
        dataclasses.replace(PUZZLES, num_shown=10**6).split()


def test_claims_by_hand() -> None:
    rows = [Row("rlvr", seed, 0.1, 0.6, None, 0.0, []) for seed in range(3)]
    # Imitation is best at the start, on the way or at the end.
    curves = [[{"right": right} for right in curve] for curve in ((0.2, 0.1, 0.1), (0.1, 0.2, 0.0), (0.1, 0.1, 0.2))]
    rows += [
        Row("sft", seed, curve[0]["right"], curve[-1]["right"], None, 0.0, curve) for seed, curve in enumerate(curves)
    ]
    rows += [Row("raro", seed, 0.2, right, 0.1, 0.0, []) for seed, right in enumerate((0.3, 0.4, 0.5))]
    found = {one.name: one for one in raro_table.claims(rows, "c")}
    assert found["raro_minus_sft@c"].measured == pytest.approx(0.2)
    # Student's t with 2 degrees of freedom: 4.303 standard errors of 0.1 / √3.
    assert found["raro_minus_sft_low@c"].measured == pytest.approx(0.2 - 4.302653 * 0.1 / np.sqrt(3), abs=1e-6)
    assert not found["raro_minus_sft_low@c"].passed
    assert found["share_of_rlvr_gap@c"].measured == pytest.approx(0.5)
    assert found["tournament_gain@c"].measured == pytest.approx(0.1)


@pytest.mark.slow
def test_a_model_that_is_brought_along_plays_every_row(make_model, monkeypatch, tmp_path) -> None:
    config = dataclasses.replace(
        raro_rows.FULL,
        imitation=training.Config(num_rounds=1, num_questions=2, answer_tokens=8),
        play=training.Config(
            GameConfig(num_answers=2, num_verdicts=2), num_rounds=1, num_questions=2, answer_tokens=8, verdict_tokens=8
        ),
        num_seeds=2,
        num_each=1,
        num_entrants=2,
        num_tables=1,
    )
    monkeypatch.setattr(raro_rows, "NUM_SHOWN", 10)
    monkeypatch.setattr(raro_rows, "NUM_UNSEEN", 2)
    monkeypatch.setattr(raro_table, "FULL", config)
    place = claims.Place(tmp_path / "out", make_model(tmp_path / "model"))
    found = raro.make_at("full", place, silent)
    assert {one.name.partition("@")[2] for one in found} == {"shared_model"}
    assert len(list((tmp_path / "out").glob("row-*"))) == 22


def test_memory_that_runs_out_while_answers_are_counted_is_said(made, monkeypatch) -> None:
    setting = made[0]
    monkeypatch.setattr(raro_table, "drawn", lambda *given: torch.empty(2**55))
    for count in (raro_table.share_right, partial(raro_table.tournament_gain, judge=lambda *_: None)):
        with pytest.raises(training.TrainingError, match=r"^Memory ran out .*the last checkpoint is whole\.$"):
            count(setting.start, problems=[], setting=setting, config=CONFIG)


def test_what_is_lacking_is_said_in_one_sentence(monkeypatch, tmp_path) -> None:
    with pytest.raises(claims.LackingError, match="--model DIR"):
        raro.make_at("full", claims.Place(tmp_path, None), silent)
    with pytest.raises(ModelError, match="no folder with a Hugging Face model"):
        raro.make_at("full", claims.Place(tmp_path, tmp_path / "nowhere"), silent)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(claims.LackingError, match="torch and transformers: pip install 'tacit\\[language\\]'"):
        raro.make_at("small", claims.Place(tmp_path, None), silent)


@pytest.mark.parametrize(
    "words",
    [
        ["raro", "--model", "x"],
        ["particles", "--tier", "small", "--out", "x"],
        ["all", "--tier", "small", "--out", "x"],
    ],
)
def test_flags_that_do_not_apply_are_refused(words, capsys) -> None:
    assert main(["study", *words]) == 2
    said = capsys.readouterr().err
    assert said.startswith("tacit: --out and --model are for")
    assert said.count("\n") == 1


def test_the_table_that_is_kept_can_be_drawn(made, tmp_path, capsys) -> None:
    pytest.importorskip("matplotlib")
    words = ["study", "raro", "--tier", "small", "--plot"]
    assert main([*words, str(tmp_path / "table.svg"), "--out", str(made[1])]) == 0
    picture = (tmp_path / "table.svg").read_text()
    assert all(METHODS[method] in picture for method in made[0].makers)
    assert main([*words, str(tmp_path / "none.svg"), "--out", str(tmp_path)]) == 1
    assert "has no rows of a table yet" in capsys.readouterr().err
    assert main(["study", "belief", *words[2:], str(tmp_path / "none.svg")]) == 2
    assert not (tmp_path / "none.svg").exists()
