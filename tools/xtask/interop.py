"""Reads what limn exported with the packages it is meant for, and compares.

    python3 tools/xtask/interop.py models EXPORTS ROOT
    python3 tools/xtask/interop.py check EXPORTS ROOT

`models` writes the tokenizer of each family into EXPORTS/models, and compares the templates of
the fixtures with those of `trl`. `check` reads the folders that were exported since, all of the
same sessions. `cargo xtask interop` does both.
"""

import importlib.util
import json
import logging
import pathlib
import sys
import types

import datasets
from atif import Trajectory
from transformers import PreTrainedTokenizerFast

datasets.disable_progress_bars()
EXPORTS, ROOT = map(pathlib.Path, sys.argv[2:4])
FIXTURES = ROOT / "src/chat/fixtures"

sys.path.insert(0, str(FIXTURES))
sys.dont_write_bytecode = True
import make  # noqa: E402


def models():
    families = make.load("families.json")
    for name, family in families.items():
        make.model(family, EXPORTS / "models" / name)
    theirs = pathlib.Path(importlib.util.find_spec("trl").origin).parent / "chat_templates"
    count = 0
    for file in sorted((FIXTURES / "templates").iterdir()):
        # The one of SmolLM2 came with the model.
        if file.name != "smollm2.jinja":
            assert file.read_bytes() == (theirs / file.name).read_bytes(), file.name
            count += 1
    print(f"{count} templates are those of trl, {len(families)} tokenizers")


def lines(path):
    # Not `splitlines`: some of what it cuts at stands within texts.
    return [json.loads(line) for line in path.read_text().split("\n") if line]


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
    count = 0
    for form in ("messages", "messages round", "openai", "axolotl", "slime", "limi"):
        name = f"{form}/messages.jsonl"
        ours, theirs = lines(EXPORTS / name), loads(name, "json")
        assert without_nulls(ours) == without_nulls(theirs), name
        for mine, other in zip(calls(ours), calls(theirs), strict=True):
            assert mine["function"]["arguments"] == other["function"]["arguments"], name
        count += len(ours)
    tokens = "tokens smollm chatml-tools trajectory/tokens.jsonl"
    for name in ("llamafactory/messages.jsonl", "sharegpt/messages.jsonl", tokens):
        ours = lines(EXPORTS / name)
        assert ours == loads(name, "json"), name
        count += len(ours)
    return f"{count} rows"


def parquet():
    ours = lines(EXPORTS / "parquet lines/messages.jsonl")
    theirs = loads("parquet/messages.parquet", "parquet")
    for row in theirs:
        row["messages"], row["tools"] = json.loads(row["messages"]), json.loads(row["tools"])
    assert ours == theirs
    pictures = [part for row in ours for part in row["messages"][1]["content"] if "image" in part]
    assert pictures, "no picture is among them"
    theirs = loads("token-parquet smollm chatml-tools trajectory/tokens.parquet", "parquet")
    for row in theirs:
        row["replies"] = json.loads(row["replies"])
    assert lines(EXPORTS / "tokens smollm chatml-tools trajectory/tokens.jsonl") == theirs
    return f"{len(ours) + len(theirs)} rows"


def template(name):
    file = FIXTURES / f"templates/{name}.jinja"
    return (file if file.exists() else ROOT / f"assets/templates/{name}.jinja").read_text()


def tokens():
    """For each family: ids are those of `transformers`, masks those that the template marks."""
    said = []
    for folder in sorted(EXPORTS.glob("tokens *")):
        _, family, name, rows = folder.name.split(" ")
        made = make.load("families.json")[family]
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_file=str(EXPORTS / "models" / family / "tokenizer.json"), **make.named(made)
        )
        tokenizer.chat_template = template(name)
        source = "messages round" if rows == "round" else "messages"
        theirs = {key(row): row for row in lines(EXPORTS / source / "messages.jsonl")}
        ours = lines(folder / "tokens.jsonl")
        compared = [compare(tokenizer, row, theirs.get(key(row))) for row in ours]
        longest = max(len(row["input_ids"]) for row in ours)
        assert compared.count("ids") + compared.count("masks") > 1, folder.name
        if has_marks(tokenizer):
            assert "masks" in compared, folder.name
        said.append(
            f"\n  {family} {name}, a row is a {rows}: ids of {len(ours)} rows, the longest of"
            f" {longest} tokens; masks of {compared.count('masks')}"
        )
    return "".join(said)


def has_marks(tokenizer):
    return any(tag in tokenizer.chat_template for tag in ("{% generation", "{%- generation"))


def key(row):
    return row["session"], row["sample"], row["row"]


def compare(tokenizer, mine, row):
    """A row of tokens with what `transformers` makes of the row of messages."""
    if row is None:
        return "alone"
    marks = has_marks(tokenizer)
    theirs = tokenizer.apply_chat_template(
        row["messages"],
        tools=row["tools"],
        tokenize=True,
        return_dict=True,
        return_assistant_tokens_mask=marks,
    )
    # A row may end earlier where nothing more is trained, and the last token may be the stop that
    # the template leaves to whoever speaks next.
    count = min(len(theirs["input_ids"]), len(mine["input_ids"]))
    assert mine["input_ids"][:count] == theirs["input_ids"][:count], key(row)
    assert len(mine["input_ids"]) <= count + 1, key(row)
    if not marks:
        return "ids"
    trained = [int(label >= 0) for label in mine["labels"]]
    replies = [m for m in row["messages"] if m["role"] == "assistant"]
    is_whole = sum(row["train"]) == len(replies) == len(mine["replies"])
    for place, (ours, marked) in enumerate(zip(trained, theirs["assistant_masks"])):
        if ours != marked and (ours or is_whole):
            # Templates are careless about space at the edges.
            text = tokenizer.decode([mine["input_ids"][place]])
            assert not text.strip(), (key(row), place, text)
    return "masks" if is_whole else "ids"


def axolotl():
    """Of a reply whose text alone is trained, Axolotl trains the text and that it ended."""

    def stand_in(name, **names):
        sys.modules[name] = types.ModuleType(name)
        vars(sys.modules[name]).update(names)

    # What its trainer needs and its reading of a conversation does not.
    stand_in("addict", Dict=dict)
    stand_in("colorama", Fore=types.SimpleNamespace(CYAN="", RESET=""))
    stand_in("axolotl.utils.distributed", is_main_process=lambda: True)
    stand_in("axolotl.utils.schemas.datasets", DatasetConfig=dict)
    from axolotl.prompt_strategies.chat_template import ChatTemplatePrompter, ChatTemplateStrategy

    logging.disable(logging.WARNING)
    count = 0
    for family, name in (
        ("smollm", "chatml-tools"),
        ("qwen", "qwen3_training"),
        ("deepseek", "deepseek-tools"),
    ):
        made = make.load("families.json")[family]
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_file=str(EXPORTS / "models" / family / "tokenizer.json"), **make.named(made)
        )
        tokenizer.chat_template = template(name)
        prompter = ChatTemplatePrompter(
            tokenizer,
            chat_template=tokenizer.chat_template,
            message_field_training="train",
            message_field_training_detail="train_detail",
        )
        strategy = ChatTemplateStrategy(
            prompter,
            tokenizer,
            train_on_inputs=False,
            sequence_len=1 << 20,
            roles_to_train=["assistant"],
            train_on_eos="turn",
        )
        for row in lines(EXPORTS / "axolotl/messages.jsonl"):
            for place, message in enumerate(row["messages"]):
                if "train_detail" not in message:
                    continue
                messages = [{**it, "train": False} for it in row["messages"][:place]] + [message]
                labels = strategy.tokenize_prompt({"messages": messages, "tools": row["tools"]})
                trained = tokenizer.decode([it for it in labels["labels"] if it != -100])
                wanted = message["content"] + tokenizer.eos_token
                assert trained == wanted, (key(row["origin"]), name, trained)
                count += 1
    logging.disable(logging.NOTSET)
    assert count, "no reply is trained in part"
    return f"{count} replies"


def atif():
    documents = sorted((EXPORTS / "atif").glob("*.trajectory.json"))
    for path in documents:
        document = json.loads(path.read_text())
        theirs = Trajectory(**document).to_json_dict()
        assert without_nulls(theirs) == without_nulls(document), path
    return f"{len(documents)} documents"


def traces():
    files = sorted((EXPORTS / "traces").glob("*.jsonl"))
    for path in files:
        head, *rest = lines(path)
        assert head["type"] == "session" and head["harness"] and head["id"]
        assert all(it["type"] == "message" and "content" in it["message"] for it in rest)
        for call in (c for it in rest for c in it["message"].get("toolCalls", [])):
            assert isinstance(call["function"]["arguments"], str)
    return f"{len(files)} files"


if sys.argv[1] == "models":
    models()
else:
    for check in (jsonl, parquet, tokens, axolotl, atif, traces):
        print(f"{check.__name__}: {check()}")
