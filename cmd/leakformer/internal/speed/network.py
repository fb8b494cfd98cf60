"""The network of leakformer in PyTorch, as its users would write it, to be timed.

Reads commands on standard input, one a line, and answers each with a line: how long
it took, in seconds of the clock and of the processor, and what it computed.

  start WEIGHTS THREADS   weights as Net.SaveWeights writes them
  batch FILE              in the same layout: tokens, lengths, targets and their weights
  predict                 the mean of the sites' logits
  step RATE               the loss before the step
  memory                  the most that was resident so far, in MiB
  gemm N                  the GFLOP/s of a product of two N by N matrices
"""
import ctypes
import json
import resource
import struct
import sys
import time

import torch
from torch import nn
from torch.nn import functional


def read(path):
    """The tensors of a safetensors file, and its metadata."""
    with open(path, "rb") as f:
        (size,) = struct.unpack("<Q", f.read(8))
        header = json.loads(f.read(size))
        data = bytearray(f.read())
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, t in header.items():
        kind = {"F32": torch.float32, "I32": torch.int32}[t["dtype"]]
        count = (t["data_offsets"][1] - t["data_offsets"][0]) // 4
        tensors[name] = torch.frombuffer(data, dtype=kind, offset=t["data_offsets"][0], count=count).reshape(t["shape"]).clone()
    return tensors, metadata


class Network(nn.Module):
    def __init__(self, c):
        super().__init__()
        d, drop = c["dim"], c["dropout"]
        self.token = nn.EmbeddingBag(c["vocab"], d, mode="sum", padding_idx=0)
        self.position = nn.Parameter(torch.zeros(c["max_len"], d))
        self.dropout = nn.Dropout(drop)
        layer = nn.TransformerEncoderLayer(d, c["heads"], c["feed_forward"], drop, functional.gelu,
                                           batch_first=True, norm_first=True)
        layer.dropout.p = layer.self_attn.dropout = 0.0  # ours drops what a layer adds, nothing within
        self.encoder = nn.TransformerEncoder(layer, c["layers"], nn.LayerNorm(d))
        self.site, self.block, self.next = nn.Linear(d, 1), nn.Linear(d, 1), nn.Linear(d, c["next_classes"])

    def forward(self, tokens, lengths):
        b, l, f = tokens.shape
        x = self.token(tokens.reshape(b * l, f)).reshape(b, l, -1) + self.position[:l]
        padding = torch.arange(l)[None, :] >= lengths[:, None]
        x = self.encoder(self.dropout(x), src_key_padding_mask=padding)
        return self.site(x[:, 0]).squeeze(1), self.block(x).squeeze(2)


def named(weights):
    """Weights by PyTorch's names."""
    state = {}
    for name, t in weights.items():
        if name.startswith(("layers.", "norm.")):
            name = "encoder." + name
        if name == "token":
            name = "token.weight"
        for ours, theirs in [("attention.in.", "self_attn.in_proj_"), ("attention.out.", "self_attn.out_proj."),
                             ("forward.in.", "linear1."), ("forward.out.", "linear2.")]:
            name = name.replace(ours, theirs)
        state[name] = t
    return state


class Peer:
    def start(self, path, threads):
        torch.set_num_threads(int(threads))
        try:  # which PyTorch leaves alone
            ctypes.CDLL("libopenblas.so.0").openblas_set_num_threads(int(threads))
        except OSError:
            pass
        weights, metadata = read(path)
        self.net = Network(json.loads(metadata["config"]))
        self.net.load_state_dict(named(weights))
        self.optimiser = torch.optim.AdamW(self.net.parameters(), weight_decay=0.01)

    def batch(self, path):
        self.data, _ = read(path)

    def memory(self):
        with open("/proc/self/status") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmHWM")) / 1024

    def gemm(self, n):
        n = int(n)
        a, b = torch.rand(n, n), torch.rand(n, n)
        best = float("inf")
        for _ in range(20):
            start = time.perf_counter()
            torch.mm(a, b)
            best = min(best, time.perf_counter() - start)
        return 2 * n**3 / best / 1e9

    def predict(self):
        self.net.eval()
        with torch.inference_mode():
            site, _ = self.net(self.data["tokens"], self.data["lengths"])
        return site.mean().item()

    def step(self, rate):
        self.net.train()
        for group in self.optimiser.param_groups:
            group["lr"] = float(rate)
        self.optimiser.zero_grad(set_to_none=True)
        loss = self.loss()
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimiser.step()
        return loss.item()

    def loss(self):
        site, block = self.net(self.data["tokens"], self.data["lengths"])
        total = 0
        for logits, of in (site, "site"), (block, "block"):
            weight = self.data[of + "_weight"]
            total = total + functional.binary_cross_entropy_with_logits(
                logits, self.data[of], weight, reduction="sum") / weight.sum()
        return total


def busy():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


peer = Peer()
for line in sys.stdin:
    command, *arguments = line.split()
    clock, processor = time.perf_counter(), busy()
    result = getattr(peer, command)(*arguments)
    print(time.perf_counter() - clock, busy() - processor, result or 0, flush=True)
