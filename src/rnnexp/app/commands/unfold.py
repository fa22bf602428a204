"""``rnnexp unfold``: draw the unfolded graph of the network that a config means."""

from pathlib import Path

import torch

from rnnexp.app.commands.arguments import PICTURES, parser_of, picture
from rnnexp.app.config.build import Plan, build_cell
from rnnexp.app.config.compose import check_jobs, prepare
from rnnexp.cells import LinearCell
from rnnexp.report.unfolded import draw_unfolded
from rnnexp.report.unfolded_graph import Unfolded
from rnnexp.tasks import Task


def main(command: str, arguments: list[str]) -> int:
    """Draw a picture; nothing is trained."""
    parser = parser_of(command, __doc__)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as for rnnexp train")
    parser.add_argument(
        "--plot",
        type=picture,
        default=Path("unfolded.png"),
        metavar="FILE",
        help=f"{', '.join(PICTURES)}; default: unfolded.png",
    )
    args = parser.parse_args(arguments)
    prepare(args.overrides)
    plan = check_jobs(args.overrides, multirun=False, config_dir=None)[0].plan
    draw_unfolded(graph_of(plan), args.plot)
    print(f"Drawn: {args.plot}")
    return 0


def graph_of(plan: Plan) -> Unfolded:
    """Say what the unfolded graph of a plan looks like."""
    values, task = plan.values, plan.task
    cell = build_cell(values, task.input_size)
    state = cell.initial_state((1,))
    return Unfolded(
        title=f"task={values['task']['name']}  cell={values['cell']['name']}  T={task.length}",
        sizes=(task.input_size, cell.hidden_size, task.output_size),
        length=task.length,
        layers=values["model"]["layers"],
        every_step=plan.pattern == "every_step",
        hidden_path=any(state[i].numel() for i in cell.moving_states(len(state))),
        skips=cell.skips,
        reach=cell.reach if isinstance(cell, LinearCell) else 1,
        fed=values["unroll"]["feed"] if plan.feedback else None,
        fed_gradient=_passes_gradient(task),
        window=values["unroll"]["window"],
        bidirectional=values["model"]["bidirectional"],
    )


def _passes_gradient(task: Task) -> bool:
    output_BO = torch.zeros(1, task.output_size, requires_grad=True)
    return task.encode_output(output_BO).requires_grad
