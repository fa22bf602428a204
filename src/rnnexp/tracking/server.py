"""What a tracking server has of this program: its experiments, and the sweeps among their runs."""

from collections.abc import Iterable
from typing import Any

from rnnexp.errors import StoreAwayError, StoreError
from rnnexp.tracking.stores import is_away
from rnnexp.tracking.views import TAG, VIEW, SweepView, order_of

Experiments = dict[str, tuple[str, bool]]
_IS_SWEEP = "tags.`rnnexp.sweep.jobs` LIKE '%'"
_PAGE = 1000


def viewed_at(uri: str, most: int) -> tuple[Experiments, list[SweepView]]:
    """Ask a server for what has a view, as `experiments_in` and `sweeps_in` tell it of a file.

    Args:
        uri: address of the server.
        most: how many sweeps.

    Raises:
        StoreAwayError: nothing answers there.
        StoreError: what answers is no MLflow server, or gives nothing away.
    """
    from rnnexp.tracking.mlflow_client import open_client  # seconds, and seldom needed

    try:
        return viewed_by(open_client(uri), most)
    except Exception as error:
        if is_away(error):
            raise StoreAwayError(
                f"tracking.uri={uri}: no server answers there. Start it, or give the address of "
                "one that runs: rnnexp ui tracking.uri=http://HOST:PORT"
            ) from error
        raise StoreError(
            f"tracking.uri={uri}: what answers there does not list its experiments as an MLflow "
            f"server does. {error}"
        ) from error


def viewed_by(client: Any, most: int) -> tuple[Experiments, list[SweepView]]:
    """Ask MLflow's client; see `viewed_at`."""
    found = list(_experiments(client))
    newest = {place.experiment_id: _runs(client, [place.experiment_id], "", 1) for place in found}
    with_runs = sorted(
        (place for place in found if newest[place.experiment_id]),
        key=lambda place: newest[place.experiment_id][0].info.start_time,
        reverse=True,
    )
    experiments = {str(p.name): (str(p.experiment_id), True) for p in with_runs}
    tags = {str(place.experiment_id): place.tags for place in with_runs}
    runs = _runs(client, list(tags), _IS_SWEEP, most) if tags else []
    views = [(run, tags[str(run.info.experiment_id)].get(TAG + run.info.run_id)) for run in runs]
    return experiments, [_view(run, order_of(view)) for run, view in views if view is not None]


def _view(run: Any, order: str) -> SweepView:
    info, user = run.info, str(run.data.tags.get("mlflow.user", ""))
    own = str(info.run_name), str(info.experiment_id), str(info.run_id)
    return SweepView(*own, order, user, int(info.start_time))


def _experiments(client: Any) -> Iterable[Any]:
    # A shared server has those of other programs too, as many as there may be.
    wanted, page = f"tags.`{TAG}{VIEW}` LIKE '%'", None
    while True:
        found = client.search_experiments(filter_string=wanted, max_results=_PAGE, page_token=page)
        yield from found
        page = found.token
        if not page:
            return


def _runs(client: Any, experiments: list[str], wanted: str, most: int) -> list[Any]:
    return client.search_runs(
        experiments, wanted, max_results=most, order_by=["attributes.start_time DESC"]
    )
