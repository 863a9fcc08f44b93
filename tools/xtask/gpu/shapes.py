"""Shapes of models and samples that the GPU benchmark uses, and how much work they are.

    shapes.py real|tiny NAME FOLDER    writes a model of random weights
"""

import json
import pathlib
import random
import sys


def qwen3(hidden, intermediate, layers, heads, tied, vocab=151_936, kv_heads=8, head_dim=128):
    return {
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "vocab_size": vocab,
        "tie_word_embeddings": tied,
        "max_position_embeddings": 262_144,
        "rms_norm_eps": 1e-6,
    }


# Lengths come with how many steps are made of each.
REAL = {
    "name": "real",
    "shapes": {
        "0.6b": qwen3(1024, 3072, 28, 16, True),
        "4b": qwen3(2560, 9728, 36, 32, True),
        "8b": qwen3(4096, 12288, 36, 32, False),
    },
    "speed": [("0.6b", "full"), ("4b", "full"), ("8b", "lora")],
    "lengths": [(8_192, 10), (42_400, 3), (152_000, 1)],
    "served": ["0.6b", "8b"],
    "free_gib": [40, 20, 12],
}

TINY = {
    "name": "tiny",
    "shapes": {"tiny": qwen3(64, 128, 2, 4, True, vocab=512, kv_heads=2, head_dim=16)},
    "speed": [("tiny", "full"), ("tiny", "lora")],
    "lengths": [(64, 4), (256, 1)],
    "served": ["tiny"],
    "free_gib": [1],
}

# Agents' samples are mostly what they see: a quarter is what a model wrote.
BLOCK, SHARE = 256, 4


def is_trained(place):
    return place >= 8 and (place // BLOCK) % SHARE == 0


def trained(length):
    return sum(map(is_trained, range(length)))


def rows(size, length, count):
    """All alike, since engines do not take them in the same order."""
    vocab = min(shape["vocab_size"] for shape in size["shapes"].values())
    drawn = random.Random(length)
    ids = [drawn.randrange(vocab) for _ in range(length)]
    labels = [id if is_trained(place) else -100 for place, id in enumerate(ids)]
    row = {"input_ids": ids, "labels": labels}
    return "".join(f"{json.dumps({'id': str(at), **row})}\n" for at in range(count))


def flops(shape, length, trained, method):
    """Floating point operations of a step, as the model needs them: nothing is counted twice."""
    hidden, layers = shape["hidden_size"], shape["num_hidden_layers"]
    queries = shape["num_attention_heads"] * shape["head_dim"]
    keys = shape["num_key_value_heads"] * shape["head_dim"]
    attention = hidden * (2 * queries + 2 * keys)
    linear = layers * (attention + 3 * hidden * shape["intermediate_size"])
    linear = 2 * linear * length + 2 * shape["vocab_size"] * hidden * trained
    attended = 2 * layers * queries * length**2
    return 3 * linear + 3 * attended if method == "full" else 2 * linear + 3 * attended


def recipe(precision, device, more):
    """One sample a step, a constant rate, and nothing else that takes time."""
    cadence = "[cadence]\nsave_steps = 1000\neval_steps = 1000\nheld_out = 0.0\n"
    head, _, tables = more.partition("[cadence]")
    cadence = f"[cadence]{tables}" if tables else cadence
    return (
        f'precision = "{precision}"\ndevice = "{device}"\nbatch = 1\nepochs = 1\n{head}'
        f"{cadence}"
        "[lengths]\npack_tokens = 0\n"
        "[optimizer]\nlearning_rate = 1e-5\nlearning_rate_min = 1e-5\n"
        'schedule = "constant"\nwarmup_steps_min = 0\nwarmup_ratio = 0.0\n'
    )


def make(size, name, folder):
    import torch
    from transformers import AutoModelForCausalLM, Qwen3Config

    shape = size["shapes"][name]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    kind = torch.bfloat16 if device == "cuda" else torch.float32
    torch.manual_seed(0)
    rope = {"rope_type": "default", "rope_theta": 1_000_000.0}
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(Qwen3Config(**shape, rope_parameters=rope), dtype=kind)
    model.save_pretrained(folder)
    words = {f"w{at}": at for at in range(shape["vocab_size"])}
    tokenizer = {"version": "1.0", "model": {"type": "WordLevel", "vocab": words, "unk_token": "w0"}}
    template = "{% for message in messages %}{{ message.content }}{% endfor %}"
    settings = {"chat_template": template, "eos_token": "w2"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    # The last file: with it the model is there.
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    print(json.dumps({"parameters": sum(it.numel() for it in model.parameters())}))


if __name__ == "__main__":
    size, name, folder = sys.argv[1:]
    make(REAL if size == "real" else TINY, name, pathlib.Path(folder))
