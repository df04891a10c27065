"""The PyTorch side of the image benchmark: the same networks and losses, eager, channels last.

    python torch_image.py --data train.npz

Reads one JSON request a line,

    {"family": "vae", "cpu_seconds": 120, "rate": 1e-3, "out": "made.npy"}

trains that long, draws one image for each of the file's `wanted` classes with the averaged
weights, and answers with one JSON line, `{"steps": ..., "cpu_seconds": ...}`. Run by the
benchmark's own environment.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

BATCH, WARMUP, LEAST = 64, 50, 0.05
DECAY, CLIP = 0.999, 1.0
LATENT_VAE, LATENT_GAN, WIDTH = 24, 64, 32
CRITIC_UPDATES, PENALTY = 2, 5.0
CONDITION, CONNECTED, FREQUENCIES = 96, 256, 16
UNCONDITIONAL, GUIDANCE, SAMPLING_STEPS = 0.1, 2.0, 12
VARIANCE = 0.5
SIDE, CLASSES = 28, 10


def scaled(x: Tensor) -> Tensor:
    """Channels over the root of their mean square at each pixel."""
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-5)


class Film(nn.Module):
    """Scales and shifts channels by a condition."""

    def __init__(self, channels: int, condition: int) -> None:
        super().__init__()
        self.both = nn.Linear(condition, 2 * channels)
        nn.init.normal_(self.both.weight, std=0.3 / math.sqrt(condition))
        nn.init.zeros_(self.both.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.both(condition).chunk(2, 1)
        shape = (*scale.shape, *[1] * (x.dim() - 2))
        return x + x * scale.view(shape) + shift.view(shape)


class Block(nn.Module):
    """Depthwise 3x3, norm, two products of channels; residual."""

    def __init__(self, channels: int, condition: int = 0) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.film = Film(channels, condition) if condition else None
        self.widen = nn.Conv2d(channels, 2 * channels, 1)
        self.narrow = nn.Conv2d(2 * channels, channels, 1)
        nn.init.normal_(self.narrow.weight, std=0.3 / math.sqrt(2 * channels))

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        hidden = scaled(self.mix(x))
        if self.film is not None and condition is not None:
            hidden = self.film(hidden, condition)
        return x + self.narrow(functional.silu(self.widen(hidden)))


class Encoder(nn.Module):
    """Two halvings to numbers: the VAE's encoder, or the critic without a condition."""

    def __init__(self, outputs: int, condition: int) -> None:
        super().__init__()
        self.downs = nn.ModuleList([nn.Conv2d(1, WIDTH, 2, 2), nn.Conv2d(WIDTH, 2 * WIDTH, 2, 2)])
        self.blocks = nn.ModuleList([Block(WIDTH, condition), Block(2 * WIDTH, condition)])
        self.flat = nn.Linear(2 * WIDTH * 49, 4 * WIDTH)
        self.last = nn.Linear(4 * WIDTH + condition, outputs)
        self.critic = not condition
        self.classes = nn.Embedding(CLASSES, condition or 4 * WIDTH)

    def forward(self, image: Tensor, label: Tensor) -> Tensor:
        condition, x = self.classes(label), image
        for down, block in zip(self.downs, self.blocks, strict=True):
            x = block(down(x), None if self.critic else condition)
            x = functional.leaky_relu(x, 0.2) if self.critic else x
        x = self.flat(x.flatten(1))
        if self.critic:
            x = functional.leaky_relu(x, 0.2)
            return self.last(x)[:, 0] + (x * condition).sum(1)
        return self.last(torch.cat([functional.silu(x), condition], 1))


class Decoder(nn.Module):
    """A code and a class to an image: the VAE's decoder and the GAN's generator."""

    def __init__(self, latent: int, generator: bool) -> None:
        super().__init__()
        self.generator = generator
        width = 4 * WIDTH if generator else 2 * WIDTH
        self.classes = nn.Embedding(CLASSES, 2 * WIDTH)
        self.first = nn.Linear(latent + 2 * WIDTH, 4 * WIDTH)
        self.grid = nn.Linear(4 * WIDTH, 2 * WIDTH * 49)
        sizes = (2 * WIDTH, WIDTH)
        self.places = nn.ParameterList(
            [
                nn.Parameter(torch.zeros(size, side, side))
                for size, side in zip(sizes, (7, 14), strict=True)
            ]
        )
        self.blocks = nn.ModuleList([Block(size, width) for size in sizes])
        self.ups = nn.ModuleList(
            [nn.ConvTranspose2d(2 * WIDTH, WIDTH, 2, 2), nn.ConvTranspose2d(WIDTH, 1, 2, 2)]
        )
        self.deviation = nn.Parameter(torch.zeros(1))

    def forward(self, latent: Tensor, label: Tensor) -> Tensor:
        condition = self.classes(label)
        hidden = functional.silu(self.first(torch.cat([latent, condition], 1)))
        condition = hidden if self.generator else condition
        x = self.grid(hidden).view(-1, 2 * WIDTH, 7, 7)
        for place, block, up in zip(self.places, self.blocks, self.ups, strict=True):
            x = up(block(x + place if self.generator else x, condition))
        return torch.tanh(x)


class Unet(nn.Module):
    """The diffusion model's network."""

    def __init__(self) -> None:
        super().__init__()
        self.time = nn.Linear(2 * FREQUENCIES, CONDITION)
        self.classes = nn.Embedding(CLASSES + 1, CONDITION)
        self.join = nn.Linear(CONDITION, CONDITION)
        self.downs = nn.ModuleList([nn.Conv2d(1, WIDTH, 2, 2), nn.Conv2d(WIDTH, 2 * WIDTH, 2, 2)])
        sizes, sides = (WIDTH, 2 * WIDTH), (14, 7)
        self.places = nn.ParameterList(
            [
                nn.Parameter(torch.zeros(size, side, side))
                for size, side in zip(sizes, sides, strict=True)
            ]
        )
        self.before = nn.ModuleList([Block(size, CONDITION) for size in sizes])
        self.middle = nn.Linear(2 * WIDTH * 49, CONNECTED)
        self.film = Film(CONNECTED, CONDITION)
        self.back = nn.Linear(CONNECTED, 2 * WIDTH * 49)
        nn.init.normal_(self.back.weight, std=0.3 / math.sqrt(CONNECTED))
        self.after = nn.ModuleList([Block(2 * WIDTH, CONDITION), Block(WIDTH, CONDITION)])
        self.up = nn.ConvTranspose2d(2 * WIDTH, WIDTH, 2, 2)
        self.end = Film(WIDTH, CONDITION)
        self.last = nn.ConvTranspose2d(WIDTH, 1, 2, 2)
        nn.init.zeros_(self.last.weight)

    def forward(self, image: Tensor, time: Tensor, label: Tensor) -> Tensor:
        powers = torch.exp(torch.arange(FREQUENCIES) / FREQUENCIES * math.log(1000.0))
        angles = time[:, None] * powers
        known = self.time(torch.cat([angles.sin(), angles.cos()], 1)) + self.classes(label)
        known = functional.silu(self.join(functional.silu(known)))
        x, skips = image, []
        for down, place, block in zip(self.downs, self.places, self.before, strict=True):
            x = block(down(x) + place, known)
            skips.append(x)
        hidden = functional.silu(self.film(self.middle(scaled(x).flatten(1)), known))
        x = self.after[0](x + self.back(hidden).view_as(x), known)
        x = self.after[1](self.up(x) + skips[0], known)
        return self.last(self.end(scaled(x), known))


class Vae(nn.Module):
    """The negative evidence lower bound with a learned deviation of the pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = Encoder(2 * LATENT_VAE, 2 * WIDTH), Decoder(LATENT_VAE, False)

    def loss(self, image: Tensor, label: Tensor) -> Tensor:
        mean, log_variance = self.encoder(image, label).chunk(2, 1)
        log_variance = log_variance.clamp(-10, 5)
        latent = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        log_deviation = 10 * self.decoder.deviation - 1
        error = (image - self.decoder(latent, label)) * torch.exp(-log_deviation)
        nats = 0.5 * error.square() + log_deviation + 0.5 * math.log(2 * math.pi)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)
        return nats.sum((1, 2, 3)).mean() + divergence.sum(1).mean()

    def sample(self, label: Tensor) -> Tensor:
        return self.decoder(torch.randn(len(label), LATENT_VAE), label)


class Diffusion(nn.Module):
    """Flow matching, guided without a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.network = Unet()

    def velocity(self, mixed: Tensor, time: Tensor, label: Tensor) -> Tensor:
        share = time[:, None, None, None]
        variance = share.square() * VARIANCE + (1 - share).square()
        output = self.network(mixed * variance.rsqrt(), time, label)
        guess = (share * VARIANCE - (1 - share)) / variance * mixed
        return guess + output * math.sqrt(VARIANCE) * variance.rsqrt()

    def loss(self, image: Tensor, label: Tensor) -> Tensor:
        noise, time = torch.randn_like(image), torch.randn(len(image)).sigmoid()
        label = torch.where(torch.rand(len(image)) < UNCONDITIONAL, CLASSES, label)
        share = time[:, None, None, None]
        mixed = share * image + (1 - share) * noise
        return (self.velocity(mixed, time, label) - (image - noise)).square().mean()

    def sample(self, label: Tensor) -> Tensor:
        x = torch.randn(len(label), 1, SIDE, SIDE)
        for step in range(SAMPLING_STEPS):
            time = torch.full((len(label),), step / SAMPLING_STEPS)
            given, free = (
                self.velocity(x, time, each) for each in (label, torch.full_like(label, CLASSES))
            )
            x = x + (free + GUIDANCE * (given - free)) / SAMPLING_STEPS
        return x.clamp(-1, 1)


class Gan(nn.Module):
    """Wasserstein with a gradient penalty."""

    def __init__(self) -> None:
        super().__init__()
        self.generator, self.critic = Decoder(LATENT_GAN, True), Encoder(1, 0)

    def sample(self, label: Tensor) -> Tensor:
        return self.generator(torch.randn(len(label), LATENT_GAN), label)

    def critic_loss(self, image: Tensor, label: Tensor) -> Tensor:
        with torch.no_grad():
            fake = self.sample(label)
        between = (fake + torch.rand(len(image), 1, 1, 1) * (image - fake)).requires_grad_()
        score = self.critic(between, label).sum()
        (slope,) = torch.autograd.grad(score, between, create_graph=True)
        penalty = ((slope.square().sum((1, 2, 3)) + 1e-12).sqrt() - 1).square().mean()
        gap = self.critic(image, label).mean() - self.critic(fake, label).mean()
        return PENALTY * penalty - gap

    def generator_loss(self, image: Tensor, label: Tensor) -> Tensor:
        return -self.critic(self.sample(label), label).mean()


Turn = tuple[Callable[[Tensor, Tensor], Tensor], torch.optim.Optimizer, int]


def turns(model: nn.Module, rate: float) -> list[Turn]:
    """The losses, their optimizers, and how often each moves in a step."""
    if isinstance(model, Gan):
        parts = [(model.critic_loss, model.critic, CRITIC_UPDATES)]
        parts.append((model.generator_loss, model.generator, 1))
        return [
            (loss, torch.optim.Adam(part.parameters(), rate, (0.0, 0.9)), count)
            for loss, part, count in parts
        ]
    assert isinstance(model, Vae | Diffusion)
    second = 0.99 if isinstance(model, Diffusion) else 0.999
    return [(model.loss, torch.optim.Adam(model.parameters(), rate, (0.9, second)), 1)]


def rate_at(rate: float, share: float, step: int) -> float:
    """A linear rise, then a half cosine down to a twentieth."""
    fall = LEAST + (1 - LEAST) * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))
    return rate * min(1.0, (step + 1) / WARMUP) * fall


def train(
    model: nn.Module, images: Tensor, labels: Tensor, cpu_seconds: float, rate: float
) -> tuple[nn.Module, int]:
    """Trains for so many CPU seconds and returns the averaged model and the steps."""
    average, players, step = copy.deepcopy(model), turns(model, rate), 0
    begun = time.process_time()
    while (spent := time.process_time() - begun) < cpu_seconds:
        for loss, optimizer, count in players:
            parameters = optimizer.param_groups[0]["params"]
            optimizer.param_groups[0]["lr"] = rate_at(rate, spent / cpu_seconds, step)
            for _ in range(count):
                rows = torch.randint(len(images), (BATCH,))
                found = loss(images[rows], labels[rows])
                gradients = torch.autograd.grad(found, parameters, allow_unused=True)
                for parameter, gradient in zip(parameters, gradients, strict=True):
                    parameter.grad = gradient
                nn.utils.clip_grad_norm_(parameters, CLIP)
                optimizer.step()
        kept = min(DECAY, (1 + step) / (10 + step))
        with torch.no_grad():
            for mean, value in zip(average.parameters(), model.parameters(), strict=True):
                mean.lerp_(value, 1 - kept)
        step += 1
    return average, step


def main() -> None:
    """Answers requests."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    data = np.load(options.data)
    images = torch.from_numpy(data["images"].astype(np.float32) / 127.5 - 1).permute(0, 3, 1, 2)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.from_numpy(data["labels"].astype(np.int64))
    wanted = torch.from_numpy(data["wanted"].astype(np.int64))
    families = {"vae": Vae, "gan": Gan, "diffusion": Diffusion}
    for line in sys.stdin:
        request = json.loads(line)
        torch.manual_seed(request.get("seed", 0))
        model = families[request["family"]]().to(memory_format=torch.channels_last)
        begun = time.process_time()
        average, steps = train(model, images, labels, request["cpu_seconds"], request["rate"])
        spent = time.process_time() - begun
        with torch.no_grad():
            made = torch.cat([average.sample(part) for part in wanted.split(250)])
        levels = ((made + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1)
        np.save(request["out"], levels.numpy())
        parameters = sum(part.numel() for part in model.parameters())
        print(
            json.dumps({"steps": steps, "cpu_seconds": spent, "parameters": parameters}), flush=True
        )


if __name__ == "__main__":
    main()
