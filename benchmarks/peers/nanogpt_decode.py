"""The PyTorch side of the decoding benchmark: a nanoGPT-style decoder with a KV cache, eager.

Reads one JSON request a line, `{"batch": 8, "tokens": 100}`, and answers each with one JSON line,
`{"wall": seconds, "cpu": seconds, "tokens": 800}`. Run by the benchmark's own environment.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

import torch
from torch import Tensor, nn
from torch.nn import functional


class Cache:
    """Keys and values of one block, allocated once: [batch, heads, context, size]."""

    def __init__(self, batch: int, heads: int, context: int, size: int) -> None:
        self.keys = torch.zeros(batch, heads, context, size)
        self.values = torch.zeros(batch, heads, context, size)


class Block(nn.Module):
    """Pre-norm attention and MLP without biases."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width, bias=False)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.project = nn.Linear(width, width, bias=False)
        self.mlp_norm = nn.LayerNorm(width, bias=False)
        self.expand = nn.Linear(width, 4 * width, bias=False)
        self.contract = nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor, cache: Cache, start: int) -> Tensor:
        batch, length, width = x.shape
        qkv = self.qkv(self.attention_norm(x)).view(batch, length, 3, self.heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        cache.keys[:, :, start : start + length] = key
        cache.values[:, :, start : start + length] = value
        attended = functional.scaled_dot_product_attention(
            query,
            cache.keys[:, :, : start + length],
            cache.values[:, :, : start + length],
            is_causal=length > 1,
        )
        x = x + self.project(attended.transpose(1, 2).reshape(batch, length, width))
        return x + self.contract(functional.gelu(self.expand(self.mlp_norm(x))))


class Decoder(nn.Module):
    """Tied embeddings, learned positions."""

    def __init__(self, vocabulary: int, context: int, layers: int, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.context, self.size = heads, context, width // heads
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width, bias=False)

    def forward(self, tokens: Tensor, caches: list[Cache], start: int) -> Tensor:
        x = self.tokens(tokens) + self.positions.weight[start : start + tokens.shape[1]]
        for block, cache in zip(self.blocks, caches, strict=True):
            x = block(x, cache, start)
        return functional.linear(self.norm(x[:, -1]), self.tokens.weight)

    @torch.inference_mode()
    def generate(self, prompt: Tensor, count: int, temperature: float, top_k: int) -> Tensor:
        sizes = (prompt.shape[0], self.heads, self.context, self.size)
        caches = [Cache(*sizes) for _ in self.blocks]
        written, tokens, start = [], prompt, 0
        for _ in range(count):
            logits = self(tokens, caches, start) / temperature
            start += tokens.shape[1]
            best, indices = torch.topk(logits, top_k)
            choice = torch.multinomial(functional.softmax(best, dim=-1), 1)
            tokens = indices.gather(1, choice)
            written.append(tokens)
        return torch.cat(written, 1)


def main() -> None:
    """Builds the model with random weights and answers requests until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("vocabulary", "context", "layers", "width", "heads", "prompt", "threads"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--top-k", type=int, default=50)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    sizes = (options.vocabulary, options.context, options.layers, options.width, options.heads)
    model = Decoder(*sizes).eval()
    for line in sys.stdin:
        request = json.loads(line)
        shape = (request["batch"], options.prompt)
        prompt = torch.randint(1, options.vocabulary, shape)
        wall, cpu = time.perf_counter(), time.process_time()
        tokens = model.generate(prompt, request["tokens"], 0.8, options.top_k)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(json.dumps({"wall": wall, "cpu": cpu, "tokens": tokens.numel()}), flush=True)


if __name__ == "__main__":
    main()
