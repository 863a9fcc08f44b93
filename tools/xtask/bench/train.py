"""What `cargo xtask bench train` compares limn-train with: transformers and PEFT, the same ids.

    train.py model FOLDER                       a model of the shape of SmolLM2-135M, random
    train.py run MODEL ROWS full|lora f32|bf16  steps of one sample each; prints a number a step

What it takes to start and to load is told apart. AdamW is PyTorch's fused one with state in single
precision; in bf16 what is trained is single precision too and the model computes under autocast, as
the Trainer of transformers does it.
"""

import json
import os
import pathlib
import sys
import time

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from transformers import AutoModelForCausalLM, LlamaConfig

SHAPE = {
    "vocab_size": 49152,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "max_position_embeddings": 8192,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
    "rope_parameters": {"rope_type": "default", "rope_theta": 100000.0},
}
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def make(folder):
    torch.manual_seed(0)
    folder = pathlib.Path(folder)
    AutoModelForCausalLM.from_config(LlamaConfig(**SHAPE)).save_pretrained(folder)
    words = {f"w{at}": at for at in range(SHAPE["vocab_size"])}
    tokenizer = {"version": "1.0", "model": {"type": "WordLevel", "vocab": words, "unk_token": "w0"}}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


def load(folder, method, precision):
    # What is frozen needs no more digits than it is computed with.
    kind = torch.bfloat16 if method == "lora" and precision == "bf16" else torch.float32
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=kind)
    if method == "lora":
        from peft import LoraConfig, get_peft_model

        lora = LoraConfig(r=32, lora_alpha=32, target_modules=TARGETS, task_type="CAUSAL_LM")
        model = get_peft_model(model, lora)
    return model.train()


def run(folder, rows, method, precision):
    began = time.perf_counter()
    model = load(folder, method, precision)
    loaded = time.perf_counter() - began
    trained = [it for it in model.parameters() if it.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, betas=(0.9, 0.95), weight_decay=0, fused=True)
    steps = []
    for row in (json.loads(line) for line in open(rows)):
        began = time.perf_counter()
        ids = torch.tensor([row["input_ids"]])
        labels = torch.tensor([row["labels"]])
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss = model(input_ids=ids, labels=labels, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        steps.append([loss.item(), time.perf_counter() - began])
    print(json.dumps({"load_s": loaded, "steps": steps}))


if __name__ == "__main__":
    if sys.argv[1] == "model":
        make(sys.argv[2])
    else:
        run(*sys.argv[2:])
