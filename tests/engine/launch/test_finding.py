"""The right run is resumed: the one that was named, or the one that the configuration is of."""

import logging
import os
import shlex
import shutil
import signal

import pytest

from firebox.engine.commands.command_line import main
from firebox.engine.configuration import read, read_recorded
from firebox.engine.configuration.identity import digest_of
from firebox.engine.launch import finding, launch
from firebox.engine.launch.admission import Request, configure
from firebox.engine.launch.continuity import CHANGEABLE
from firebox.engine.records import listing
from firebox.engine.records.claiming import claim, claim_of, renew
from firebox.engine.records.run_directory import RunDirectory
from firebox.foundation.exit_codes import COMPLETED, REFUSED
from firebox.foundation.problems import Refusal
from firebox.trainers.train_cae_baseline import TRAINER
from tests import ways_out
from tests.exactness import FORK
from tests.handlers.runs import configured

SMALL = {"loss_log": {"every": "3 iterations"}, "checkpoint": {"every": "3 iterations", "keep_last": 2}}
TIME = iter(range(10**9, 2 * 10**9, 1000))


@pytest.fixture(autouse=True)
def messages(caplog):
    caplog.set_level(logging.DEBUG, logger="firebox")
    yield caplog
    logger = logging.getLogger("firebox")
    logger.propagate = True
    for handler in list(logger.handlers):
        if isinstance(handler, logging.FileHandler):
            logger.removeHandler(handler)
            handler.close()


@pytest.fixture
def project(tmp_path):
    """A folder with a small configuration in a file, whose runs are numbered."""
    configured(tmp_path, SMALL, training={"epochs": 1})
    file = tmp_path / "configuration.yaml"
    file.write_text(file.read_text().replace("version: run", "version: null"))
    return tmp_path


def given(project, *assignments):
    return read(TRAINER.name, TRAINER.default, project / "configuration.yaml", assignments)


def run(project, *assignments, state="interrupted"):
    """A run's directory as a process left it, later than those before it."""
    directory = claim(given(project, *assignments))
    directory.unlock()
    directory.write_status(state, 3, "test")
    touched(directory.path)
    return directory.path


def touched(path):
    time = next(TIME)
    os.utime(path / "status.json", (time, time))


def request(project, *assignments, resume="newest", allowed=(), path="configuration.yaml"):
    return Request(
        TRAINER, path and project / path, assignments, resume=str(resume), allowed_changes=allowed, quiet=True
    )


def found(project, *assignments, **options):
    directory = configure(request(project, *assignments, **options))[1]
    return None if directory is None else directory.path


def refused(project, *assignments, **options):
    with pytest.raises(Refusal) as caught:
        found(project, *assignments, **options)
    return caught.value.problems


def said(messages):
    return "\n".join(record.getMessage() for record in messages.records)


def test_of_two_runs_that_differ_in_a_value_the_one_of_the_configuration_is_found(project, messages):
    mine, other = run(project, "seed=5"), run(project, "seed=6")
    assert found(project, "seed=5") == mine
    assert f"resuming {mine}: the newest unfinished run of this configuration" in said(messages)
    assert found(project, "seed=6") == other


def test_several_that_fit_are_said_and_the_newest_is_taken(project, messages):
    run(project), run(project)
    newest = run(project)
    run(project, "seed=8")
    run(project, state="completed")
    assert found(project) == newest
    assert f"resuming {newest}: the newest unfinished run of this configuration; also unfinished: version_1, " in said(
        messages
    )


def test_an_unfinished_run_comes_before_a_completed_one_and_that_before_none(project, messages):
    unfinished, done = run(project), run(project, state="completed")
    assert found(project) == unfinished
    RunDirectory(unfinished).write_status("completed", 9, "test")
    os.utime(unfinished / "status.json", (1, 1))
    assert found(project) == done
    assert f"resuming {done}: the newest run of this configuration; none is unfinished" in said(messages)


def test_the_run_of_the_very_configuration_comes_before_one_that_may_be_changed_into_it(project):
    exact = run(project, "training.epochs=4")
    newer = run(project)
    allowed = ["training.epochs"]
    assert found(project, "training.epochs=4", allowed=allowed) == exact
    shutil.rmtree(exact)
    assert found(project, "training.epochs=4", allowed=allowed) == newer


def test_the_version_given_is_the_run_that_is_resumed(project):
    c = run(project, "output.version=C")
    run(project, "output.version=D")
    assert found(project, "output.version=C") == c


def test_a_version_that_does_not_exist_is_refused_with_those_that_do(project):
    run(project, "output.version=trial_one"), run(project, "output.version=other")
    (problem,) = refused(project, "output.version=trial_on")
    assert str(problem).startswith("--set output.version  output.version: no run ")
    options = ways_out.options(problem.message)
    assert [path.rpartition("/")[2] for _, path in options] == ["trial_one", "other"]
    for _, path in options:
        assert str(found(project, resume=path)) == path


def test_the_version_given_beside_another_runs_directory_is_refused(project):
    run(project, "output.version=C")
    d = run(project, "output.version=D")
    (problem,) = refused(project, "output.version=C", resume=d)
    assert "got C, but --resume is of D; expected D" in problem.message
    assert found(project, "output.version=D", resume=d) == d


@pytest.mark.parametrize("name", ["version_0_backup", "version_0 (copy)", "backup"])
def test_a_copy_that_looks_newer_is_left_alone_and_said(project, messages, name):
    original = run(project)
    copy = original.with_name(name)
    shutil.copytree(original, copy)
    touched(copy)
    assert found(project) == original
    (line,) = [text for text in said(messages).splitlines() if "is a copy of version_0" in text]
    ((_, path),) = ways_out.options(line)
    assert found(project, resume=path) == copy


def test_a_copy_is_taken_for_newer_where_no_record_tells_it(project):
    original = run(project)
    copy = original.with_name("version_0_backup")
    shutil.copytree(original, copy)
    touched(copy)
    for path in (original, copy):
        (path / "claim.json").unlink()
    assert found(project) == copy


def test_a_link_to_a_run_beside_it_is_no_other_run(project, messages):
    original = run(project)
    link = original.with_name("latest")
    link.symlink_to(original.name)
    assert found(project) == original
    assert "copy" not in said(messages)
    assert [listed.path for listed in listing.runs_in(original.parents[2])] == [original]

    before = claim_of(original)
    renew(RunDirectory(original))
    assert claim_of(original) == before


def test_a_link_to_a_run_elsewhere_is_the_run(project, tmp_path):
    original = run(project)
    original.rename(tmp_path / "elsewhere")
    original.symlink_to(tmp_path / "elsewhere")
    assert found(project) == original


def test_a_run_that_was_renamed_or_moved_resumes_when_it_is_named_and_where_it_is(project, tmp_path):
    original = run(project)
    renamed = original.with_name("a good one")
    original.rename(renamed)
    assert found(project) == renamed
    moved = tmp_path / "elsewhere"
    renamed.rename(moved)
    assert found(project, resume=moved) == moved
    assert found(project, resume=moved, path=None) == moved


def test_where_none_fits_each_candidate_is_named_with_what_differs(project):
    first, second = run(project, "seed=5"), run(project, "seed=6", "model.latent_dim=3", state="completed")
    head, *problems = refused(project)
    assert "has this configuration; start one without --resume" in head.message
    assert f"--resume {first}: interrupted, iteration 3; seed is 5 there, 3 here" in problems[0].message
    assert "seed is 6 there, 3 here, model.latent_dim is 3 there, 4 here" in problems[1].message
    for problem, path in zip(problems, (first, second), strict=True):
        assert ways_out.options(problem.message) == [("--resume", str(path))]
        assert found(project, resume=path, path=None) == path


def test_at_most_five_candidates_are_named_the_closest_first(project):
    for seed in range(10, 16):
        run(project, f"seed={seed}", "model.latent_dim=3")
    close = run(project, "seed=9")
    problems = refused(project)
    assert "5 of the 7" in problems[0].message
    assert str(close) in problems[1].message
    assert len(problems) == 6


def test_the_one_run_that_could_be_changed_into_it_is_refused_key_by_key(project):
    run(project, "seed=5")
    run(project)
    (problem,) = refused(project, "training.epochs=4")
    assert problem.key == "training.epochs"
    ((option, key),) = ways_out.options(problem.message)
    assert option == "--allow-change"
    assert found(project, "training.epochs=4", allowed=[key]).name == "version_1"


def test_a_run_whose_configuration_can_not_be_read_is_named_as_such(project):
    broken, other = run(project), run(project, "seed=8")
    (broken / "config.yaml").write_text("seed: [")
    assert found(project, "seed=8") == other
    assert any("its configuration can't be read" in problem.message for problem in refused(project, "seed=9"))


def test_another_trainers_run_is_not_continued(project):
    other = run(project)
    text = (other / "config.yaml").read_text()
    (other / "config.yaml").write_text(text.replace("trainer: cae_baseline", "trainer: cae_resnet"))
    mine = run(project)
    touched(other)
    assert found(project) == mine


def test_without_any_run_it_is_refused(project):
    (problem,) = refused(project)
    assert "no run in" in problem.message
    assert "start one without --resume" in problem.message


def command_in(message):
    """The command that a message proposes, as it is typed."""
    return shlex.split(message[message.index("firebox train") :])[1:]


def test_a_configuration_named_as_a_run_is_answered_with_the_command_that_continues_its_newest(project, capfd):
    newest = run(project, "seed=8")
    (problem,) = refused(project, "seed=8", resume=project / "configuration.yaml", path=None)
    assert "not a run's directory; this is a configuration" in problem.message
    assert main([*command_in(problem.message), "--quiet"]) == COMPLETED, capfd.readouterr().err
    assert capfd.readouterr().out.strip() == str(newest)


@pytest.mark.parametrize("place", ["checkpoints/iteration_00000003", "checkpoints", "config.yaml", "log.txt"])
def test_a_place_in_a_run_is_answered_with_the_run(project, place):
    path = run(project)
    (path / "checkpoints/iteration_00000003").mkdir(parents=True)
    (problem,) = refused(project, resume=path / place)
    assert "not a run's directory; this is inside a run" in problem.message
    assert ways_out.options(problem.message) == [("--resume", str(path / place)), ("--resume", str(path))]
    assert found(project, resume=ways_out.options(problem.message)[1][1]) == path


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_a_folder_of_runs_is_answered_with_the_runs_unfinished_ones_first(project, levels):
    unfinished, done = run(project), run(project, state="completed")
    folder = unfinished.parents[levels - 1]
    (problem,) = refused(project, resume=folder)
    assert "this is a folder of runs; expected one of: " in problem.message
    assert [path for _, path in ways_out.options(problem.message)][1:] == [str(unfinished), str(done)]


def test_a_name_that_is_almost_a_runs_is_answered_with_the_run(project):
    for _ in range(2):
        run(project)
    wanted = run(project, "output.version=trial")
    (problem,) = refused(project, resume=wanted.with_name("trail"))
    assert "there is no such folder" in problem.message
    assert ways_out.options(problem.message)[1] == ("--resume", str(wanted))
    (problem,) = refused(project, resume="trial")
    assert ways_out.options(problem.message)[1] == ("--resume", str(wanted))


def test_an_archive_is_answered_with_the_run_that_it_is_of(project):
    path = run(project)
    archive = project / "archived"
    archive.mkdir()
    (archive / "card.json").write_text(f'{{"run": {{"directory": "{path}"}}}}')
    (archive / "model.pt").write_text("")
    for place in (archive, archive / "model.pt"):
        (problem,) = refused(project, resume=place)
        assert ways_out.options(problem.message)[1] == ("--resume", str(path))
    (archive / "card.json").write_text("{")
    assert "an archive has a model" in refused(project, resume=archive)[0].message


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "other.txt"])
def test_what_can_be_no_run_is_refused_in_one_line(project, name):
    (problem,) = refused(project, resume=name)
    assert "not a run's directory" in problem.message
    assert "\n" not in str(problem)


def half_claimed(project, *files):
    """A directory as an older version left it that was killed before the configuration was written."""
    path = given(project).directory / "version_1"
    path.mkdir(parents=True)
    for name in files:
        (path / name).write_text('{"status": "running", "iteration": 0, "reason": "starting"}')
    return path


@pytest.mark.parametrize("files", [(), (".lock",), (".lock", "status.json"), (".lock", "status.json", "log.txt")])
def test_a_start_killed_before_its_configuration_was_written_is_started_over_there(project, files, capfd):
    path = half_claimed(project, *files)
    assert launch.launch(request(project, resume=path)) == COMPLETED, capfd.readouterr().err
    assert capfd.readouterr().out.strip() == str(path)
    assert digest_of(read_recorded(path / "config.yaml")) == digest_of(given(project))
    assert claim_of(path).name == "version_1"


def test_such_a_start_is_named_and_needs_its_configuration(project):
    path = half_claimed(project, ".lock")
    (problem,) = refused(project)
    assert ways_out.options(problem.message)[-1] == ("--resume", str(path))
    (problem,) = refused(project, resume=path, path=None)
    assert "expected that configuration beside it" in problem.message
    arguments = command_in(problem.message)
    assert arguments[:3] == ["train", "cae_baseline", str(TRAINER.default)]
    assert arguments[-2:] == ["--resume", str(path)]


def test_a_folder_with_other_files_is_never_taken_for_such_a_start(project):
    path = half_claimed(project, ".lock")
    (path / "notes.txt").write_text("")
    (problem,) = refused(project, resume=path)
    assert "not a run's directory; there is no run in it" in problem.message


def killed_while_starting(project, *assignments):
    def start():
        RunDirectory.write_status = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        claim(given(project, *assignments))

    process = FORK.Process(target=start)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


def test_a_run_killed_while_it_was_claimed_is_started_anew_and_not_taken_for_an_older_one(project, messages):
    older = run(project, state="completed")
    killed_while_starting(project, "seed=8")
    assert found(project) == older
    killed_while_starting(project)
    assert found(project) is None
    assert "the start of this run was killed before it had a directory: starting it anew" in said(messages)
    assert launch.launch(request(project)) == COMPLETED
    newer = older.with_name("version_1")
    assert RunDirectory(newer).status().state == "completed"
    assert found(project) == newer


def test_a_version_killed_while_it_was_claimed_is_started_anew(project):
    killed_while_starting(project, "output.version=mine")
    assert found(project, "output.version=mine") is None
    assert launch.launch(request(project, "output.version=mine")) == COMPLETED
    assert (given(project).directory / "mine/config.yaml").is_file()


def test_a_copy_that_was_resumed_by_name_is_a_run_of_its_own(project):
    original = run(project)
    copy = original.with_name("copy")
    shutil.copytree(original, copy)
    assert launch.launch(request(project, resume=copy)) == COMPLETED
    assert claim_of(copy).identity != claim_of(original).identity
    assert finding.runs_in(original.parent)[0].path == copy


STOPS = {
    "evaluation": {"every": "3 iterations"},
    "checkpoint": {"every": "3 iterations", "keep_last": 1},
    "loss_log": {"every": "3 iterations"},
    "early_stopping": {"patience": 1, "min_delta": 1e9},
}


def test_an_early_stopped_run_goes_on_where_it_stopped_with_more_patience(tmp_path, capfd):
    settings = configured(tmp_path / "stopped", STOPS)
    patient = {**STOPS, "early_stopping": {"patience": 50, "min_delta": 1e9}}
    whole = configured(tmp_path / "whole", patient)
    for configuration in (settings, whole):
        file = configuration.output_root.parent / "configuration.yaml"
        assert launch.launch(Request(TRAINER, file, quiet=True)) == COMPLETED
    directory = settings.directory / "run"
    assert RunDirectory(directory).status().iteration == 6
    more = ["handlers.early_stopping.patience=50"]
    resume = Request(TRAINER, None, more, resume=str(directory), allowed_changes=["handlers"])
    assert launch.launch(resume) == COMPLETED
    said_now = capfd.readouterr().err
    assert "run was ended at iteration 6: validation/loss no better for 1 evaluations" in said_now
    assert "resuming it with the handlers given now" in said_now
    assert RunDirectory(directory).status().iteration == 18
    assert (directory / "losses.jsonl").read_text() == (whole.directory / "run/losses.jsonl").read_text()


def test_what_a_completed_runs_message_proposes_trains_it_longer(tmp_path, capfd):
    for name, handlers, before, after in (("stopped", STOPS, 6, 12), ("whole", SMALL, 18, 36)):
        settings = configured(tmp_path / name, handlers)
        directory = RunDirectory(settings.directory / "run")
        assert launch.launch(Request(TRAINER, tmp_path / name / "configuration.yaml")) == COMPLETED
        assert directory.status().iteration == before
        capfd.readouterr()
        assert launch.launch(Request(TRAINER, resume=str(directory.path))) == COMPLETED
        text = capfd.readouterr().err
        options = dict(ways_out.options(text))
        way = Request(
            TRAINER, None, [options["--set"]], resume=options["--resume"], allowed_changes=[options["--allow-change"]]
        )
        assert launch.launch(way) == COMPLETED, capfd.readouterr().err
        assert directory.status().iteration == after


def test_an_early_stopped_run_is_completed_as_long_as_its_handlers_are_the_same(tmp_path, capfd):
    settings = configured(tmp_path, STOPS)
    assert launch.launch(Request(TRAINER, tmp_path / "configuration.yaml")) == COMPLETED
    assert launch.launch(Request(TRAINER, resume=str(settings.directory / "run"))) == COMPLETED
    assert "is completed: validation/loss no better for 1 evaluations" in capfd.readouterr().err


@pytest.mark.parametrize("key", ["handlers", "scheduler", "workers"])
def test_what_can_be_changed_is_listed(project, key):
    assert key in CHANGEABLE
    run(project)
    (problem,) = refused(project, allowed=["seed"])
    assert key in problem.message


def test_a_refused_resuming_leaves_nothing(project):
    path = run(project)
    before = sorted(project.rglob("*"))
    assert launch.launch(request(project, resume=path / "config.yaml")) == REFUSED
    assert sorted(project.rglob("*")) == before
