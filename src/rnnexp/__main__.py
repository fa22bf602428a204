"""The command line. Nothing heavy is imported before it is known to be needed."""

import errno
import io
import os
import signal
import sys

HELP = """\
rnnexp: experiments on recurrent networks

  rnnexp train [KEY=VALUE ...]    train one network; -m sweeps over values
  rnnexp cells [NAME ...]         what cell= can name, with options
  rnnexp tasks [NAME ...]         what task= can name, with options
  rnnexp callbacks [NAME ...]     what +callbacks.NAME={} can add to a run
  rnnexp options [GROUP ...]      the keys of trainer, clip, monitor and so on
  rnnexp new-cell NAME            write a cell to begin with; new-task a task
  rnnexp check NAME|FILE.py       tell what is wrong with a plugin
  rnnexp compare [FOLDER ...]     a table of runs; --plot FILE.png draws them
  rnnexp unfold [KEY=VALUE ...]   draw the unfolded graph of a network
  rnnexp replay RUN [STEP]        make a step again: its gradient, by time step
  rnnexp rerun RUN                run it again: its config, sources and seed
  rnnexp landscape RUN [STEP]     draw the loss along the gradient at a cliff
  rnnexp sweep plan|status|retry  what a sweep would do, has done, has failed
  rnnexp ui [--port N]            open the records in MLflow's UI
  rnnexp sync [FOLDER ...]        deliver what an interrupted run left behind

Examples
  rnnexp train task=copy_memory cell=lstm
  rnnexp train -m cell=elman,lstm,gru clip=none,norm 'seed=range(5)'
  rnnexp train experiment=char_lm trainer.max_steps=3000
  rnnexp train resume=RUN_ID trainer.max_steps=6000
  rnnexp train --cfg job          show the config; --help shows the choices

RNNEXP_PLUGINS=DIR[:DIR] adds plugin folders; RNNEXP_TRACEBACK=1 shows where
an error that ends a command comes from. That of a run is in its error.txt.
"""

COMMANDS = {
    "train": "rnnexp.app.commands.train",
    "cells": "rnnexp.app.commands.listing",
    "tasks": "rnnexp.app.commands.listing",
    "callbacks": "rnnexp.app.commands.listing",
    "options": "rnnexp.app.commands.options",
    "new-cell": "rnnexp.app.commands.new",
    "new-task": "rnnexp.app.commands.new",
    "check": "rnnexp.app.commands.check",
    "compare": "rnnexp.app.commands.compare",
    "unfold": "rnnexp.app.commands.unfold",
    "replay": "rnnexp.app.commands.replay",
    "rerun": "rnnexp.app.commands.rerun",
    "landscape": "rnnexp.app.commands.landscape",
    "sweep": "rnnexp.app.commands.sweep",
    "ui": "rnnexp.app.commands.ui",
    "sync": "rnnexp.app.commands.sync",
}


_FULL = (errno.ENOSPC, errno.EDQUOT)
EXIT_UNREAD = 141
"""As a shell says of a program that SIGPIPE ended."""


def main() -> None:
    """Run one command and exit with its code."""
    from rnnexp.loading import leave, wait_asleep

    wait_asleep()
    # Where the caller ignores it, as some supervisors do, the system keeps no child's exit code.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _show_any_letter()
    code: int | str | None = EXIT_UNREAD
    try:
        code = run(sys.argv[1:])
    except BrokenPipeError:
        if not _is_unread():
            raise
    except OSError as error:
        if error.errno not in _FULL or not _is_full():
            raise
        code = _unprinted(error, sys.stdout.fileno())
    except SystemExit as error:  # of argparse; of rich, where nobody reads on
        if not isinstance(error.__context__, BrokenPipeError):
            code = error.code
    unprinted = _empty()
    leave(code if unprinted is None else unprinted)


def _show_any_letter() -> None:
    # A folder may have letters that the encoding of the output lacks: no reason to end a command.
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


def _is_unread() -> bool:
    # Whether who was to read what is printed, such as head, has gone.
    import select

    poll = select.poll()
    for stream in (1, 2):
        poll.register(stream, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _empty() -> int | None:
    # What is left in a buffer at the very end Python cannot write either, and calls it an error.
    code = None
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except OSError as error:
            code = _unprinted(error, stream.fileno())
    return code


def _unprinted(error: OSError, place: int) -> int:
    from rnnexp.errors import EXIT_FAILED

    os.dup2(os.open(os.devnull, os.O_WRONLY), place)
    if isinstance(error, BrokenPipeError):
        return EXIT_UNREAD
    words = f"what it prints cannot be written: {error.strerror}. What else it did stands"
    print(f"rnnexp: {words}; send it to another place.", file=sys.stderr)
    return EXIT_FAILED


def _is_full() -> bool:
    # Whether what is printed is what cannot be written: an empty line tells.
    try:
        print(flush=True)
    except OSError:
        return True
    return False


def run(arguments: list[str]) -> int:
    """Run a command.

    Args:
        arguments: the words after ``rnnexp``.

    Returns:
        0, 1 where a run failed, 2 for bad input, 129 after SIGHUP, 130 after Ctrl-C, 141 where
        nobody reads what is printed, 143 after SIGTERM.
    """
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(HELP, end="")
        return 0
    if arguments[0] == "--version":
        from rnnexp import __version__

        print(f"rnnexp {__version__}")
        return 0
    if arguments[0] in ("-sc", "--shell-completion"):
        return _complete(arguments)
    return _dispatch(arguments[0], arguments[1:])


def _dispatch(name: str, arguments: list[str]) -> int:
    from rnnexp.errors import unknown
    from rnnexp.loading import load

    try:
        if name not in COMMANDS:
            raise unknown("command", name, COMMANDS)
        code: int = load(COMMANDS[name]).main(name, arguments)
    except KeyboardInterrupt as error:
        if str(error):  # what was at work, where that is known
            print(f"rnnexp: {error}", file=sys.stderr)
        return 130
    except (Exception, SystemExit) as error:
        return _ended(error)
    return code


def _ended(error: Exception | SystemExit) -> int:
    from rnnexp.discovery import place_in_plugin

    if isinstance(error, BrokenPipeError) and _is_unread():
        return EXIT_UNREAD
    if isinstance(error, OSError) and error.errno in _FULL and _is_full():
        return _unprinted(error, sys.stdout.fileno())
    exits = isinstance(error, SystemExit)
    if exits and place_in_plugin(error) is None:  # of argparse
        raise error
    if os.environ.get("RNNEXP_TRACEBACK") != "1":
        return _explained(error)
    if exits:  # would end the program with a code of its own, and without a word
        raise RuntimeError("A plugin has called sys.exit.") from error
    raise error


def _explained(error: Exception | SystemExit) -> int:
    from rnnexp.discovery import place_in_plugin
    from rnnexp.errors import EXIT_FAILED, EXIT_USER, UserError, describe

    known = _of_a_path(error) if isinstance(error, OSError) else None
    if isinstance(error, UserError):
        known = str(error)
    if known is not None:
        print(f"rnnexp: {known}", file=sys.stderr)
        return EXIT_USER
    place = place_in_plugin(error)
    whose = f"It came out of a plugin, at {place}" if place else "A bug, probably"
    print(f"rnnexp: {describe(error)}", file=sys.stderr)
    print(f"{whose}; RNNEXP_TRACEBACK=1 shows where.", file=sys.stderr)
    return EXIT_FAILED


def _of_a_path(error: OSError) -> str | None:
    # No disk, no rights, no such folder: what the path is says what to do.
    place = "" if error.filename is None else f"{os.fspath(error.filename)!r}: "
    if error.errno in _FULL:  # a write says it, without a path
        return f"{place}{error.strerror}. Free some space, and give the same command again."
    if error.filename is None:
        return None
    return (
        f"{place}{error.strerror}. Name a place that exists and that you "
        "may read and write; RNNEXP_TRACEBACK=1 shows who asked for it."
    )


def _complete(arguments: list[str]) -> int:
    # Hydra completes the words after the program's name; ours has a subcommand before them.
    program, _, rest = os.environ.get("COMP_LINE", "").partition(" ")
    command, space, words = rest.lstrip().partition(" ")
    if not space:
        print(" ".join(name for name in COMMANDS if name.startswith(command)))
        return 0
    if command != "train":
        return 0
    os.environ["COMP_LINE"] = f"{program} {words}"
    return _dispatch("train", arguments)


if __name__ == "__main__":
    main()
