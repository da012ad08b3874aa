"""The command line: exit statuses, one sentence for what is wrong, JSON and nothing else where it is asked for."""

import dataclasses
import json
import math
import subprocess
import sys
import types
import typing
from types import SimpleNamespace

import numpy as np
import pytest

from tacit.app import cli
from tacit.app.commands import measure
from tacit.games.building import checking
from tacit.members import Member, members
from tacit.studies import claims

COMMANDS = {one.__args__[0]: one.__metadata__[0].name for one in typing.get_args(cli.Command)}


def one_sentence(text: str) -> bool:
    return text.startswith("tacit: ") and text.rstrip().endswith(".") and text.count("\n") == 1


@pytest.mark.parametrize("command", COMMANDS, ids=COMMANDS.get)
def test_every_command_has_help_with_an_example_that_can_be_parsed(command, capsys, monkeypatch):
    assert cli.main([COMMANDS[command], "--help"]) == 0
    example = command.__doc__.partition("Example: tacit ")[2].split("\n")[0]
    assert example
    assert "Example: tacit" in capsys.readouterr().out
    monkeypatch.setattr(command, "run", lambda self: 17)
    assert cli.main(example.split()) == 17


@pytest.mark.parametrize("command", COMMANDS, ids=COMMANDS.get)
def test_every_flag_says_what_it_does(command):
    """A flag's words are the string under its field, or in its type."""
    for field in dataclasses.fields(command):
        documented = typing.get_type_hints(command, include_extras=True)[field.name]
        help_texts = [note.help for note in getattr(documented, "__metadata__", ()) if getattr(note, "help", None)]
        source = sys.modules[command.__module__].__file__
        with open(source, encoding="utf-8") as file:  # noqa: PTH123
            following = file.read().partition(f"    {field.name}: ")[2].partition("\n")[2].lstrip()
        assert help_texts or following.startswith('"""'), field.name


def test_nothing_given_means_the_page(monkeypatch):
    monkeypatch.setattr(cli.Play, "run", lambda self: self.port)
    monkeypatch.setattr(cli.Demo, "run", lambda self: 40 + self.seed)
    assert cli.main([]) == 8080
    assert cli.main(["play", "--port", "81"]) == 81
    assert cli.main(["demo", "--seed", "2"]) == 42


def test_the_page_and_recordings_refuse_what_cannot_be(tmp_path, capsys):
    for words, reason in (
        (["play", "--port", "70000"], "--port 70000 is not between 1 and 65535"),
        (["recordings", "list", "--record", str(tmp_path / "none.sqlite")], "There are no recordings at"),
    ):
        assert cli.main(words) == cli.USAGE
        assert reason in capsys.readouterr().err
    assert not (tmp_path / "none.sqlite").exists()


def test_recordings_are_listed_as_json_and_exported(tmp_path, capsys):
    from tacit.app.session import store

    record = tmp_path / "people.sqlite"
    about = {"game": "building-small", "assistant": "none", "seed": 1, "goal": 4}
    store.create(store.open_store(record), "one", about)
    assert cli.main(["recordings", "list", "--record", str(record), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["session"] == "one"
    assert (row["game"], row["goal"], row["turns"]) == ("building-small", 4, 0)
    assert cli.main(["recordings", "export", "--record", str(record), "--out", str(tmp_path / "all.csv")]) == 0
    assert (tmp_path / "all.csv").read_text().startswith("session,game,assistant")
    assert cli.main(["recordings", "export", "--record", str(record), "--out", str(tmp_path / "all.gif")]) == cli.USAGE
    assert "ends in .csv" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["bogus"],
        ["demo", "--bogus"],
        ["list", "bogus"],
        ["demo", "--seed", "x"],
        ["study", "particles", "--tier", "huge"],
        ["replay"],
        ["data", "eat", "file"],
    ],
)
def test_what_cannot_be_parsed_exits_with_2(words, capsys):
    assert cli.main(words) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err


@pytest.mark.parametrize(
    "words",
    [
        ["evaluate", "--episodes", "0"],
        ["evaluate", "--assistants", ","],
        ["evaluate", "--assistants", "none,none"],
        ["evaluate", "--seed", "-1"],
        ["demo", "--seed", str(2**32)],
        ["demo", "--delay", "-1"],
        ["demo", "--delay", "nan"],
        ["replay", "file", "--out", "film.mp4"],
        ["replay", "file", "--out", "film.gif", "--turn", "3"],
    ],
)
def test_wrong_usage_is_one_sentence_and_2(words, capsys):
    assert cli.main(words) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert one_sentence(shown.err)


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (["demo", "--assistant", "particels"], "particles"),
        (["demo", "--game", "building-smal"], "building-small"),
        (["demo", "--human", "bulder"], "builder"),
        (["evaluate", "--assistants", "none,orcale"], "oracle"),
        (["study", "particle"], "particles"),
    ],
)
def test_an_unknown_name_lists_the_near_ones(words, near, capsys):
    assert cli.main(words) == 1
    shown = capsys.readouterr()
    assert one_sentence(shown.err)
    assert near in shown.err
    assert "no studie" not in shown.err


def test_files_that_are_not_there_or_not_ours_are_one_sentence(tmp_path, capsys):
    (tmp_path / "noise").write_bytes(b"noise")
    for words in (["replay", "absent"], ["replay", str(tmp_path / "noise")], ["replay", str(tmp_path)]):
        assert cli.main(words) == 1
        assert one_sentence(capsys.readouterr().err)


def test_games_without_pictures_are_refused(capsys):
    assert cli.main(["demo", "--game", "off-switch"]) == 1
    assert one_sentence(capsys.readouterr().err)


def test_list_is_what_the_folders_hold(capsys):
    assert cli.main(["list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {tuple(row) for row in rows} == {("name", "kind", "about")}
    games = [member.name for member in members("tacit.games")]
    assert [row["name"] for row in rows if row["kind"] == "games"] == games
    assert cli.main(["list", "games"]) == 0
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == games


def test_a_failed_claim_is_exit_status_1(capsys, monkeypatch):
    for measured, status in ((1.0, 0), (3.0, 1), (float("nan"), 1)):
        report = claims.Report("particles", None, [claims.near("x", measured, 1.0, 0.5, "here")])
        monkeypatch.setattr(claims, "run_all", lambda studies, tier, data, report=report: [report])
        monkeypatch.setattr(claims, "run", lambda *given, report=report: report)
        assert cli.main(["study", "particles", "--json"]) == status
        (row,) = json.loads(capsys.readouterr().out)
        assert set(row) == {"study", "skipped", "claims"}
        assert set(row["claims"][0]) == {"name", "measured", "expected", "tolerance", "passed", "source"}
        assert row["claims"][0]["measured"] == (None if math.isnan(measured) else measured)
        assert cli.main(["study", "all"]) == status
        assert ("FAILED" in capsys.readouterr().out) == bool(status)


def test_a_skipped_study_says_why(capsys, monkeypatch):
    monkeypatch.setattr(claims, "run", lambda study, *given: claims.Report(study.name, "no data", []))
    assert cli.main(["study", "particles"]) == 0
    assert "skipped: no data" in capsys.readouterr().out


def test_recordings_are_rows_or_json_and_problems_are_errors(capsys, monkeypatch):
    row = {"episode": 3, "participant": "p1", "transitions": 5, "grid_agreement": 1.0, "move_agreement": 0.5}
    row |= {"reward_ours": 2.0, "reward_recorded": 2.0, "refused": [{"step": 1, "rule": "reach"}]}
    for problems, status in (([], 0), (["x.zip: line 3 is cut short."], 1)):
        report = checking.Report([row], problems, ["a note"])
        monkeypatch.setattr(checking, "check_recordings", lambda path, report=report: report)
        assert cli.main(["data", "check-recordings", "x.zip", "--json"]) == status
        shown = capsys.readouterr()
        assert json.loads(shown.out) == [row]
        assert shown.err.count("\n") == len(problems)
        assert cli.main(["data", "check-recordings", "x.zip"]) == status
        assert "1 refused" in capsys.readouterr().out


def test_a_benchmark_is_rows_or_json(capsys, monkeypatch):
    row = {"name": "turns", "value": 2e5, "unit": "1/s", "baseline": "a loop", "ratio": 3.0}
    fake = SimpleNamespace(load=lambda: SimpleNamespace(make=lambda: [row]))
    monkeypatch.setattr(measure, "find", lambda package, name: fake)
    assert cli.main(["bench", "any", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [row]
    assert cli.main(["bench", "any"]) == 0
    assert "3.00 x a loop" in capsys.readouterr().out


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt, 130), (SystemExit, 0)])
def test_ctrl_c_ends_quietly(error, status, monkeypatch, capsys):
    def stop(self):
        raise error

    monkeypatch.setattr(cli.List, "run", stop)
    assert cli.main(["list"]) == status
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("mistake", [lambda self: {}["nothing"], lambda self: np.zeros(2) + np.zeros(3)])
def test_our_own_mistakes_keep_their_traceback(mistake, monkeypatch):
    monkeypatch.setattr(cli.List, "run", mistake)
    with pytest.raises((KeyError, ValueError)):
        cli.main(["list"])


def test_a_reader_that_leaves_early_is_no_error():
    code = "import sys; from tacit.app.cli import main; sys.exit(main(['list', '--json']))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert b"Error" not in process.stderr.read()
    assert process.returncode in (0, 1)


def test_help_and_lists_load_no_player_and_no_picture():
    code = (
        "import sys; from tacit.app.cli import main; main(['list']); main(['--help']);"
        "print([name for name in sys.modules if name.startswith(('tacit.', 'PIL', 'safetensors'))], file=sys.stderr)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr
    assert "'tacit.members'" in loaded
    for heavy in ("tacit.assistants", "tacit.evaluation", "tacit.games", "PIL", "safetensors"):
        assert f"'{heavy}" not in loaded


def test_a_study_draws_its_picture(tmp_path, capsys, monkeypatch):
    pytest.importorskip("matplotlib")
    study = types.ModuleType("drawn")
    study.draw = lambda figure: figure.subplots().plot([0, 1], [1, 0])
    monkeypatch.setattr(Member, "load", lambda self: study)
    picture = tmp_path / "off.svg"
    assert cli.main(["study", "off-switch", "--plot", str(picture)]) == 0
    first = picture.read_bytes()
    assert b"<svg" in first
    assert cli.main(["study", "off-switch", "--plot", str(picture)]) == 0
    assert picture.read_bytes() == first, "the same picture has the same bytes"
    del study.draw
    assert cli.main(["study", "off-switch", "--plot", str(picture)]) == 2
    assert "has no picture" in capsys.readouterr().err
