"""Runs as CSV: what is read, and what is refused with its place."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.any_text import any_text
from tscale.calibration.runs import MOST_RUNS, Run, parse_runs
from tscale.errors import SpecError, TscaleError

ONE = [Run(2, 70e6, 1.4e9, 3.21)]


@pytest.mark.parametrize(
    "text",
    [
        "params,tokens,loss\n70e6,1.4e9,3.21\n",
        "N,D,L\n70000000,1400000000,3.21",
        "params,tokens,loss\r\n70M,1.4B,3.21\r\n\r\n",
        "Model Size;Training-Tokens;Loss\n70_000_000;1.4e+09;3.21\n",
        'name\tloss\ttokens\tparams\n"a ""b"", c"\t3.21\t 1.4 B \t70M\n',
        ' "params" , "tokens" , "loss" \n "70e6" ,"1.4e9",3.21\n',
        "params,flops,loss\n70e6,588e15,3.21\n",
        "C,D,L\n5.88e17,1.4e9,3.21\n",
        "params,tokens,flops,loss\n70e6,1.4e9,1,3.21\n",
    ],
)  # fmt: skip
def test_the_same_run_however_it_is_written(text: str) -> None:
    (run,) = parse_runs(text, "runs.csv").runs
    assert tuple(run) == pytest.approx(tuple(ONE[0]), rel=1e-12)


@pytest.mark.parametrize(
    "heading", ["val_loss", "final_loss", "eval/loss", "Validation Loss", "test_loss", "train.loss"]
)
def test_losses_by_the_names_that_loggers_give_them(heading: str) -> None:
    assert parse_runs(f"params,tokens,{heading}\n70e6,1.4e9,3.21\n", "runs.csv").runs == (ONE[0],)


def test_experts_are_read_where_they_are_wanted() -> None:
    text = "params,tokens,loss,experts\n70e6,1.4e9,3.21,8\n"
    assert parse_runs(text, "runs.csv").runs == (ONE[0],)
    assert parse_runs(text, "runs.csv", experts=True).runs == (ONE[0]._replace(experts=8),)
    with pytest.raises(SpecError, match="no column experts"):
        parse_runs("params,tokens,loss\n70e6,1.4e9,3.21\n", "runs.csv", experts=True)


def test_what_was_left_alone_is_known() -> None:
    read = parse_runs("name,params,tokens,flops,loss\na,70e6,1.4e9,5e17,3.21\n", "runs.csv")
    assert (read.columns, read.unread) == (("params", "tokens", "loss"), ("name", "flops"))


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "runs.csv: is empty: a heading params,tokens,loss is wanted, and a line a run"),
        ("\n \n", "runs.csv: is empty: a heading params,tokens,loss is wanted, and a line a run"),
        ("params,tokens,loss\n", "runs.csv: holds a heading and no runs"),
        ("1e6,2e7,3\n", "runs.csv:1:1: numbers where the heading params,tokens,loss is wanted"),
        ("params,tokens\n1e6,2e7\n", "runs.csv:1:1: no column loss"),
        ("params,tokns,loss\n", "runs.csv:1:1: no column tokens or flops (C = 6ND gives the third): did you mean tokens?"),
        ("loss\n3\n", "runs.csv:1:1: no column params, tokens"),
        ("a,b\n1,2\n", "runs.csv:1:1: no column params, tokens, loss"),
        ("params,tokens,loss,params\n", 'runs.csv:1:20: column "params" twice'),
        ("params,N,tokens,loss\n", 'runs.csv:1:8: column "N" next to "params": both mean params'),
        ("params,tokens,loss\n1e6,2e7\n", "runs.csv:2:1: 2 fields under 3 headings"),
        ("params,tokens,loss\n1e6,2e7,3,\n", "runs.csv:2:1: 4 fields under 3 headings"),
        ("params,tokens,loss\n\n1e6,2e7,\n", "runs.csv:3:9: loss is empty: fill it in, or leave the run out"),
        ("params,tokens,loss\n1e6,2e7, nan\n", 'runs.csv:2:10: loss is "nan": leave the run out'),
        ("params,tokens,loss\n1e6,-inf,3\n", 'runs.csv:2:5: tokens is "-inf": leave the run out'),
        ("params,tokens,loss\n1e6,2e7,-3\n", 'runs.csv:2:9: loss must be a number above 0, such as 3.21, not "-3"'),
        ("params,tokens,loss\n0,2e7,3\n", 'runs.csv:2:1: params must be a number above 0, such as 70e6 or 70M, not "0"'),
        ("params,tokens,loss\n1e6,many,3\n", 'runs.csv:2:5: tokens must be a number above 0, such as 1.4e9 or 1.4B, not "many"'),
        ("params;tokens;loss\n1e6;2e7;3,21\n", 'runs.csv:2:9: loss must be a number above 0, such as 3.21, not "3,21"'),
        ('params,tokens,loss\n"1,000,000",2e7,3\n', 'runs.csv:2:1: params must be a number above 0, such as 70e6 or 70M, not "1,000,000"'),
        ("params,tokens,loss\n1e6,2e7,3M\n", 'runs.csv:2:9: loss must be a number above 0, such as 3.21, not "3M"'),
        ("params,tokens,loss\n٣,2e7,3\n", 'runs.csv:2:1: params must be a number above 0, such as 70e6 or 70M, not "٣"'),
        ("params,tokens,loss\n1e30,2e7,3\n", 'runs.csv:2:1: params of "1e30" is out of range: from 1 to 1e18'),
        ("params,tokens,loss\n1e6,1e-9,3\n", 'runs.csv:2:5: tokens of "1e-9" is out of range: from 1 to 1e24'),
        ("params,flops,loss\n1e6,6,3\n", 'runs.csv:2:5: "6" FLOPs with so many params leave 1e-06 tokens: C = 6ND'),
        ('params,tokens,loss\n"1e6,2e7,3\n', "runs.csv:2:1: a quote that is not closed in its line, or text next to a field in quotes"),
        ('params,tokens,loss\n"1e6"x,2e7,3\n', "runs.csv:2:1: a quote that is not closed in its line, or text next to a field in quotes"),
        ("params,tokens,loss\n1e6,2e7,x\n1e6,2e7,y\n1,2\n", 'runs.csv:2:9: loss must be a number above 0, such as 3.21, not "x" (and 2 more like it)'),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(text: str, said: str) -> None:
    with pytest.raises(TscaleError) as error:
        parse_runs(text, "runs.csv")
    assert str(error.value) == said


def test_more_runs_than_anybody_trains() -> None:
    with pytest.raises(SpecError, match=r"runs.csv:10002:1: more than 10,000 runs"):
        parse_runs("params,tokens,loss\n" + "1e6,2e7,3\n" * (MOST_RUNS + 1), "runs.csv")


@pytest.mark.slow
@given(text=st.one_of(
    any_text(60),
    st.lists(st.sampled_from(["params", "tokens", "loss", "N", "1e6", "3.2", ",", ";", "\t", '"', "\n", "\r", "nan", "-1", " ", "\x00", "1e999", "9" * 70, "1M"]), max_size=30).map("".join),
    st.lists(st.sampled_from(["1e6", "3.2", ",", '"', "\n", "nan", "-1", " ", "1e99", "0", "1_000", ".", "1.", ".5"]), max_size=30).map(lambda parts: "params,tokens,loss\n" + "".join(parts)),
))  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_whatever_the_text_it_is_read_or_refused_in_one_line(text: str) -> None:
    try:
        read = parse_runs(text, "runs.csv")
    except TscaleError as error:
        said = str(error)
    else:
        said = "runs.csv"
        assert all(run.params >= 1 and run.tokens >= 1 and 0 < run.loss < 1e4 for run in read.runs)
    assert said.startswith("runs.csv")
    assert said.isprintable()
