"""Reads what limn exported with the packages it is meant for, and compares.

    python3 tools/xtask/interop.py EXPORTS MODEL TEMPLATE

EXPORTS has a folder for each format, all of the same sessions; MODEL is the folder of a tokenizer,
TEMPLATE a chat template that marks what is generated. `cargo xtask interop` makes them.
"""

import json
import pathlib
import sys

import datasets
from atif import Trajectory
from transformers import PreTrainedTokenizerFast

EXPORTS, MODEL, TEMPLATE = map(pathlib.Path, sys.argv[1:4])


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def without_nulls(value):
    if isinstance(value, dict):
        return {key: without_nulls(it) for key, it in value.items() if it is not None}
    return [without_nulls(it) for it in value] if isinstance(value, list) else value


def calls(rows):
    for row in rows:
        for message in row["messages"]:
            yield from message.get("tool_calls") or []


def loads(name, files):
    """`datasets` gives back what is in the file, and puts no key into any arguments."""
    path = EXPORTS / name
    loaded = datasets.load_dataset(
        files, data_files=str(path), split="train", cache_dir=str(EXPORTS / "cache")
    )
    return [dict(row) for row in loaded]


def jsonl():
    for form in ("messages", "openai", "axolotl", "slime"):
        name = f"{form}/messages.jsonl"
        ours, theirs = lines(EXPORTS / name), loads(name, "json")
        assert without_nulls(ours) == without_nulls(theirs), name
        for mine, other in zip(calls(ours), calls(theirs), strict=True):
            assert mine["function"]["arguments"] == other["function"]["arguments"], name
    for name in ("llamafactory/messages.jsonl", "sharegpt/messages.jsonl", "tokens/tokens.jsonl"):
        assert lines(EXPORTS / name) == loads(name, "json"), name


def parquet():
    ours = lines(EXPORTS / "messages/messages.jsonl")
    theirs = loads("parquet/messages.parquet", "parquet")
    for row in theirs:
        row["messages"], row["tools"] = json.loads(row["messages"]), json.loads(row["tools"])
    assert ours == theirs
    theirs = loads("token-parquet/tokens.parquet", "parquet")
    for row in theirs:
        row["replies"] = json.loads(row["replies"])
    assert lines(EXPORTS / "tokens/tokens.jsonl") == theirs


def tokens():
    """The ids are those of `transformers`, and the mask is the one that the template marks."""
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(MODEL / "tokenizer.json"))
    tokenizer.chat_template = TEMPLATE.read_text()
    rows = lines(EXPORTS / "messages/messages.jsonl")
    ours = {(row["session"], row["sample"]): row for row in lines(EXPORTS / "tokens/tokens.jsonl")}
    whole = 0
    for row in rows:
        mine = ours[row["session"], row["sample"]]
        theirs = tokenizer.apply_chat_template(
            row["messages"],
            tools=row["tools"],
            tokenize=True,
            return_dict=True,
            return_assistant_tokens_mask=True,
        )
        count = len(theirs["input_ids"])
        # A row of messages may go on to a reply of which tokens cannot train anything, and back.
        assert mine["input_ids"][:count] == theirs["input_ids"][: len(mine["input_ids"])]
        trained = [int(label >= 0) for label in mine["labels"]]
        marks = theirs["assistant_masks"]
        replies = [m for m in row["messages"] if m["role"] == "assistant"]
        if sum(row["train"]) == len(replies):
            assert trained == marks, row["session"]
            whole += 1
        else:
            assert all(mark >= it for mark, it in zip(marks, trained)), row["session"]
    assert whole, "no row is trained whole"


def atif():
    for path in (EXPORTS / "atif").glob("*.trajectory.json"):
        document = json.loads(path.read_text())
        theirs = Trajectory(**document).to_json_dict()
        assert without_nulls(theirs) == without_nulls(document), path


def traces():
    for path in (EXPORTS / "traces").glob("*.jsonl"):
        head, *rest = lines(path)
        assert head["type"] == "session" and head["harness"] and head["id"]
        assert all(it["type"] == "message" and "content" in it["message"] for it in rest)
        for call in (c for it in rest for c in it["message"].get("toolCalls", [])):
            assert isinstance(call["function"]["arguments"], str)


for check in (jsonl, parquet, tokens, atif, traces):
    check()
    print(f"{check.__name__}: as it should be")
