"""Which of several runs are the same one made again, and which only look like it."""

from collections.abc import Sequence
from dataclasses import replace

from rnnexp.tracking.outcome import Outcome


def once_each(runs: Sequence[Outcome]) -> list[Outcome]:
    """Leave out runs that were made again: the same config, plugin sources, seed, first weights.

    Args:
        runs: any.

    Returns:
        One of each, a finished one where there is one; in the order of the first of each.
    """
    kept: dict[str, Outcome] = {}
    for run in runs:
        job = run.job or run.folder
        known = kept.setdefault(job, run)
        if known.status != "FINISHED" and run.status == "FINISHED":
            kept[job] = run
    return list(kept.values())


def with_sources(runs: Sequence[Outcome]) -> list[Outcome]:
    """Put the source of what was edited between the runs, plugin or file, into the configs.

    Args:
        runs: any.

    Returns:
        The runs; where cells of one name have several sources, the key ``source.cell`` tells which.
    """
    versions: dict[tuple[str, str], set[str]] = {}
    for run in runs:
        for plugin, digest in run.sources.items():
            name = run.config.get(f"{plugin}.name", run.config.get(plugin, ""))
            versions.setdefault((plugin, name), set()).add(digest)
    edited = {plugin for (plugin, _), digests in versions.items() if len(digests) > 1}
    return [replace(run, config=run.config | _sources_of(run, edited)) for run in runs]


def _sources_of(run: Outcome, plugins: set[str]) -> dict[str, str]:
    own = sorted(plugins & set(run.sources))
    return {f"source.{plugin}": run.sources[plugin][:8] for plugin in own}
