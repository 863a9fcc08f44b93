"""Holds the memory of the GPU but so many GiB, says so, and waits to be ended.

    ballast.py FREE_GIB
"""

import sys

import torch

free, _ = torch.cuda.mem_get_info()
held = torch.empty(max(0, free - int(float(sys.argv[1]) * 2**30)), dtype=torch.uint8, device="cuda")
print(held.numel(), flush=True)
sys.stdin.read()
