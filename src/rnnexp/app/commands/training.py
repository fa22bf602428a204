"""The Hydra app of ``rnnexp train``, checked beforehand and summed up afterwards."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import hydra
import torch
from hydra import version
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hydra_plugins.rnnexp_local_launcher._processes import LauncherError
from hydra_plugins.rnnexp_optuna_sweeper._space import SearchError
from rnnexp.app.commands.arguments import hydra_words, only_informs, words_before_hydras
from rnnexp.app.commands.plugin_failures import print_failures, printed_after
from rnnexp.app.config.build import Plan
from rnnexp.app.config.compose import CONFIG_NAME, Job, check_jobs, explain, hydra_of, prepare
from rnnexp.app.config.disk import check_disk
from rnnexp.app.config.idle import refuse_sweep_words
from rnnexp.app.config.searched import search_path
from rnnexp.app.jobs.store import artifact_root, follow
from rnnexp.app.run.alone import check_started_once
from rnnexp.app.run.changes import begun_anew
from rnnexp.app.run.going_on import check_resumes
from rnnexp.app.run.resume import earlier_config_dir, with_earlier_overrides
from rnnexp.app.sweep.items import over_in_sweep
from rnnexp.app.sweep.session import Session
from rnnexp.errors import EXIT_FAILED, ConfigError, RunError
from rnnexp.paths import conf_dir
from rnnexp.tracking import Courier, check_store
from rnnexp.training.interrupt import Stopped

_TASK_NAME = "session"
"""``hydra.job.name``, which launchers of others may put into the names of their jobs."""
_FLAGS = """[-m | --run] [--config-dir DIR]
                    [--cfg {job,hydra,all} [--package PACKAGE] [--resolve]]
                    [--info [WHAT]] [--help] [--hydra-help] [--version]
                    [--shell-completion]"""


def train(command: str, arguments: list[str], courier: Courier | None) -> int:
    """Compose, check, run.

    Args:
        command: ``train``.
        arguments: Hydra's flags and overrides.
        courier: delivers the records; None where it is not known yet that there will be any.

    Returns:
        The exit code.
    """
    args = hydra_words(command, _FLAGS, arguments)
    given, informs = args.overrides, only_informs(args)
    args.overrides = given if informs else with_earlier_overrides(given)  # its plugin_dirs, too
    failures = prepare(args.overrides, sweep=args.multirun)
    if informs:
        print_failures(failures)
        return _inform(command, arguments, args)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a process whose torch has a pool of threads cannot be copied
    with printed_after(failures):
        args.config_dir = args.config_dir or earlier_config_dir(given)
        earlier = [word for word in args.overrides if word not in given]
        is_over = over_in_sweep(args.overrides)
        jobs = check_jobs(args.overrides, args.multirun, args.config_dir, earlier, is_over)
    _check_start(jobs, args.overrides)
    _check_stores(jobs)
    multirun = not jobs[0].alone
    if not multirun:
        refuse_sweep_words(given)
        torch.set_num_threads(threads)
    _check_beginnings([job.plan for job in jobs], multirun)
    words = ["rnnexp", command, *arguments]
    session = Session(words, jobs, args.overrides, multirun, courier, args.config_dir)
    check_disk(session.plans_left(), Path.cwd())
    follow(session.uri)
    for resolver, find in (("rnnexp.sweep", session.sweep_name), ("rnnexp.job", session.job_key)):
        OmegaConf.register_new_resolver(resolver, find, replace=True)
    overrides = [*search_path(args.overrides), *args.overrides]
    return _run(session, lambda: _run_hydra(session, overrides, args.config_dir, multirun))


def _check_beginnings(plans: Sequence[Plan], multirun: bool) -> None:
    check_resumes(plans, multirun)
    for line in begun_anew(plans):
        print(f"rnnexp: {line}", file=sys.stderr)


def _inform(command: str, arguments: list[str], args: argparse.Namespace) -> int:
    def never(config: DictConfig) -> None:
        raise ConfigError(f"--cfg, --info and --help show a config and run nothing: {config}")

    if args.hydra_help:
        print(words_before_hydras(command))
    if args.help:  # for which Hydra sets logging up as the config says
        hydra_of(args.overrides, args.config_dir)
    try:
        _hydra_main(never, [command, *_with_search_path(arguments, args.overrides)])
    except (HydraException, OmegaConfBaseException) as error:
        from hydra import initialize_config_dir

        GlobalHydra.instance().clear()
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            raise explain(error, args.overrides) from error
    if args.cfg in ("job", "all"):  # shown first: what is refused can be looked up in it
        check_jobs(args.overrides, multirun=False, config_dir=args.config_dir)
    return 0


def _with_search_path(arguments: list[str], overrides: list[str]) -> list[str]:
    # All overrides in one row, which is how Hydra's argparse takes them, before what --info takes.
    flags = list(arguments)
    for override in overrides:
        flags.remove(override)
    return [*search_path(overrides), *overrides, *flags]


def _run(session: Session, run_jobs: Callable[[], None]) -> int:
    try:
        with session.stop.listening():
            try:
                run_jobs()
                if session.failure is not None:
                    raise session.failure
            except Stopped as error:
                session.heard(error)
                raise
            finally:
                session.stop.can_wait = False
                session.finish()
    except (LauncherError, SearchError) as error:
        raise ConfigError(str(error)) from error
    except RunError as error:  # of sweep.fail_fast
        print(f"rnnexp: {error}", file=sys.stderr)
        return EXIT_FAILED
    except Stopped as error:
        print(f"rnnexp: {error}; {session.after_stop(error)}", file=sys.stderr)
        return error.exit_code
    return session.exit_code


def _hydra_main(task: object, argv: list[str]) -> None:
    # Errors come to us whole; what Hydra would print of them is not this program's voice.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    sys.argv = ["rnnexp", *argv[1:]]
    wrap = hydra.main(config_path=str(conf_dir()), config_name=CONFIG_NAME, version_base="1.3")
    wrap(task)()  # type: ignore[arg-type]


def _run_hydra(
    session: Session, overrides: list[str], config_dir: str | None, multirun: bool
) -> None:
    # As `hydra.main` does, which would compose the whole config once more to learn the mode.
    version.setbase("1.3")
    places = create_config_search_path(str(conf_dir()))
    if config_dir:
        before = SearchPathQuery(provider="schema")
        places.prepend("command-line", f"file://{Path(config_dir).absolute()}", before)
    app = Hydra.create_main_hydra2(_TASK_NAME, places)
    run, mode = (app.multirun, "MULTIRUN") if multirun else (app.run, "RUN")
    try:
        run(CONFIG_NAME, session, [*overrides, f"hydra.mode={mode}"])
    finally:
        GlobalHydra.instance().clear()


def _check_start(jobs: list[Job], overrides: list[str]) -> None:
    if not jobs:
        raise ConfigError(
            f"The sweep is empty: one of {' '.join(overrides)} has no values. Give it some."
        )
    check_started_once([job.plan for job in jobs])


def _check_stores(jobs: list[Job]) -> None:
    options = [job.plan.values["tracking"] for job in jobs]
    for uri, experiment in dict.fromkeys((str(o["uri"]), str(o["experiment"])) for o in options):
        check_store(uri, experiment, artifact_root(uri))
