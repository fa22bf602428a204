import math
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from rnnexp.report.columns import WIDTH, fitted, laid_out
from rnnexp.report.table import columns_of, differing, in_order, print_table, show, summary_line
from rnnexp.tracking.outcome import Outcome


@dataclass
class Row(Outcome):
    name: str = "a-run"
    folder: str = "outputs/x"
    status: str = "FINISHED"
    seconds: float = 1.25
    run_id: str | None = "0123456789abcdef"


def _text(runs: list[Row]) -> str:
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    with console.file:
        console.print(laid_out(columns_of(runs)))
        return console.export_text()


def _lines(runs: list[Row]) -> list[list[str]]:
    return [line.split() for line in _text(runs).splitlines() if line.strip(" ─━")]


def test_equal_keys_are_left_out() -> None:
    assert differing([{"a": "1", "b": "1"}, {"a": "2", "b": "1"}]) == ["a"]
    assert differing([{"a": "1"}, {}]) == ["a"]
    assert differing([{"a": "1"}]) == differing([]) == []


@pytest.mark.parametrize(
    "key",
    ["sweep.name", "tracking.experiment", "trainer.progress", "plugin_dirs", "monitor.pictures"],
)
def test_where_a_run_is_kept_and_shown_is_left_out(key: str) -> None:
    assert differing([{key: "a", "trainer.max_steps": "1"}, {"trainer.max_steps": "2"}]) == [
        "trainer.max_steps"
    ]
    assert differing([{key: "a", "sweeps": "1"}, {key: "b", "sweeps": "2"}]) == ["sweeps"]


def test_details_of_a_group_hide_behind_its_name() -> None:
    configs = [
        {"cell.name": "lstm", "cell.forget_bias": "1.0", "seed": "0"},
        {"cell.name": "gru", "seed": "0"},
    ]
    assert differing(configs) == ["cell.name"]
    assert differing([{"clip.by": "none"}, {"clip.by": "norm", "clip.max_norm": "1"}]) == [
        "clip.by"
    ]


def test_details_that_differ_within_one_name_are_shown() -> None:
    configs = [
        {"cell.name": name, "cell.hidden_size": size}
        for name in ("lstm", "gru")
        for size in ("32", "64")
    ]
    assert differing(configs) == ["cell.name", "cell.hidden_size"]


CONFIG = st.fixed_dictionaries(
    {
        "cell.name": st.sampled_from("ab"),
        "cell.size": st.sampled_from("12"),
        "clip.by": st.sampled_from(["none", "norm"]),
        "clip.max": st.sampled_from("34"),
        "seed": st.sampled_from("56"),
    }
)


@given(st.lists(CONFIG, max_size=6))
def test_the_columns_tell_all_different_runs_apart(configs: list[dict[str, str]]) -> None:
    keys = differing(configs)
    whole = {tuple(sorted(config.items())) for config in configs}
    shown = {tuple(config[key] for key in keys) for config in configs}
    assert len(shown) == len(whole)


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("test/accuracy", 0.5, "50.0%"),
        ("test/loss", 0.123456, "0.123"),
        ("test/loss", None, ""),
        ("test/loss", math.nan, "nan"),
        ("grad/largest_raw_norm", math.inf, "inf"),
    ],
)
def test_figures_are_shown(key: str, value: float | None, text: str) -> None:
    assert show(key, value) == text


def test_table_has_a_row_per_run() -> None:
    runs = [
        Row(config={"cell.name": "lstm", "seed": "0"}, metrics={"test/loss": 0.25}),
        Row(config={"cell.name": "gru", "seed": "0"}, metrics={"test/accuracy": 0.5}, run_id=None),
    ]
    head, lstm, gru = _lines(runs)
    assert head == ["cell", "test", "loss", "test", "accuracy", "time", "run", "id"]
    assert lstm == ["lstm", "0.25", "1", "s", "01234567"]
    assert gru == ["gru", "50.0%", "1", "s"]


def test_cliffs_are_counted_where_a_run_has_one() -> None:
    none, some = ({"cliffs/count": count} for count in (0.0, 1234.0))
    (cliffs,) = (c for c in columns_of([Row(metrics=none), Row(metrics=some)]) if "cl" in c.head)
    assert (cliffs.head, cliffs.cells) == ("cliffs", ["0", "1234"])
    assert "cliffs" not in {column.head for column in columns_of([Row(metrics=none)] * 2)}


def test_rows_are_sorted_by_what_differs_numbers_as_numbers() -> None:
    values = [("lstm", "10"), ("gru", "10"), ("gru", "null"), ("gru", "9"), ("gru", "1e-3")]
    runs = [Row(config={"cell.name": cell, "clip.max_norm": norm}) for cell, norm in values]
    runs.append(replace(runs[1], name="later"))
    found = in_order(runs)
    assert [run.config["clip.max_norm"] for run in found] == ["1e-3", "9", "10", "10", "null", "10"]
    assert [run.name for run in found[2:4]] == ["a-run", "later"]


def test_status_is_shown_where_a_run_did_not_finish() -> None:
    rows = _lines([Row(config={"seed": "0"}), Row(config={"seed": "1"}, status="FAILED")])
    assert "status" in rows[0]
    assert "FAILED" in rows[2]


def test_equal_runs_are_named() -> None:
    assert _lines([Row(), Row(name="other")])[2][0] == "other"


def test_markup_in_a_value_is_shown_as_it_is() -> None:
    rows = [Row(config={"k": "[1, 2]"}), Row(config={"k": "[red]x[/red]"})]
    assert "[1, 2]" in _text(rows)
    assert "[red]x[/red]" in _text(rows)


def test_summary_line_says_where_to_look() -> None:
    line = summary_line(Row(metrics={"test/loss": 0.5, "test/accuracy": 1.0}), "rnnexp ui")
    assert line == (
        "a-run: test loss 0.5, test accuracy 100.0% | run 0123456789abcdef | outputs/x | rnnexp ui"
    )
    both = {"test/loss": 0.5, "test/loss_free": 2.0, "test/accuracy_free": 0.25}
    line = summary_line(Row(config={"unroll.feed": "free"}, metrics=both), "rnnexp ui")
    assert line.startswith(
        "a-run: free-running: test loss 2, test accuracy 25.0%; teacher-forced: test loss 0.5 |"
    )
    line = summary_line(Row(config={"unroll.feed": "teacher"}, metrics=both), "rnnexp ui")
    assert line.startswith("a-run: test loss 0.5 |")
    failed = summary_line(Row(status="FAILED", run_id=None), "rnnexp ui")
    assert failed == "a-run: FAILED | run not yet in the store | outputs/x | rnnexp ui"


def test_lengths_never_trained_on_have_columns() -> None:
    accurate = {"test/loss_T40": 0.9, "test/accuracy_T40": 0.5, "test/loss_T120": 0.8}
    runs = [Row(metrics={"test/loss": 0.1, **accurate, "grad/largest_raw_norm": 2.0})]
    heads = [(column.head, column.cells) for column in columns_of([*runs, Row(metrics={})])]
    assert heads[1:5] == [
        ("test loss", ["0.1", ""]),
        ("accuracy at T=40", ["50.0%", ""]),  # beside it the loss says nothing more
        ("loss at T=120", ["0.8", ""]),
        ("largest |grad|", ["2", ""]),
    ]
    assert ": test loss 0.1, accuracy at T=40 50.0%, loss at T=120 0.8 |" in summary_line(
        runs[0], "rnnexp ui"
    )


def test_unequal_data_is_shown() -> None:
    full = Row(config={"unroll.window": "null"}, metrics={"train/sequences": 19200.0})
    short = Row(config={"unroll.window": "3"}, metrics={"train/sequences": 3200.4})
    columns = {column.head: column.cells for column in columns_of([full, short, Row()])}
    assert columns["sequences"] == ["19200", "3200", ""]
    assert "sequences" not in {column.head for column in columns_of([full, full, Row()])}


def test_columns_and_last_line_say_how_longer_sequences_were_fed() -> None:
    figures = {"test/loss_free": 2.0, "test/accuracy_T40": 0.5, "test/accuracy_T40_free": 0.25}
    run = Row(config={"unroll.feed": "free"}, metrics={**figures, "test/loss_T40_free": 3.0})
    heads = [column.head for column in columns_of([run])]
    assert heads[1:4] == [
        "loss running free",
        "accuracy at T=40",
        "accuracy at T=40 running free",
    ]
    assert summary_line(run, "rnnexp ui").startswith(
        "a-run: free-running: test loss 2, accuracy at T=40 25.0%; "
        "teacher-forced: accuracy at T=40 50.0% |"
    )


def test_a_wide_table_in_a_pipe_is_not_squeezed(capsys: pytest.CaptureFixture[str]) -> None:
    options = [{f"cell.option_{k}": f"value-{i}-{k}" for k in range(12)} for i in range(2)]
    print_table([Row(config=config) for config in options])
    said = capsys.readouterr().out
    assert all(f"value-1-{k}" in said for k in range(12))
    assert max(map(len, said.splitlines())) > WIDTH


FIGURES = {"test/loss": 0.16712, "test/loss_relative": 0.981, "grad/largest_raw_norm": 123.4}


def _seventeen(**metrics: float) -> list[Row]:
    cells = ("lipschitz_rnn", "lstm", "gru")
    configs = [
        {
            "cell.name": cells[i % 3],
            "trainer.val_every": str(100 + i),
            "optimizer.lr": str(0.001 * (1 + i % 2)),
            "resume": "outputs/2026-01-01_10-00-00_adding-lstm/last.ckpt" if i == 3 else "null",
        }
        for i in range(17)
    ]
    return [Row(config=config, metrics=metrics) for config in configs]


def _on_a_terminal(runs: list[Row], width: int) -> list[str]:
    console = Console(width=width)
    with console.capture() as said:
        console.print(fitted(columns_of(runs), width))
    lines = said.get().splitlines()
    assert all(len(line) <= width for line in lines)
    return lines


def test_figures_and_cells_are_whole_on_a_narrow_terminal() -> None:
    runs = _seventeen(**FIGURES)
    lines = _on_a_terminal(runs, 80)
    rows = [line for line in lines if "0.167" in line]
    assert len(rows) == 17
    for run, row in zip(runs, rows, strict=True):
        assert row.split()[:5] == [run.config["cell.name"], "0.167", "98.1%", "123", "1"]
        assert "01234567" in row
    assert "…" not in "".join(lines)
    whole = "".join("".join(lines).split())
    assert all(f"trainer.val_every={100 + i}" in whole for i in range(17))


def test_a_terminal_too_narrow_for_a_table_gets_a_paragraph_per_run() -> None:
    lines = _on_a_terminal(_seventeen(**FIGURES), 50)
    assert lines[0] == "usual settings: optimizer.lr=0.001 resume=null"
    assert lines[1].startswith("cell=lipschitz_rnn trainer.val_every=100")
    text = " ".join(line.strip() for line in lines)
    assert text.count("of baseline 98.1%") == text.count("run id 01234567") == 17


@pytest.mark.parametrize("width", [80, 30])
def test_what_most_runs_have_is_said_once(width: int) -> None:
    runs = _seventeen(**FIGURES)
    for run in runs[:-2]:
        run.config["unroll.window"] = "null"
    runs[-1].config["unroll.window"] = "[7]"
    whole = "".join("".join(_on_a_terminal(runs, width)).split())
    assert whole.count("unroll.window=null") == whole.count("unroll.window=[7]") == 1


def test_a_table_that_fits_has_a_column_per_key() -> None:
    assert "trainer.val_every" in _on_a_terminal(_seventeen(**FIGURES), 190)[1]
    runs = [Row(config={"seed": str(i)}, metrics=FIGURES) for i in range(2)]
    assert _on_a_terminal(runs, 80)[1].split()[0] == "seed"
