"""The same steps with TRL, with PEFT for an adapter, and with Liger's kernels if asked.

    theirs.py MODEL ROWS full|lora trl|liger bf16|f32    prints seconds, losses and memory as JSON

Exact weights and moments are in single precision and the model computes in bf16 under autocast, as
in limn-train; what an adapter leaves alone is in bf16.
"""

import json
import os
import pathlib
import resource
import sys
import tempfile
import time
import warnings

os.environ["HF_HUB_OFFLINE"] = "1"
warnings.filterwarnings("ignore")

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def say(result):
    print(json.dumps(result))
    sys.exit(0)


try:
    import torch
    from datasets import Dataset
    from tokenizers import Tokenizer, models
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, PrinterCallback
    from transformers import TrainerCallback
    from transformers.utils import logging
    from trl import SFTConfig, SFTTrainer

    if sys.argv[4] == "liger":
        import liger_kernel  # noqa: F401
except ImportError as why:
    say({"not_run": str(why)})

logging.disable_progress_bar()
logging.set_verbosity_error()


def tokenizer():
    """One that TRL can hold; the rows are tokens already."""
    raw = Tokenizer(models.WordLevel({str(at): at for at in range(128)}, unk_token="0"))
    return PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="0", eos_token="2")


class Clock(TrainerCallback):
    """Times steps by the device's own end."""

    def __init__(self):
        self.seconds = []

    def now(self):
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter()

    def on_step_begin(self, *_, **__):
        self.began = self.now()

    def on_step_end(self, *_, **__):
        self.seconds.append(self.now() - self.began)


class Measured(SFTTrainer):
    """Keeps the losses whole: the log rounds them."""

    def training_step(self, *args, **kwargs):
        loss = super().training_step(*args, **kwargs)
        self.losses.append(loss.item())
        return loss


def load(folder, method, precision):
    exact = method == "full" or precision == "f32"
    kind = torch.float32 if exact else torch.bfloat16
    return AutoModelForCausalLM.from_pretrained(folder, dtype=kind, attn_implementation="sdpa")


def adapter(method):
    if method == "full":
        return None
    from peft import LoraConfig

    return LoraConfig(r=32, lora_alpha=32, target_modules=TARGETS, task_type="CAUSAL_LM")


def run(folder, rows, method, engine, precision):
    rows = [json.loads(line) for line in open(rows)]
    data = Dataset.from_list([{key: row[key] for key in ("input_ids", "labels")} for row in rows])
    with_gpu = torch.cuda.is_available()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as out:
        arguments = SFTConfig(
            output_dir=out,
            per_device_train_batch_size=1,
            max_steps=len(rows),
            learning_rate=1e-5,
            lr_scheduler_type="constant",
            adam_beta2=0.95,
            weight_decay=0.0,
            optim="adamw_torch_fused",
            max_grad_norm=1.0,
            gradient_checkpointing=True,
            train_sampling_strategy="sequential",
            max_length=None,
            bf16=precision == "bf16",
            use_cpu=not with_gpu,
            use_liger_kernel=engine == "liger",
            report_to=[],
            save_strategy="no",
            disable_tqdm=True,
            logging_steps=1,
        )
        trainer = Measured(
            load(folder, method, precision),
            args=arguments,
            train_dataset=data,
            processing_class=tokenizer(),
            peft_config=adapter(method),
        )
        trainer.remove_callback(PrinterCallback)
        clock = Clock()
        trainer.add_callback(clock)
        trainer.losses = []
        loaded = time.perf_counter() - began
        trainer.train()
    peak = torch.cuda.max_memory_allocated() if with_gpu else 1024 * rss()
    norms = [line["grad_norm"] for line in trainer.state.log_history if "grad_norm" in line]
    return {
        "seconds": clock.seconds,
        "losses": trainer.losses,
        "grad_norms": norms,
        "peak_gib": round(peak / 2**30, 2),
        "load_s": round(loaded, 2),
    }


def rss():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    try:
        say(run(*sys.argv[1:]))
    except torch.OutOfMemoryError:
        say({"out_of_memory": True})
