"""The PyTorch side of the training benchmark: a nanoGPT-style GPT, eager, with its best kernels.

Reads one JSON request a line, `{"steps": 100}`, trains that many steps further on the windows of
`--data`, and answers with one JSON line, `{"wall": seconds, "cpu": seconds, "loss": nats}`. Run by
the benchmark's own environment.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional


class Block(nn.Module):
    """Pre-norm causal attention and MLP, without biases."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width, bias=False)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.project = nn.Linear(width, width, bias=False)
        self.mlp_norm = nn.LayerNorm(width, bias=False)
        self.expand = nn.Linear(width, 4 * width, bias=False)
        self.contract = nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        parts = self.qkv(self.attention_norm(x)).split(width, dim=2)
        query, key, value = (
            part.view(batch, length, self.heads, -1).transpose(1, 2) for part in parts
        )
        attended = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.project(attended.transpose(1, 2).reshape(batch, length, width))
        return x + self.contract(functional.gelu(self.expand(self.mlp_norm(x))))


class Decoder(nn.Module):
    """Tied embeddings, learned positions; answers with the mean loss of a batch of windows."""

    def __init__(self, vocabulary: int, context: int, layers: int, width: int, heads: int) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(vocabulary, width)
        self.position_embedding = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.final_norm = nn.LayerNorm(width, bias=False)

    def forward(self, tokens: Tensor, targets: Tensor) -> Tensor:
        x = self.token_embedding(tokens) + self.position_embedding.weight[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        logits = functional.linear(self.final_norm(x), self.token_embedding.weight)
        return functional.cross_entropy(logits.view(-1, logits.shape[-1]), targets.reshape(-1))

    @torch.no_grad()
    def load(self, path: Path) -> None:
        """Takes the weights that the other side starts from; its matrices are `[in, out]`."""
        stored = np.load(path)
        for name, parameter in self.named_parameters():
            value = torch.from_numpy(stored[name.removesuffix(".weight")])
            square_or_linear = value.ndim == 2 and "embedding" not in name
            parameter.copy_(value.T if square_or_linear else value)


def learning_rate(step: int, options: argparse.Namespace) -> float:
    """Linear warmup, then a cosine to a tenth of the peak; `step` counts from 0."""
    if step < options.warmup:
        return float(options.rate * step / options.warmup)
    share = min(1.0, (step - options.warmup) / max(1, options.total - options.warmup))
    return float(options.rate * (0.1 + 0.45 * (1 + math.cos(math.pi * share))))


def windows(path: Path, batch: int) -> Iterator[Tensor]:
    """Batches of windows `[batch, context + 1]`, over and over."""
    stored = torch.from_numpy(np.load(path).astype(np.int64))
    while True:
        yield from stored.split(batch)


def main() -> None:
    """Builds the model and answers requests until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("vocabulary", "context", "layers", "width", "heads"):
        parser.add_argument(f"--{name}", type=int, required=True)
    for name in ("batch", "threads", "total", "warmup"):
        parser.add_argument(f"--{name}", type=int, required=True)
    for name in ("rate", "decay", "clip"):
        parser.add_argument(f"--{name}", type=float, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--fused", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    sizes = (options.vocabulary, options.context, options.layers, options.width, options.heads)
    model = Decoder(*sizes)
    model.load(options.weights)
    named = list(model.named_parameters())
    kept = [value for name, value in named if "norm" in name or "embedding" in name]
    decayed = [value for name, value in named if "norm" not in name and "embedding" not in name]
    groups = [
        {"params": decayed, "weight_decay": options.decay},
        {"params": kept, "weight_decay": 0.0},
    ]
    betas = (0.9, 0.95)
    optimizer = torch.optim.AdamW(groups, lr=options.rate, betas=betas, fused=bool(options.fused))
    data, step = windows(options.data, options.batch), 0
    for line in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(json.loads(line)["steps"]):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, options)
            batch = next(data)
            loss = model(batch[:, :-1], batch[:, 1:])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), options.clip)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            step += 1
        answer = {"loss": loss.item(), "wall": time.perf_counter() - wall}
        print(json.dumps({**answer, "cpu": time.process_time() - cpu}), flush=True)


if __name__ == "__main__":
    main()
