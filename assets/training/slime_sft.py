"""Goes on with a fine-tune of all weights on slime (Ray, Megatron), on the tokens and masks that limn made.

    python3 slime_sft.py --slime SLIME --megatron MEGATRON --shape SLIME/scripts/models/qwen3-32B.sh \
        --model MODEL --load MODEL_TORCH_DIST --out trained --gpus 8

submits the run to a Ray cluster that is up (`ray start --head`); `--print` only says what it would
submit. Arguments that it does not know go to slime as they are, such as --tensor-model-parallel-size 4.

slime imports this file for `generate_rollout`, which stands where it would tokenize: rows are whole
samples as they were written, nothing is cut or tokenized again. The loss of a step is the sum over
all its trained tokens, on all devices, over their number.
"""

import argparse
import json
import os
import shlex
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
UNTRAINED = -100

_rows = None


def rows():
    """The samples that are trained: ids of tokens, and which of them."""
    global _rows
    if _rows is None:
        with open(FOLDER / "train.jsonl", encoding="utf-8") as file:
            _rows = [json.loads(line) for line in file]
    return _rows


def fill(sample, row):
    """Writes a row into a sample of slime. All from the first trained token on is its response."""
    mask = [int(label != UNTRAINED) for label in row["labels"]]
    sample.tokens = list(row["input_ids"])
    sample.response_length = len(mask) - mask.index(1)
    sample.loss_mask = mask[mask.index(1):]
    sample.reward = 0


def generate_rollout(args, rollout_id, data_buffer, evaluation=False):
    """slime's `--rollout-function-path`: the next samples, in the order that slime chose."""
    if evaluation:
        raise ValueError("Held-out samples are not measured here. Leave out --eval-interval.")
    groups = data_buffer.get_samples(args.rollout_batch_size)
    for group in groups:
        for sample in group:
            fill(sample, rows()[int(sample.prompt.removeprefix("row "))])
    return groups


def submission(arguments, others):
    """What Ray is asked to run, as a list of words; the model's shape is a shell script of slime's."""
    recipe = json.loads((FOLDER / "recipe.json").read_text(encoding="utf-8"))
    if recipe["method"] != "full":
        sys.exit("This trains all weights, and the recipe is for an adapter. Hand over with --method full.")
    optimizer, batch = recipe["optimizer"], recipe["batch"]
    # slime takes samples one after the other, over the end of an epoch.
    steps = recipe["epochs"] * -(-len(rows()) // batch)
    warmup = max(-(-int(steps * optimizer["warmup_ratio"] * 1000) // 1000), optimizer["warmup_steps_min"])
    options = {
        "actor-num-nodes": arguments.nodes,
        "actor-num-gpus-per-node": arguments.gpus,
        "hf-checkpoint": arguments.model,
        "ref-load": arguments.load,
        "load": arguments.out,
        "save": arguments.out,
        "save-interval": recipe["cadence"]["save_steps"] or steps,
        "rollout-function-path": "slime_sft.generate_rollout",
        "prompt-data": FOLDER / "slime.jsonl",
        "input-key": "prompt",
        "rollout-shuffle": None,
        "rollout-seed": recipe["seed"],
        "seed": recipe["seed"],
        "num-rollout": steps,
        "rollout-batch-size": batch,
        "global-batch-size": batch,
        "n-samples-per-prompt": 1,
        "loss-type": "sft_loss",
        "calculate-per-token-loss": None,
        "disable-compute-advantages-and-returns": None,
        "debug-train-only": None,
        "optimizer": "adam",
        "lr": optimizer["learning_rate"],
        "lr-decay-style": optimizer["schedule"],
        "min-lr": optimizer["learning_rate_min"],
        "lr-warmup-iters": min(warmup, steps - 1),
        "weight-decay": optimizer["weight_decay"],
        "adam-beta1": optimizer["betas"][0],
        "adam-beta2": optimizer["betas"][1],
        "adam-eps": optimizer["eps"],
        "clip-grad": optimizer["clip"],
        "use-dynamic-batch-size": None,
        "max-tokens-per-gpu": max(len(row["input_ids"]) for row in rows()),
        "attention-dropout": 0.0,
        "hidden-dropout": 0.0,
        "accumulate-allreduce-grads-in-fp32": None,
        "recompute-granularity": "full",
        "recompute-method": "uniform",
        "recompute-num-layers": 1,
    }
    words = [word for name, value in options.items()
             for word in ([f"--{name}"] if value is None else [f"--{name}", str(value)])]
    variables = {"PYTHONPATH": f"{arguments.megatron}:{FOLDER}", "CUDA_DEVICE_MAX_CONNECTIONS": "1"}
    script = ('source "$1"; shift; cd "$1"; shift; address="$1"; environment="$2"; shift 2; '
              'exec ray job submit --address "$address" --runtime-env-json "$environment" '
              '-- python3 train_async.py "${MODEL_ARGS[@]}" "$@"')
    return ["bash", "-ec", script, "slime", arguments.shape, arguments.slime, arguments.address,
            json.dumps({"env_vars": variables}), *words, *others]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--slime", required=True, help="where slime was cloned to")
    parser.add_argument("--megatron", required=True, help="where Megatron-LM was cloned to")
    parser.add_argument("--shape", required=True, help="slime's script that sets MODEL_ARGS for the model")
    parser.add_argument("--model", required=True, help="the model's folder, as Hugging Face has it")
    parser.add_argument("--load", required=True, help="what slime's tools/convert_hf_to_torch_dist.py made of it")
    parser.add_argument("--out", required=True, help="where checkpoints go, and come from after a break")
    parser.add_argument("--gpus", type=int, default=8, help="GPUs of each node")
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--address", default="http://127.0.0.1:8265", help="Ray's dashboard")
    parser.add_argument("--print", action="store_true", help="submit nothing, say what would be")
    arguments, others = parser.parse_known_args()
    for name in ("slime", "megatron", "shape", "model", "load", "out"):
        setattr(arguments, name, os.path.abspath(getattr(arguments, name)))
    words = submission(arguments, others)
    if arguments.print:
        print(shlex.join(words))
        return
    try:
        os.execvp(words[0], words)
    except OSError as error:
        sys.exit(f"Cannot start bash: {error}.")


if __name__ == "__main__":
    main()
