"""Goes on with a fine-tune on several GPUs: TRL, on the tokens and masks that limn made.

    torchrun --nproc-per-node 8 train.py --model MODEL --out OUT

Everything else is in recipe.json. Rows are whole samples: nothing is cut, packed or tokenized again.
The loss of a step is the sum over all its trained tokens, on all devices, over their number.
"""

import argparse
import json
import os
from pathlib import Path

import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

FOLDER = Path(__file__).resolve().parent

arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
arguments.add_argument("--model", required=True, help="the model's folder")
arguments.add_argument("--out", required=True, help="where the trained model goes")
arguments.add_argument("--steps-max", type=int, default=-1, help="stop after so many steps")
arguments = arguments.parse_args()

recipe = json.loads((FOLDER / "recipe.json").read_text())
optimizer, cadence = recipe["optimizer"], recipe["cadence"]
lora = recipe["method"]["lora"] if isinstance(recipe["method"], dict) else None
devices = int(os.environ.get("WORLD_SIZE", "1"))
if recipe["batch"] % devices:
    raise SystemExit(f"A batch of {recipe['batch']} cannot be shared by {devices} devices evenly. "
                     "Change `batch` in recipe.json, or --nproc-per-node.")

files = {"train": str(FOLDER / "train.jsonl")}
if (FOLDER / "held-out.jsonl").exists():
    files["test"] = str(FOLDER / "held-out.jsonl")
rows = load_dataset("json", data_files=files).select_columns(["input_ids", "labels"])

bf16 = recipe["precision"] == "bf16"
# A polynomial of the first degree is a line, and the only one that ends above zero.
schedules = {"cosine": "cosine_with_min_lr", "linear": "polynomial", "constant": "constant_with_warmup"}
schedule = schedules[optimizer["schedule"]]
lowest = optimizer["learning_rate_min"]
minimum = {"cosine_with_min_lr": {"min_lr": lowest}, "polynomial": {"lr_end": lowest, "power": 1.0}}
steps = recipe["epochs"] * -(-len(rows["train"]) // recipe["batch"])
warmup = max(-(-int(steps * optimizer["warmup_ratio"] * 1000) // 1000), optimizer["warmup_steps_min"])
config = SFTConfig(
    output_dir=arguments.out,
    num_train_epochs=recipe["epochs"],
    max_steps=arguments.steps_max,
    per_device_train_batch_size=1,
    per_device_eval_batch_size=1,
    gradient_accumulation_steps=recipe["batch"] // devices,
    gradient_checkpointing=True,
    max_length=None,
    packing=False,
    learning_rate=optimizer["learning_rate"],
    lr_scheduler_type=schedule,
    lr_scheduler_kwargs=minimum.get(schedule, {}),
    warmup_steps=min(warmup, steps),
    adam_beta1=optimizer["betas"][0],
    adam_beta2=optimizer["betas"][1],
    adam_epsilon=optimizer["eps"],
    weight_decay=optimizer["weight_decay"],
    max_grad_norm=optimizer["clip"],
    seed=recipe["seed"],
    bf16=bf16 and torch.cuda.is_available(),
    use_cpu=not torch.cuda.is_available(),
    fsdp="full_shard auto_wrap" if devices > 1 else "",
    save_strategy="epoch",
    save_total_limit=cadence["keep"],
    eval_strategy="epoch" if "test" in rows else "no",
    logging_steps=1,
    report_to="none",
)
peft = None
if lora:
    from peft import LoraConfig

    peft = LoraConfig(r=lora["rank"], lora_alpha=lora["alpha"], lora_dropout=0.0,
                      target_modules="all-linear", task_type="CAUSAL_LM")
# Exact weights in single precision; the arithmetic is in bf16 where the device can.
model = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.float32)
tokenizer = AutoTokenizer.from_pretrained(arguments.model)
trainer = SFTTrainer(model=model, args=config, train_dataset=rows["train"],
                     eval_dataset=rows.get("test"), processing_class=tokenizer, peft_config=peft)

# What the trainer is given is what limn wrote, or nothing is trained.
batch = trainer.data_collator([trainer.train_dataset[0]])
first = rows["train"][0]
if batch["input_ids"][0].tolist() != first["input_ids"] or batch["labels"][0].tolist() != first["labels"]:
    raise SystemExit("This version of TRL changes the tokens or the masks. Take trl 1.16.")
trainer.train()
trainer.save_model(arguments.out)
