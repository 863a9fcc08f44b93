"""What limn-train does on a GPU, beside what else trains and generates there, in one command:

    python3 tools/xtask/gpu/bench.py --limn target/release/limn --limn-train target/release/limn-train

It takes less than ten minutes a time: what is not begun by then (--minutes) is done when it is run
again with the same --out, and what is done is left alone. It needs a Python with torch 2.11,
transformers and PEFT; TRL, datasets and Liger may lie as wheels in a folder (--wheels), and without
them their rows say "not run". Results are in OUT/results.json and OUT/table.md.

    --tiny     small shapes on the processor: does the benchmark itself work?
    --only X   only parts whose name contains X

In every comparison the ids and the precision are the same, each engine is a process of its own, and
weights are random: speed does not depend on them. Running out of memory is a result.
"""

import argparse
import json
import os
import pathlib
import select
import signal
import statistics
import subprocess
import sys
import time
import urllib.request
import zipfile

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))

import shapes

# A part that takes longer than this hangs.
PATIENCE_S = 300

ENGINES = ["limn", "trl", "liger"]

# What replies: with CUDA graphs and without.
SERVERS = {"limn": [], "limn without graphs": ["--no-graphs"], "transformers": None}


class NotRun(Exception):
    """Why there is no figure."""


class Bench:
    def __init__(self, given):
        self.given = given
        self.out = given.out.absolute()
        self.out.mkdir(parents=True, exist_ok=True)
        self.size = shapes.TINY if given.tiny else shapes.REAL
        self.path = self.out / "results.json"
        self.results = json.loads(self.path.read_text()) if self.path.exists() else {}
        self.began = time.monotonic()

    def parts(self):
        """Every part by its name, the most telling first."""
        yield "machine", self.machine
        yield "ceiling", self.ceiling
        for engine in ENGINES:
            yield f"parity {engine}", lambda engine=engine: self.parity(engine)
        for engine in ENGINES:
            for model, method in self.size["speed"]:
                for length, steps in self.size["lengths"]:
                    yield (
                        f"speed {model} {method} {length} {engine}",
                        lambda row=(engine, model, method, length, steps): self.train(*row),
                    )
        for model in self.size["served"]:
            for engine in SERVERS:
                yield (
                    f"serve {model} {engine}",
                    lambda row=(engine, model): self.serve(*row),
                )
        yield "killed", self.killed
        for free in self.size["free_gib"]:
            yield f"ladder {free}", lambda free=free: self.ladder(free)

    def run(self):
        left = []
        for name, part in self.parts():
            if self.given.only not in name or name in self.results:
                continue
            if time.monotonic() - self.began > 60 * self.given.minutes:
                left.append(name)
                continue
            print(f"{name} …", flush=True)
            began = time.monotonic()
            try:
                result = part()
            except NotRun as why:
                result = {"not_run": str(why)}
            except subprocess.TimeoutExpired:
                result = {"not_run": f"longer than {PATIENCE_S} s"}
            result["took_s"] = round(time.monotonic() - began, 1)
            self.results[name] = result
            self.write()
            print(f"  {json.dumps(result)[:300]}", flush=True)
        print(table(self.results))
        if left:
            print(f"not begun: {', '.join(left)}; run it again with --out {self.out}")
        failed = [name for name, result in self.results.items() if "failed" in result]
        # In single precision on one processor nothing but the order of sums may differ.
        if self.given.tiny:
            failed += [line for line, off in compared(self.results) if off > 1e-4]
        return failed

    def write(self):
        draft = self.path.with_suffix(".draft")
        draft.write_text(json.dumps(self.results, indent=1) + "\n")
        draft.replace(self.path)
        (self.out / "table.md").write_text(table(self.results))

    # What the parts need.

    def environment(self):
        import torch

        lib = str(pathlib.Path(torch.__file__).parent / "lib")
        had = os.environ.get("LD_LIBRARY_PATH")
        own = self.out / "own"
        own.mkdir(exist_ok=True)
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(own),
            "HF_HUB_OFFLINE": "1",
            "LIMN_TRAIN": str(self.given.limn_train.absolute()),
            "LD_LIBRARY_PATH": f"{lib}:{had}" if had else lib,
            "PYTHONPATH": str(self.packages()),
            "PYTORCH_ALLOC_CONF": "expandable_segments:True",
        }

    def packages(self):
        """What is in the wheels that were carried along: packages without anything to compile."""
        folder = self.out / "packages"
        if self.given.wheels and not folder.exists():
            for wheel in sorted(self.given.wheels.glob("*.whl")):
                zipfile.ZipFile(wheel).extractall(folder)
        return folder

    def python(self, *words):
        """Runs another script of ours, and reads the JSON that it prints last."""
        ran = subprocess.run(
            [sys.executable, *map(str, words)],
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        lines = ran.stdout.strip().splitlines()
        if ran.returncode != 0 or not lines:
            last = (ran.stderr.strip().splitlines() or ["it said nothing"])[-1]
            return {"failed": last}
        return json.loads(lines[-1])

    def ceiling(self):
        return self.python(HERE / "ceiling.py", self.size["name"])

    def model(self, name):
        """A model of random weights, made when it is first needed."""
        folder = self.out / "models" / name
        if not (folder / "tokenizer.json").exists():
            made = self.python(HERE / "shapes.py", self.size["name"], name, folder)
            if "failed" in made:
                raise NotRun(f"the model could not be made: {made['failed']}")
        return folder

    def rows(self, length, count):
        path = self.out / f"rows-{length}-{count}.jsonl"
        if not path.exists():
            path.write_text(shapes.rows(self.size, length, count))
        return path

    # The parts.

    def machine(self):
        import torch

        facts = {"torch": torch.__version__, "device": "processor", "date": time.strftime("%F")}
        if torch.cuda.is_available():
            facts["device"] = torch.cuda.get_device_name()
            facts["memory_gib"] = torch.cuda.get_device_properties(0).total_memory / 2**30
        said = subprocess.run(
            [self.given.limn_train, "doctor"],
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        facts["limn_train"] = json.loads(said.stdout) if said.returncode == 0 else said.stderr[-300:]
        return facts

    def parity(self, engine):
        model = self.size["speed"][0][0]
        length = self.size["lengths"][0][0]
        return self.train(engine, model, "full", length, 5)

    def train(self, engine, model, method, length, steps):
        folder, rows = self.model(model), self.rows(length, steps)
        if engine == "limn":
            result = self.limn(folder, rows, method)
        else:
            words = [folder, rows, method, engine, "f32" if self.given.tiny else "bf16"]
            result = self.python(HERE / "theirs.py", *words)
        return self.judged(result, model, method, length, steps)

    def judged(self, result, model, method, length, steps):
        """Speeds out of seconds; the first step warms up unless it is the only one."""
        seconds = result.pop("seconds", [])
        if seconds:
            speeds = [length / it for it in (seconds[1:] or seconds)]
            shape = self.size["shapes"][model]
            flops = shapes.flops(shape, length, shapes.trained(length), method)
            median = statistics.median(speeds)
            result["tokens_per_s"] = round(median, 1)
            result["spread"] = round((max(speeds) - min(speeds)) / median, 3)
            result["tflops"] = round(flops * median / length / 1e12, 3)
        return result

    def limn(self, model, rows, method, more="", watch=None, name="run"):
        run = self.out / "runs" / f"{name}-{time.monotonic_ns()}"
        recipe = self.out / "recipe.toml"
        precision = "f32" if self.given.tiny else "bf16"
        recipe.write_text(shapes.recipe(precision, "cpu" if self.given.tiny else "cuda", more))
        command = [self.given.limn.absolute(), "train", rows, "--model", model, "--out", run]
        with open(self.out / "limn.log", "a") as log:
            started = subprocess.Popen(
                [*command, "--method", method, "--recipe", recipe, "--json"],
                env=self.environment(),
                stdout=log,
                stderr=log,
            )
            if watch:
                watch(started, run)
            try:
                code = started.wait(timeout=PATIENCE_S)
            except subprocess.TimeoutExpired:
                # What trains is a process of its own, and would share the card with all that follows.
                kill_runner(run)
                started.kill()
                started.wait()
                raise
        return said_by(run, code) | {"run": str(run)}

    def serve(self, engine, model):
        """Tokens a second of prompts and of replies, alone and of eight texts, and the time to the
        first token of a session; of limn also a reply, which is to be the same in any way."""
        script = HERE.parent / "bench" / "serve.py"
        folder, precision = self.model(model), "f32" if self.given.tiny else "bf16"
        vocab = self.size["shapes"][model]["vocab_size"]
        if SERVERS[engine] is None:
            return medians(self.python(script, "transformers", folder, precision, 2, vocab))
        device = "cpu" if self.given.tiny else "cuda"
        words = ["--json", "--until-stdin-ends", "--port", "0", "--context", "4096", "--slots", "8"]
        words += ["--device", device, "--precision", precision, "--name", "served"]
        with open(self.out / "serve.log", "a") as log:
            server = subprocess.Popen(
                [self.given.limn_train.absolute(), "serve", folder, *words, *SERVERS[engine]],
                env=self.environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
            try:
                said, _, _ = select.select([server.stdout], [], [], PATIENCE_S)
                line = server.stdout.readline() if said else ""
                if not line:
                    return {"failed": "it does not serve; serve.log says why"}
                ready = json.loads(line)
                words = [ready["url"], server.pid, "served", 2, vocab]
                result = medians(self.python(script, "client", *words))
                if "failed" in result:
                    return result
                result["how"] = [it for it in ready["notices"] if "CUDA graphs" in it]
                return result | {"reply": reply(ready["url"], vocab)}
            except OSError as why:
                return {"failed": f"it does not answer: {why}"}
            finally:
                server.kill()
                server.wait()

    def killed(self):
        """A run that is killed after its third step and gone on with, beside one that never was."""
        model = self.model(self.size["speed"][0][0])
        rows = self.rows(self.size["lengths"][0][0], 8)
        more = "deterministic = true\n[cadence]\nsave_steps = 2\neval_steps = 1000\nheld_out = 0.0\n"

        def kill(started, run):
            until = time.monotonic() + PATIENCE_S
            while len(lines(run, "step")) < 3 and started.poll() is None:
                if time.monotonic() > until:
                    break
                time.sleep(0.01)
            kill_runner(run)

        whole = self.limn(model, rows, "full", more, name="whole")
        killed = self.limn(model, rows, "full", more, kill, name="killed")
        subprocess.run(
            [self.given.limn.absolute(), "train", "resume", killed["run"], "--json"],
            env=self.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=PATIENCE_S,
        )
        gone_on = said_by(pathlib.Path(killed["run"]), 0)
        wanted, found = whole.get("losses", []), gone_on.get("losses", [])
        if not wanted or len(wanted) != len(found):
            return {"failed": f"{len(found)} steps after it was gone on with, of {len(wanted)}"}
        begun = len(lines(pathlib.Path(killed["run"]), "started"))
        if begun < 2:
            return {"failed": "it was over before it could be killed"}
        result = {"begun": begun, "losses_off": max(abs(a - b) for a, b in zip(wanted, found))}
        # The run is deterministic, on whatever it computes.
        return result if result["losses_off"] <= 1e-6 else result | {"failed": "other losses"}

    def ladder(self, free_gib):
        """The same run with less and less memory: another process holds the rest."""
        import torch

        if not torch.cuda.is_available():
            raise NotRun("there is no GPU whose memory could be short")
        model = self.model(self.size["speed"][0][0])
        rows = self.rows(*self.size["lengths"][1])
        held = subprocess.Popen(
            [sys.executable, HERE / "ballast.py", str(free_gib)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            held.stdout.readline()
            return self.limn(model, rows, "full", name=f"ladder-{free_gib}")
        finally:
            held.kill()
            held.wait()


def medians(result):
    """Of each list of numbers the one in the middle."""
    return {
        key: round(statistics.median(value), 4) if isinstance(value, list) else value
        for key, value in result.items()
    }


def reply(url, vocab):
    """Tokens that are drawn, the same for the same logits: the likeliest ones of random weights soon
    repeat themselves."""
    body = {"prompt": [at * 7919 % vocab for at in range(300)], "max_tokens": 200}
    body |= {"temperature": 1, "seed": 1, "ignore_eos": True, "return_token_ids": True}
    asked = urllib.request.Request(f"{url}/completions", json.dumps(body).encode())
    asked.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(asked, timeout=PATIENCE_S) as answer:
        return json.load(answer)["choices"][0]["token_ids"]


def kill_runner(run):
    for begun in lines(run, "started"):
        try:
            os.kill(begun["pid"], signal.SIGKILL)
        except ProcessLookupError:
            pass


def lines(run, kind):
    path = run / "metrics.jsonl"
    if not path.exists():
        return []
    said = []
    for line in path.read_text().splitlines():
        try:
            said.append(json.loads(line))
        except json.JSONDecodeError:
            pass
    return [line for line in said if line["type"] == kind]


def said_by(run, code):
    """What a run of limn-train says of itself; each step as it was made last."""
    steps = {step["step"]: step for step in lines(run, "step")}
    started, stopped = lines(run, "started"), lines(run, "stopped")
    if not started or not steps:
        why = stopped[-1]["why"] if stopped else f"exit code {code}"
        return {"out_of_memory": True} if "memory" in why else {"failed": why}
    steps = [steps[number] for number in sorted(steps)]
    phases = {}
    for step in steps[1:] or steps:
        for name, seconds in step["phases_s"].items():
            phases[name] = phases.get(name, 0) + seconds
    whole = sum(phases.values()) or 1
    rungs = [started[-1]["rung"], *(rung["to"] for rung in lines(run, "rung"))]
    return {
        "seconds": [step["tokens"] / step["tokens_per_s"] for step in steps],
        "losses": [step["loss"] for step in steps],
        "grad_norms": [step["grad_norm"] for step in steps],
        "peak_gib": round(max(step["peak_bytes"] for step in steps) / 2**30, 2),
        "planned_gib": planned(run),
        "load_s": round(started[-1]["load_s"], 2),
        "attention": started[-1]["attention"],
        "rungs": rungs,
        "phases": {name: round(seconds / whole, 3) for name, seconds in phases.items()},
        "finished": bool(lines(run, "finished")),
    }


def planned(run):
    plan = run / "plan.json"
    if not plan.exists():
        return None
    return round(sum(json.loads(plan.read_text())["memory"].values()) / 2**30, 2)


def table(results):
    """The results as Markdown."""
    machine = results.get("machine", {})
    out = [f"Card: {machine.get('device')}, torch {machine.get('torch')}, {machine.get('date')}.\n"]
    ceiling = results.get("ceiling", {})
    if "matmul_tflops" in ceiling:
        out.append(f"A product of matrices reaches {ceiling['matmul_tflops']} TFLOP/s.\n")
    if ceiling.get("attention"):
        out += ["| attention | tokens | there, ms | back, ms |", "|---|---|---|---|"]
        for row in ceiling["attention"]:
            there, back = row.get("there_ms", row.get("not_run")), row.get("back_ms", "")
            out.append(f"| {row['backend']} | {row['length']} | {there} | {back} |")
        out.append("")
    best = ceiling.get("matmul_tflops")
    head = "tokens/s | spread | TFLOP/s | of the product | peak GiB | planned | attention | rung"
    out += [f"| run | {head} |", "|---|" + "---|" * 8]
    for name, result in results.items():
        if name.startswith(("speed", "parity", "ladder")):
            out.append(f"| {name} | " + " | ".join(map(str, cells(result, best))) + " |")
    out += ["", *served(results), *(line for line, _ in compared(results))]
    killed = results.get("killed", {})
    if "losses_off" in killed:
        out.append(
            f"Killed and gone on with ({killed['begun']} processes): "
            f"losses are off by {killed['losses_off']:.1e} at most."
        )
    return "\n".join(out).rstrip() + "\n"


def served(results):
    """What replies: tokens a second, and seconds to a first token."""
    keys = ["prefill 1", "prefill 8", "decode 1", "decode 8", "first fresh", "first reuse"]
    rows = {name: it for name, it in results.items() if name.startswith("serve")}
    if not rows:
        return
    yield f"| {' | '.join(['served', *keys])} |"
    yield "|---|" + "---|" * len(keys)
    for name, result in rows.items():
        told = result.get("failed") or result.get("not_run")
        told = [f"NOT MEASURED: {told}"] if told else [result.get(key, "") for key in keys]
        yield f"| {name} | {' | '.join(map(str, told))} |"
    yield ""
    for name, result in rows.items():
        other = rows.get(f"{name} without graphs", {})
        if "reply" in result and "reply" in other:
            same = [a == b for a, b in zip(result["reply"], other["reply"])]
            alike = same.index(False) if False in same else len(same)
            yield f"{name}: with and without graphs {alike} of {len(same)} tokens are the same first."
            yield ""


def cells(result, best):
    """A row of the table; where there is no speed, why."""
    if "tokens_per_s" in result:
        share = f"{100 * result['tflops'] / best:.0f} %" if best else ""
        row = [result["tokens_per_s"], result["spread"], result["tflops"], share]
    elif result.get("out_of_memory"):
        row = ["out of memory", "", "", ""]
    elif "not_run" in result:
        row = [f"not run: {result['not_run']}", "", "", ""]
    else:
        row = [f"FAILED: {result.get('failed')}", "", "", ""]
    row += [result.get(key, "") for key in ("peak_gib", "planned_gib", "attention")]
    return [*row, " → ".join(result.get("rungs", []))]


def compared(results):
    """Losses and gradient norms of the same steps, ours against each of the others: what to say,
    and by how much they are off."""
    ours = results.get("parity limn", {})
    for engine in ENGINES[1:]:
        theirs = results.get(f"parity {engine}", {})
        if "losses" not in theirs or "losses" not in ours:
            continue
        off = {
            key: max(abs(a - b) / abs(b) for a, b in zip(ours[key], theirs[key]))
            for key in ("losses", "grad_norms")
        }
        line = (
            f"Five steps against {engine}: losses off by {off['losses']:.1e} at most, "
            f"gradient norms by {off['grad_norms']:.1e}, relative."
        )
        yield line, max(off.values())


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--limn", type=pathlib.Path, required=True)
    parser.add_argument("--limn-train", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("gpu-bench"))
    parser.add_argument("--wheels", type=pathlib.Path)
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--only", default="")
    parser.add_argument("--tiny", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    failed = Bench(arguments()).run()
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")
