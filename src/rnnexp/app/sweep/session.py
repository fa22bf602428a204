"""One command: its runs, their shared record keeper, their common ending."""

import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, ListConfig

from hydra_plugins.rnnexp_local_launcher._pool import Limits
from hydra_plugins.rnnexp_local_launcher._remote import need_of
from hydra_plugins.rnnexp_optuna_sweeper._settings import Settings
from rnnexp.app.config.build import Plan
from rnnexp.app.config.compose import Corner, Job
from rnnexp.app.config.searched import search_path
from rnnexp.app.config.validate import plain, validate
from rnnexp.app.jobs.folder import State
from rnnexp.app.jobs.log import LOG
from rnnexp.app.jobs.store import artifact_root
from rnnexp.app.run.alone import alone_in
from rnnexp.app.run.patience import Patience
from rnnexp.app.run.resume import origin_of
from rnnexp.app.run.run import run
from rnnexp.app.run.stopped import after_end, after_stop, deliver_rest
from rnnexp.app.run.threads import take_threads_of
from rnnexp.app.sweep.items import NOT_RUN, Item
from rnnexp.app.sweep.named import name_runs
from rnnexp.app.sweep.one_by_one import OneByOne
from rnnexp.app.sweep.pictures import draw_sweep_picture
from rnnexp.app.sweep.search import Search, SearchTrials
from rnnexp.app.sweep.sweep import Sweep
from rnnexp.app.sweep.watch import JobTask, SweepWatcher
from rnnexp.errors import ConfigError, RunError
from rnnexp.report.table import print_table, summary_line
from rnnexp.tracking import Courier, Tracking, package_list
from rnnexp.tracking.outcome import Outcome
from rnnexp.training.interrupt import Stopped, StopRequest


class Session:
    """Everything the runs of one command share.

    Args:
        command: the words that were typed.
        jobs: what they ask for.
        overrides: the command's.
        multirun: whether they are a sweep, be it of one job.
        courier: delivers their records, where it was started early.
        config_dir: a further folder of configs, Hydra's ``--config-dir``.
    """

    def __init__(
        self,
        command: list[str],
        jobs: list[Job],
        overrides: Sequence[str],
        multirun: bool,
        courier: Courier | None = None,
        config_dir: str | None = None,
    ) -> None:
        self.command = shlex.join(command)
        self.jobs = jobs
        self.stop = StopRequest()
        self.outcomes: list[Outcome] = []
        self.stopped = False
        options = jobs[0].plan.values["tracking"]
        self.uri = str(options["uri"])
        self.tracking = Tracking(self.uri, artifact_root(self.uri), courier)
        self.patience = Patience(self.uri, float(options["wait"]), lambda: self.tracking.problem)
        self.tags = {"rnnexp.command": self.command}
        self.overrides = list(overrides)
        self.sweep = self._make_sweep(config_dir) if multirun else None
        self.failure: Exception | None = None
        """What ended a job other than its own training: raised once Hydra is done."""
        self._watcher: SweepWatcher | None = None
        self._here: OneByOne | None = None
        self._folder: Path | None = None

    @property
    def exit_code(self) -> int:
        """0 if every run finished."""
        if self.sweep is not None:
            return int(self.sweep.status == "FAILED")
        return int(any(not o.well for o in self.outcomes))

    def plans_left(self) -> list[Plan]:
        """List the plans of the jobs that may still write."""
        if self.sweep is None or not self.sweep.items:  # a search knows its corners only
            return [job.plan for job in self.jobs]
        states = self.sweep.states()
        left = (i for i in self.sweep.items if states[i.key] not in ("done", "pruned"))
        return [item.job.plan for item in left]

    def __call__(self, config: DictConfig) -> None:
        """Run one job in this process; a failure is kept and does not stop the others."""
        if isinstance(self.failure, RunError):  # which ends the sweep
            return
        try:
            self._run_job(config)
        except Exception as error:  # Hydra would print a line of its own, and go on just so
            self.failure = self.failure or error
        self.stop.heed()

    def _run_job(self, config: DictConfig) -> None:
        hydra = HydraConfig.get()
        if self.sweep is not None:
            self._run_next(self.sweep)
            return
        folder = Path(hydra.runtime.output_dir)
        with alone_in(folder):
            self._folder = folder
            outcome = self._run_one(validate(plain(config)), folder, hydra.overrides.task)
        self.outcomes.append(outcome)
        if outcome.error:
            print(f"rnnexp: {outcome.how}", file=sys.stderr)
        self._sum_up_run(outcome)

    def sweep_name(self) -> str:
        """Return the name of the sweep, for Hydra's folders."""
        return self.sweep.name if self.sweep else "one"

    def job_key(self, number: int) -> str:
        """Return the key of a job by its number, for Hydra's folders."""
        return self.sweep.all_items[number].key if self.sweep else str(number)

    def sweep_tasks(
        self, job_overrides: Sequence[Sequence[str]], first: int, config: DictConfig
    ) -> tuple[list[JobTask], SweepWatcher, Limits]:
        """Make the tasks that a launcher of this project runs: what is left of the sweep."""
        del job_overrides, first
        assert self.sweep is not None
        # Said before the record of the sweep is begun: what no job can get.
        threads = {i.key: _threads(config.hydra.launcher, i) for i in self.sweep.items}
        left = self._begin(self.sweep)
        package_list()
        for item in left:
            self.sweep.freeze(item, threads[item.key])
            self.sweep.beat()  # to freeze thousands may take longer than a lease stands
        self._watcher = self._watch(self.sweep)
        options = self.sweep.options
        limits = Limits(timeout=options["timeout"], fail_fast=options["fail_fast"])
        return [JobTask(item) for item in left], self._watcher, limits

    def search_trials(self, settings: Settings, config: DictConfig) -> SearchTrials:
        """Make the trials that ``hydra/sweeper=optuna`` asks for."""
        del settings  # the search has them from its corners
        assert isinstance(self.sweep, Search)
        self.sweep.hold()  # its record is opened when the study has taken what is asked for
        self._watcher = self._watch(self.sweep)
        found = [o for o in self.overrides if o.startswith("hydra.searchpath=")]
        common = found or search_path(self.overrides)
        package_list()
        threads_of = partial(_threads, config.hydra.launcher)
        return SearchTrials(self.sweep, self._watcher, threads_of, common)

    def finish(self) -> None:
        """Close the record and print what came out."""
        if self._watcher is not None:
            self._watcher.close()
        if self.sweep is not None and self.sweep.lost:
            self.tracking.close(0.0)  # the rest is for the command that has the sweep now
            return
        if self.sweep is not None:
            self.outcomes = self.sweep.outcomes
            self._draw(self.sweep)
            self.sweep.close(self.stopped)
            name_runs(self.sweep, self.patience)
        deliver_rest(self.tracking, self.patience)
        if self.sweep is not None and self.sweep.opened:
            self._sum_up(self.sweep)

    def heard(self, error: Stopped) -> None:
        """Take note of the signal that ends the command, before `finish`."""
        self.stopped = True
        if error.too_late:  # nothing is left but the delivery, which goes on without us
            self.patience.shorten()

    def after_stop(self, error: Stopped) -> str:
        """Say what is left of what was stopped, and how to go on."""
        if self.sweep is None and self._folder is not None and self._was_over(error):
            return after_end(self._folder)
        if self.sweep is None:
            return after_stop(self._folder)
        if self.sweep.status not in (None, "KILLED"):
            folder = shlex.quote(str(self.sweep.folder))
            return (
                f"the sweep is over; only delivery was interrupted. Deliver: rnnexp sync {folder}"
            )
        if not self.sweep.opened:
            return "the sweep had not begun. Start it by the same command again."
        return "checkpoints and records are saved. Go on: the same command again."

    def _was_over(self, error: Stopped) -> bool:
        # In the run, after its end; or later, while this command waited for the store.
        return error.too_late or bool(self.outcomes)

    def _make_sweep(self, config_dir: str | None) -> Sweep:
        corners = [job for job in self.jobs if isinstance(job, Corner)]
        if corners:
            return Search(corners, self.overrides, self.tracking, self.tags, config_dir)
        return Sweep(self.jobs, self.overrides, self.tracking, self.tags, config_dir)

    def _watch(self, sweep: Sweep) -> SweepWatcher:
        moving = self.jobs[0].plan.values["trainer"]["progress"] in ("auto", "bar")
        return SweepWatcher(sweep, moving)

    def _begin(self, sweep: Sweep) -> list[Item]:
        sweep.open()
        left = sweep.left()
        counts = Counter(sweep.states().values())
        if counts["done"] or counts["failed"] or counts["running"]:
            print(f"rnnexp: {sweep.name}: {_come_so_far(sweep, counts)}", file=sys.stderr)
        for folder in sweep.undelivered(left):
            self.tracking.forward(folder)
        return left

    def _run_one(self, plan: Plan, folder: Path, overrides: Sequence[str]) -> Outcome:
        tags = {**self.tags, "rnnexp.overrides": shlex.join(overrides)}
        origin = origin_of(plan.values["resume"], folder)
        if origin is not None and origin.folder is not None:
            take_threads_of(origin.folder, plan)
        return run(plan, folder, self.tracking, self.stop, self.patience, tags=tags, origin=origin)

    def _run_next(self, sweep: Sweep) -> None:
        # All jobs are composed: Hydra's count is that of the turns, not of the job in each.
        self._here = self._here or OneByOne(sweep, self._begin(sweep), self.stop)
        outcome = self._here.run_next()
        if outcome is not None:
            self._sum_up_run(outcome)

    def _sum_up(self, sweep: Sweep) -> None:
        self.outcomes = sweep.outcomes
        print_table([outcome for outcome in self.outcomes if outcome.error != NOT_RUN])
        counts = ", ".join(f"{value} {key}" for key, value in sweep.count().items() if value)
        if isinstance(sweep, Search) and sweep.words:
            print(sweep.words)
        print(f"{sweep.name}: {counts} | {sweep.folder} | {self._ui_command()}")
        for outcome in self.outcomes:
            if not outcome.well and outcome.error != NOT_RUN:
                print(f"rnnexp: {sweep.how(outcome)}", file=sys.stderr)
                log = Path(outcome.folder, LOG)
                if log.is_file():  # a job in this process has printed what would be in it
                    print(f"        its log: {log}", file=sys.stderr)

    def _draw(self, sweep: Sweep) -> None:
        name = sweep.options["picture"] or self.jobs[0].plan.task.sweep_picture
        if name is None or self.stopped or not sweep.opened:
            return
        for file in draw_sweep_picture(name, self.outcomes, sweep.folder):
            sweep.open().artifact(file)
            if file.suffix == ".png":
                print(f"Picture: {file}")

    def _sum_up_run(self, outcome: Outcome) -> None:
        if outcome.error or len(self.jobs) == 1:
            print(summary_line(outcome, self._ui_command()))

    def _ui_command(self) -> str:
        default = self.uri == "sqlite:///mlflow.db"
        return "rnnexp ui" if default else f"rnnexp ui {shlex.quote(f'tracking.uri={self.uri}')}"


def _come_so_far(sweep: Sweep, counts: Counter[State]) -> str:
    words = [f"{counts['done']} of {len(sweep.items)} jobs done"]
    if counts["failed"]:
        again = "run again" if sweep.options["retry_failed"] else "sweep.retry_failed=true reruns"
        words.append(f"{counts['failed']} failed before ({again})")
    if counts["running"]:
        words.append(f"{counts['running']} run by another process, tried last")
    return ", ".join(words)


def _threads(launcher: DictConfig, item: Item) -> int:
    task = JobTask(item)
    if "cpus" in launcher:  # not hydra/launcher=local, which counts in threads
        return need_of(launcher, task, has_gpus=True).threads
    gpus = launcher.get("gpus")
    if isinstance(gpus, ListConfig) and 0 < len(gpus) < task.devices:
        raise ConfigError(
            f"hydra.launcher.gpus={list(gpus)}: a job with trainer.devices={task.devices} takes "
            f"{task.devices} at once. Name more, or ask for fewer devices."
        )
    return int(launcher.threads)
