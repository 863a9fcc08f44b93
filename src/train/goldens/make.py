"""Makes the goldens: what PyTorch, transformers and PEFT compute for a tiny model of each family.

    python3.11 -m venv venv
    venv/bin/pip install torch==2.11.0 transformers==5.24.0 peft==0.21.2 safetensors==0.8.0
    venv/bin/python src/train/goldens/make.py

The wheel of PyTorch does not load without its CUDA libraries: 5 GB in all, and none of them is used.
With --check it compares instead of writing, and the live packages have the last word. README.md
beside this says what is in each folder.
"""

import json
import math
import os
import pathlib
import shutil
import sys
import tempfile
import warnings

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch.nn.functional import cross_entropy
from transformers import (
    AutoModelForCausalLM,
    Glm4Config,
    LlamaConfig,
    Qwen2Config,
    Qwen3Config,
)
from transformers.utils import logging

HERE = pathlib.Path(__file__).parent

SMALL = {
    "vocab_size": 128,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-5,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}

LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    # So that of the four wavelengths one stays, one is between, and two are stretched whole.
    "original_max_position_embeddings": 64,
}

FAMILIES = {
    "llama": LlamaConfig(**SMALL, tie_word_embeddings=True, rope_parameters=LLAMA3),
    "qwen2": Qwen2Config(
        **SMALL,
        tie_word_embeddings=False,
        rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
    ),
    "qwen3": Qwen3Config(
        **SMALL,
        head_dim=16,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
    ),
    "glm4": Glm4Config(
        **SMALL,
        head_dim=16,
        attention_bias=True,
        tie_word_embeddings=False,
        rope_parameters={
            "rope_type": "default",
            "rope_theta": 10000.0,
            "partial_rotary_factor": 0.5,
        },
    ),
}

# Other positions over the same weights, for the family llama.
POSITIONS = {
    "default": {"rope_type": "default", "rope_theta": 10000.0},
    "linear": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0},
    "yarn": {
        "rope_type": "yarn",
        "rope_theta": 10000.0,
        "factor": 4.0,
        "original_max_position_embeddings": 64,
    },
}

# Tokens that are generated; the model is not let stop.
GENERATED = 56

RANK, ALPHA = 4, 8
STEPS, WARMUP = 20, 2
FULL_RATE, ADAPTER_RATE, DECAY = 2e-3, 1e-2, 0.1
BETAS, EPSILON, CLIP = (0.9, 0.95), 1e-8, 1.0

# Lengths of the sequences, and the stretches of them that are trained. The first token never is.
SEQUENCES = [
    (24, [(5, 12), (15, 24)]),
    (17, [(9, 17)]),
    (9, [(2, 4), (6, 8)]),
]


def randomize(model, generator):
    """Numbers large enough that each matters: norms and biases too."""
    for name, weight in model.named_parameters():
        noise = torch.randn(weight.shape, generator=generator)
        if name.endswith("norm.weight") or "layernorm" in name:
            noise = 1 + 0.2 * noise
        elif weight.dim() == 1:
            noise = 0.2 * noise
        elif "embed" in name or "lm_head" in name:
            noise = 0.3 * noise
        else:
            noise = noise / math.sqrt(weight.shape[1])
        weight.data.copy_(noise)


def sequences(generator):
    made = []
    for length, stretches in SEQUENCES:
        ids = torch.randint(3, SMALL["vocab_size"], (length,), generator=generator).tolist()
        mask = [int(any(a <= at < b for a, b in stretches)) for at in range(length)]
        made.append({"ids": ids, "mask": mask})
    return made


def logits_of(model, sequence):
    return model(input_ids=torch.tensor([sequence["ids"]]), use_cache=False).logits[0]


def loss_of(model, batch):
    """The sum over trained tokens, each predicted from those before it, by how many they are."""
    total, count = 0, 0
    for sequence in batch:
        labels = torch.tensor(sequence["ids"][1:])
        trained = torch.tensor(sequence["mask"][1:], dtype=torch.bool)
        logits = logits_of(model, sequence)[:-1]
        total = total + cross_entropy(logits[trained], labels[trained], reduction="sum")
        count += int(trained.sum())
    return total / count


def trained(model):
    return [(name, it) for name, it in model.named_parameters() if it.requires_grad]


def sampled(tensor):
    """About 60 numbers of a tensor; an odd stride meets every column."""
    flat = tensor.detach().flatten()
    return flat[:: (flat.numel() // 61) | 1].clone()


def gradients(model, batch, published):
    """The loss of a batch, the norm of each gradient, and samples of it."""
    model.zero_grad()
    loss = loss_of(model, batch)
    loss.backward()
    norms, samples = {}, {}
    for name, weight in trained(model):
        norms[published(name)] = weight.grad.norm().item()
        samples[published(name)] = sampled(weight.grad)
    model.zero_grad()
    return loss.item(), norms, samples


def rates(peak):
    """A linear warm-up, then half a cosine to a tenth."""
    made = []
    for step in range(STEPS):
        if step < WARMUP:
            made.append(peak * (step + 1) / WARMUP)
        else:
            done = (step - WARMUP) / (STEPS - WARMUP)
            made.append(peak * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * done))))
    return made


def curve(model, all_sequences, peak, decay):
    """Losses before each step, and norms of gradients before clipping."""
    weights = [it for _, it in trained(model)]
    groups = [
        {"params": [it for it in weights if it.dim() >= 2], "weight_decay": decay},
        {"params": [it for it in weights if it.dim() < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    optimizer = torch.optim.AdamW(groups, lr=0.0, betas=BETAS, eps=EPSILON, foreach=False)
    row = {"rates": rates(peak), "decay": decay, "batches": [], "losses": [], "norms": []}
    for step, rate in enumerate(row["rates"]):
        batch = [step % len(all_sequences), (step + 1) % len(all_sequences)]
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        loss = loss_of(model, [all_sequences[at] for at in batch])
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(weights, CLIP)
        optimizer.step()
        row["batches"].append(batch)
        row["losses"].append(loss.item())
        row["norms"].append(norm.item())
    row["final"] = loss_of(model, all_sequences).item()
    return row


def generated(model, prompt):
    """The likeliest tokens after a prompt. A close race would be a matter of rounding."""
    model.generation_config.eos_token_id = None
    said = model.generate(
        input_ids=torch.tensor([prompt]),
        max_new_tokens=GENERATED,
        do_sample=False,
        output_logits=True,
        return_dict_in_generate=True,
    )
    best = torch.cat(said.logits).topk(2).values
    gap = (best[:, 0] - best[:, 1]).min().item()
    assert gap > 1e-4, f"two tokens are {gap} apart: choose another prompt"
    return said.sequences[0, len(prompt) :].tolist()


def load(folder, adapter=False, kind=torch.float32):
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=kind, attn_implementation="eager"
    )
    if adapter:
        model = PeftModel.from_pretrained(model, folder / "adapter", is_trainable=True)
    return model.eval()


def peft_name(name):
    return name.replace(".default", "")


def make_adapter(folder, config, generator):
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "down_proj"]
    targets += ["gate_up_proj"] if config.model_type == "glm4" else ["gate_proj", "up_proj"]
    lora = LoraConfig(
        r=RANK,
        lora_alpha=ALPHA,
        lora_dropout=0.0,
        bias="none",
        target_modules=sorted(targets),
        task_type="CAUSAL_LM",
    )
    model = get_peft_model(load(folder), lora)
    for _, weight in trained(model):
        noise = torch.randn(weight.shape, generator=generator)
        weight.data.copy_(0.3 * noise / math.sqrt(weight.shape[1]))
    model.peft_config["default"].base_model_name_or_path = config.model_type
    model.save_pretrained(folder / "adapter")
    (folder / "adapter/README.md").unlink()
    path = folder / "adapter/adapter_config.json"
    said = json.loads(path.read_text())
    said["target_modules"].sort()
    path.write_text(json.dumps(said, indent=2, sort_keys=True) + "\n")


def make(name, config, folder, seed):
    generator = torch.Generator().manual_seed(seed)
    config.architectures = None
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").float()
    randomize(model, generator)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    make_adapter(folder, config, generator)

    data = sequences(generator)
    arrays, golden = {}, {"sequences": data}
    same = lambda name: name
    with torch.no_grad():
        model = load(folder)
        for at, sequence in enumerate(data):
            arrays[f"logits.{at}"] = logits_of(model, sequence)
        golden["losses"] = [loss_of(model, [sequence]).item() for sequence in data]
        adapted = load(folder, adapter=True)
        arrays["adapter.logits.0"] = logits_of(adapted, data[0])
        merged = adapted.merge_and_unload()
        arrays["merged.logits.0"] = logits_of(merged, data[0])
        adapted = load(folder, adapter=True)
        prompts = [data[0]["ids"], data[1]["ids"][:5], data[2]["ids"][:1]]
        prompts.append([3 + at * 7 % 125 for at in range(100)])
        golden["generations"] = [
            {"prompt": it, "base": generated(model, it), "adapter": generated(adapted, it)}
            for it in prompts
        ]
        for kind, rope in POSITIONS.items() if name == "llama" else []:
            other = LlamaConfig(**{**config.to_dict(), "rope_parameters": dict(rope)})
            moved = AutoModelForCausalLM.from_config(other, attn_implementation="eager")
            moved.load_state_dict(model.state_dict())
            arrays[f"logits.{kind}"] = logits_of(moved.float().eval(), data[0])[-8:].clone()
    if name == "llama":
        golden["positions"] = POSITIONS
    for kind, adapter, published in [("full", False, same), ("adapter", True, peft_name)]:
        loss, norms, samples = gradients(load(folder, adapter), data, published)
        golden[kind] = {"loss": loss, "norms": norms}
        for weight, sample in samples.items():
            arrays[f"{kind}.gradient.{weight}"] = sample
    golden["recipe"] = {"betas": BETAS, "epsilon": EPSILON, "clip": CLIP, "alpha": ALPHA, "rank": RANK}
    plans = [("full", False, FULL_RATE, DECAY), ("adapter", True, ADAPTER_RATE, 0.0)]
    for kind, adapter, rate, decay in plans:
        row = curve(load(folder, adapter), data, rate, decay)
        exact = curve(load(folder, adapter, torch.float64), data, rate, decay)
        noise = max(abs(a - b) for a, b in zip(row["losses"], exact["losses"], strict=True))
        print(f"{name} {kind}: {row['losses'][0]:.3f} to {row['final']:.3f}, rounding {noise:.1e}, "
              f"norms {min(row['norms']):.2f} to {max(row['norms']):.2f}")
        golden[kind]["curve"] = row
    save_file({key: it.detach().contiguous() for key, it in arrays.items()}, folder / "arrays.safetensors")
    (folder / "golden.json").write_text(json.dumps(golden, indent=1) + "\n")


def differences(was, now, where):
    """What differs by more than another processor's rounding."""
    if isinstance(was, dict):
        for key in sorted(was.keys() | now.keys()):
            if key not in was or key not in now:
                yield f"{where}.{key} is there once"
            else:
                yield from differences(was[key], now[key], f"{where}.{key}")
    elif isinstance(was, list):
        if len(was) != len(now):
            yield f"{where} has {len(was)} and {len(now)} entries"
        for at, pair in enumerate(zip(was, now)):
            yield from differences(*pair, f"{where}.{at}")
    elif isinstance(was, float):
        if not math.isclose(was, now, rel_tol=1e-4, abs_tol=5e-6):
            yield f"{where} was {was} and is {now}"
    elif isinstance(was, torch.Tensor):
        if was.shape != now.shape or not torch.allclose(was, now, rtol=1e-4, atol=5e-6):
            yield f"{where} differs"
    elif was != now:
        yield f"{where} was {was} and is {now}"


def compare(was, now):
    files = {it.relative_to(now) for it in now.rglob("*") if it.is_file()}
    files |= {it.relative_to(was) for it in was.rglob("*") if it.is_file()}
    for file in sorted(files):
        if not (was / file).exists() or not (now / file).exists():
            yield f"{was / file} is there once"
        elif file.suffix == ".json":
            pair = [json.loads((folder / file).read_text()) for folder in (was, now)]
            yield from differences(*pair, f"{was.name}/{file}")
        else:
            yield from differences(load_file(was / file), load_file(now / file), f"{was.name}/{file}")


def main():
    logging.disable_progress_bar()
    # A folder that is no repository has no vocabulary to compare with.
    warnings.filterwarnings("ignore", message="Could not find a config file")
    torch.manual_seed(0)
    torch.use_deterministic_algorithms(True)
    wrong = []
    with tempfile.TemporaryDirectory() as scratch:
        for seed, (name, config) in enumerate(FAMILIES.items()):
            folder = pathlib.Path(scratch) / name
            make(name, config, folder, seed)
            if "--check" in sys.argv:
                wrong += compare(HERE / name, folder)
            else:
                shutil.rmtree(HERE / name, ignore_errors=True)
                shutil.copytree(folder, HERE / name)
    if wrong:
        sys.exit("\n".join(["the goldens are not what these packages give:", *wrong[:20]]))


if __name__ == "__main__":
    main()
