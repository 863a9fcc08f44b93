"""What the device can do at best: a product of matrices, and attention by each of its kernels.

    ceiling.py real|tiny    prints it as JSON
"""

import json
import statistics
import sys
import time

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention as attend

BACKENDS = {
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
}

# Heads and their width are those of the 8B shape.
SIZES = {
    "real": {"matrix": 8_192, "lengths": [8_192, 42_400, 152_000], "heads": 32, "times": 3},
    "tiny": {"matrix": 128, "lengths": [64], "heads": 2, "times": 1},
}


def timed(device, times, action):
    seconds = []
    for _ in range(times + 1):
        if device == "cuda":
            torch.cuda.synchronize()
        began = time.perf_counter()
        action()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    # The first one warms up.
    return statistics.median(seconds[1:])


def attention(device, size, length, name):
    make = lambda: torch.randn(
        1, size["heads"], length, 128, device=device, dtype=torch.bfloat16, requires_grad=True
    )
    row = {"backend": name, "length": length}
    try:
        query, key, value = make(), make(), make()
        with sdpa_kernel(BACKENDS[name]):
            there = timed(device, size["times"], lambda: attend(query, key, value, is_causal=True))
            given = attend(query, key, value, is_causal=True)
            onto = torch.ones_like(given)
            back = timed(device, size["times"], lambda: given.backward(onto, retain_graph=True))
    except RuntimeError as why:
        return row | {"not_run": str(why).splitlines()[0][:80]}
    return row | {"there_ms": round(1e3 * there, 2), "back_ms": round(1e3 * back, 2)}


def main(size):
    device = "cuda" if torch.cuda.is_available() else "cpu"
    side = size["matrix"]
    one = torch.randn(side, side, device=device, dtype=torch.bfloat16)
    seconds = timed(device, 5 * size["times"], lambda: one @ one)
    rows = [attention(device, size, length, name) for length in size["lengths"] for name in BACKENDS]
    print(json.dumps({"matmul_tflops": round(2 * side**3 / seconds / 1e12, 3), "attention": rows}))


if __name__ == "__main__":
    main(SIZES[sys.argv[1]])
