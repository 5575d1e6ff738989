"""Networks with two heads, augmentation and training in PyTorch, for `train_on_gpu.py`.

Images, augmentation, optimizer and moving average stay on the GPU, where a whole step is one CUDA
graph.
"""

import json
import math
import os
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

SIZE = 48
AUGMENTATION = {
    "rotation": 12.0,
    "shift": 0.09,
    "zoom": 0.15,
    "brightness": 0.12,
    "contrast": 0.25,
}
MILD_FROM = 0.85  # where the milder last part of a training begins
BATCH_SIZE = 256
MUON_SCALE = 0.1  # Muon's step as a fraction of the learning rate
VOTES_WEIGHT = 0.5  # of the second head's loss


# ---- networks


def activate(x):
    return F.hardswish(x)


class ConvBN(nn.Module):
    def __init__(self, inputs, outputs, kernel=3, stride=1, activation=True):
        super().__init__()
        # Keras's "same" padding for a stride of 2 at even sizes: one row and column after.
        self.pad_after = stride == 2 and kernel == 3
        padding = 0 if self.pad_after else kernel // 2
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)
        self.activation = activation
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x):
        x = self.bn(self.conv(F.pad(x, (0, 1, 0, 1)) if self.pad_after else x))
        return activate(x) if self.activation else x


class Block(nn.Module):
    """A residual block with squeeze-and-excitation and an average-pooled shortcut."""

    def __init__(self, inputs, outputs, stride, reduction):
        super().__init__()
        self.a = ConvBN(inputs, outputs, 3, stride)
        self.b = ConvBN(outputs, outputs, activation=False)
        nn.init.zeros_(self.b.bn.weight)
        squeezed = max(8, outputs // reduction)
        self.squeeze = nn.Conv2d(outputs, squeezed, 1)
        self.excite = nn.Conv2d(squeezed, outputs, 1)
        same = stride == 1 and inputs == outputs
        self.shortcut = None if same else ConvBN(inputs, outputs, 1, activation=False)
        self.stride = stride

    def forward(self, x):
        y = self.b(self.a(x))
        weights = self.excite(F.relu(self.squeeze(y.mean((2, 3), keepdim=True))))
        y = y * weights.sigmoid()
        if self.shortcut is not None:
            x = self.shortcut(F.avg_pool2d(x, 2) if self.stride == 2 else x)
        return activate(x + y)


class Network(nn.Module):
    """One body and two heads: logits of seven labels and of eight emotions."""

    def __init__(self, stem, widths, blocks, strides=None, reduction=8, head=0, dropout=0.0):
        super().__init__()
        self.stem = ConvBN(1, stem)
        body, inputs = [], stem
        for i, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            for j in range(count):
                stride = (strides[i] if strides else 2) if j == 0 else 1
                body.append(Block(inputs, width, stride, reduction))
                inputs = width
        self.body = nn.ModuleList(body)
        self.head = ConvBN(inputs, head, 1) if head else None
        self.dropout = dropout
        self.seven, self.eight = nn.Linear(head or inputs, 7), nn.Linear(head or inputs, 8)

    def forward(self, x):
        x = self.stem(x)
        for block in self.body:
            x = block(x)
        if self.head is not None:
            x = self.head(x)
        x = F.dropout(x.mean((2, 3)), self.dropout, self.training)
        return self.seven(x), self.eight(x)


def build(network, device, seed):
    torch.manual_seed(seed)
    return Network(**network).to(device, memory_format=torch.channels_last)


# ---- augmentation, on the device


class Phase:
    """Settings that change during training, kept where a CUDA graph can read them."""

    def __init__(self, device, bulk, mild, mild_from=MILD_FROM):
        self._settings = bulk, mild
        self.mild_from = mild_from
        self._is_mild = False
        for name, value in bulk.items():
            setattr(self, name, torch.full((), float(value), device=device))

    def at(self, progress):
        is_mild = progress >= self.mild_from
        if is_mild != self._is_mild:
            self._is_mild = is_mild
            for name, value in self._settings[is_mild].items():
                getattr(self, name).fill_(value)


def augment(images, phase):
    """Flip, rotate, shift, zoom, blur, brighten and erase each image; float32 in [0, 1]."""
    x = images.float() / 255
    n, device = len(x), x.device
    u = torch.rand(16, n, 1, 1, 1, device=device)
    s = (2 * u - 1) * phase.strength
    x = _affine(x, u[1], s)
    mean = x.mean((2, 3), keepdim=True)
    x = (x - mean) * (1 + s[6] * AUGMENTATION["contrast"]) + mean
    x = (x + s[7] * AUGMENTATION["brightness"]).clamp(0, 1)
    # Photos are small or soft at times: partly at half the resolution, and with some noise.
    low = F.interpolate(F.avg_pool2d(x, 2), scale_factor=2, mode="bilinear")
    x = torch.where(u[13] < phase.blur, torch.lerp(x, low, u[14]), x)
    x = (x + torch.randn_like(x) * (0.04 * u[15] * (u[15] < 0.3))).clamp(0, 1)
    at = torch.arange(SIZE, device=device)
    rows, columns = at.view(1, 1, SIZE, 1), at.view(1, 1, 1, SIZE)
    height, width = (0.15 + 0.3 * u[8]) * SIZE, (0.15 + 0.3 * u[9]) * SIZE
    top, left = u[10] * (SIZE - height), u[11] * (SIZE - width)
    hole = (rows >= top) & (rows < top + height) & (columns >= left) & (columns < left + width)
    return torch.where(hole & (u[12] < phase.erasing), torch.rand_like(x), x)


def _affine(x, coin, s):
    angle = s[0] * math.radians(AUGMENTATION["rotation"])
    flip = torch.where(coin < 0.5, -1.0, 1.0)
    scale, aspect = 1 + s[2] * AUGMENTATION["zoom"], 1 + s[3] * 0.05
    cos, sin = angle.cos() * scale, angle.sin() * scale
    shift_x, shift_y = (2 * AUGMENTATION["shift"] * s[i] for i in (4, 5))
    theta = torch.cat(
        [
            torch.cat([cos * aspect * flip, -sin, shift_x], 3),
            torch.cat([sin * flip, cos, shift_y], 3),
        ],
        2,
    ).squeeze(1)
    grid = F.affine_grid(theta, x.shape, align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def as_in_photos(x, probability):
    """Change light, contrast and sharpness of some images, and compress some as JPEG does."""
    u = torch.rand(12, len(x), 1, 1, 1, device=x.device)
    chosen = u[6:] < probability
    mean = x.mean((2, 3), keepdim=True)
    x = torch.where(chosen[0], (x - mean) * (0.4 + u[0]) + mean, x)
    at = torch.linspace(-1, 1, SIZE, device=x.device)
    angle = 2 * math.pi * u[1]
    ramp = angle.cos() * at.view(1, 1, SIZE, 1) + angle.sin() * at.view(1, 1, 1, SIZE)
    x = torch.where(chosen[1], x + 0.25 * u[2] * ramp, x).clamp(1e-3, 1)
    x = torch.where(chosen[2], x**2 ** (1.6 * u[3] - 0.8), x)
    low = F.interpolate(F.avg_pool2d(x, 2), scale_factor=2, mode="bilinear")
    x = torch.where(chosen[3], torch.lerp(x, low, 1.6 * u[4] - 0.6), x)
    return torch.where(chosen[4] & (u[6] < 0.5), jpeg(x, 0.3 + 2 * u[5]), x).clamp(0, 1)


def jpeg(x, coarseness):
    """Round the cosine transform of blocks of 8 by 8 pixels, more coarsely at high frequencies."""
    at = torch.arange(8, device=x.device, dtype=torch.float32)
    transform = 0.5 * (math.pi / 8 * (at + 0.5) * at[:, None]).cos()
    transform[0] *= 0.5**0.5
    step = (10 + 6 * (at + at[:, None])) / 255 * coarseness[..., None]
    blocks = x.view(len(x), 6, 8, 6, 8).transpose(2, 3)
    rounded = (transform @ blocks @ transform.T / step).round() * step
    return (transform.T @ rounded @ transform).transpose(2, 3).reshape(x.shape)


class Mixer:
    """Blend some images, and their targets, with the next one of the batch (mix-up)."""

    def __init__(self, probability, alpha, device):
        self._probability = probability
        table = np.random.default_rng(0).beta(alpha, alpha, 8192).astype(np.float32)
        self._table = torch.from_numpy(table).to(device)

    def __call__(self, x, *targets):
        draws = torch.randint(len(self._table), (len(x), 1), device=x.device)
        blended = torch.rand(len(x), 1, device=x.device) < self._probability
        part = torch.where(blended, self._table[draws], torch.ones_like(self._table[draws]))
        whole = part.view(-1, 1, 1, 1)
        x = whole * x + (1 - whole) * x.roll(1, 0)
        return x, *(part * t + (1 - part) * t.roll(1, 0) for t in targets)


def channels_last(x):
    """Mark a batch of one channel as channels-last, which PyTorch cannot infer."""
    return x.contiguous().as_strided(x.shape, (SIZE * SIZE, 1, SIZE, 1))


# ---- training


class Optimizer:
    """Nesterov SGD with its rate on the device; Muon for the kernels before batch norm."""

    def __init__(self, network, kind, decay, device, momentum=0.9):
        self.rate = torch.zeros((), device=device)
        self._decay, self._momentum = decay, momentum
        kernels = [m.conv.weight for m in network.modules() if isinstance(m, ConvBN)]
        self._kernels = [p for p in kernels if p[0].numel() > 16] if kind == "muon" else []
        ids = {id(p) for p in self._kernels}
        rest = [p for p in network.parameters() if id(p) not in ids]
        self._decayed = [p for p in rest if p.ndim > 1]
        self.parameters = [*self._decayed, *(p for p in rest if p.ndim <= 1), *self._kernels]
        self._momenta = [torch.zeros_like(p) for p in self.parameters]

    def reset(self):
        torch._foreach_zero_(self._momenta)

    @torch.no_grad()
    def step(self, gradients):
        gradients = list(gradients)
        decayed, n_plain = len(self._decayed), len(self.parameters) - len(self._kernels)
        gradients[:decayed] = torch._foreach_add(
            gradients[:decayed], self._decayed, alpha=self._decay
        )
        torch._foreach_mul_(self._momenta, self._momentum)
        torch._foreach_add_(self._momenta, gradients)
        updates = torch._foreach_add(gradients, self._momenta, alpha=self._momentum)
        plain = updates[:n_plain]
        torch._foreach_mul_(plain, self.rate)
        torch._foreach_sub_(self.parameters[:n_plain], plain)
        self._step_kernels(updates[n_plain:])

    def _step_kernels(self, updates):
        by_shape = {}
        for kernel, update in zip(self._kernels, updates, strict=True):
            by_shape.setdefault(tuple(kernel.shape), []).append((kernel, update))
        for shape, pairs in by_shape.items():
            stacked = torch.stack([update.reshape(shape[0], -1) for _, update in pairs])
            for (kernel, _), step in zip(pairs, orthogonal(stacked), strict=True):
                kernel.mul_(shape[0] ** 0.5 / kernel.norm())
                kernel.sub_(step.view(shape) * (self.rate * MUON_SCALE))


def orthogonal(matrices, steps=5):
    """Make each matrix nearly orthogonal by Newton-Schulz iterations (Jordan 2024)."""
    x = matrices.bfloat16() if matrices.is_cuda else matrices
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        y = x @ x.mT
        x = 3.4445 * x + (-4.7750 * y + 2.0315 * (y @ y)) @ x
    return (x.mT if tall else x).float()


class Learner:
    """A network with its optimizer and the moving average of its weights."""

    def __init__(self, network, recipe, data, average):
        self._description, self._average = network, average
        self.rate = recipe["rate"]
        self.network = build(network, data.device, seed=100)
        self._call = (
            torch.compile(self.network, dynamic=False)
            if data.device.type == "cuda"
            else self.network
        )
        self.optimizer = Optimizer(self.network, recipe["optimizer"], recipe["decay"], data.device)
        self._mean = [p.detach().clone() for p in self.optimizer.parameters]

    def start_from(self, path):
        self.network.load_state_dict(read_state(path), strict=False)
        self.remember(1.0)

    @torch.no_grad()
    def remember(self, fraction):
        torch._foreach_lerp_(self._mean, [p.detach() for p in self.optimizer.parameters], fraction)

    def learn(self, x, seven, eight, votes_weight=VOTES_WEIGHT):
        self.network.train()
        with torch.autocast(x.device.type, torch.bfloat16, cache_enabled=False):
            logits = self._call(x)
        loss = cross_entropy(logits[0], seven) + votes_weight * cross_entropy(logits[1], eight)
        self.optimizer.step(torch.autograd.grad(loss, self.optimizer.parameters))
        self.remember(1 - self._average)
        return loss.detach()

    def mean(self):
        """Return a copy of the moving average of the weights."""
        return [q.clone() for q in self._mean]

    @torch.no_grad()
    def averaged(self, data, means=None, n_images=8192):
        """Return a copy with averaged weights, its statistics estimated on plain images.

        The weights are the moving average, or the mean of several that `mean` returned.
        """
        network = Network(**self._description).to(data.device)
        network.load_state_dict(self.network.state_dict())
        means = [self._mean] if means is None else means
        copies = dict(zip(map(id, self.network.parameters()), network.parameters(), strict=True))
        for own, *values in zip(self.optimizer.parameters, *means, strict=True):
            copies[id(own)].copy_(sum(values) / len(values))
        norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain mean over batches
        generator = torch.Generator().manual_seed(0)
        chosen = torch.randperm(data.n_images, generator=generator)[:n_images]
        for part in chosen.to(data.device).split(512):
            network.train()(data.images[part].float() / 255)
        return network.eval()


def cross_entropy(logits, target):
    return -(target * logits.float().log_softmax(1)).sum(1).mean()


class Loop:
    """Run one step repeatedly, as a CUDA graph if there is a GPU."""

    def __init__(self, step, data, learners, phase, batch_size=BATCH_SIZE):
        self._data, self._learners, self._phase = data, learners, phase
        size = min(batch_size, data.n_images)
        self._index = torch.randperm(data.n_images, device=data.device)[:size]
        self._loss = torch.zeros((), device=data.device)

        def whole():
            self._loss.add_(step(self._index))

        # Kept, since a CUDA graph does not keep alive what it reads.
        self._step = self._replay = whole
        if data.device.type == "cuda":
            self._replay = self._captured()

    def _captured(self):
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(4):  # at a rate of zero: nothing is learned
                self._step()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._step()
        return graph.replay

    def run(self, epochs, name, warmup=0.03):
        for learner in self._learners:
            learner.optimizer.reset()
            learner.remember(1.0)
        size = len(self._index)
        per_epoch = self._data.n_images // size
        total = epochs * per_epoch
        ramp = max(1, int(warmup * total))
        began = time.perf_counter()
        for epoch in range(epochs):
            self._loss.zero_()
            order = torch.randperm(self._data.n_images, device=self._data.device)
            for i in range(per_epoch):
                done = epoch * per_epoch + i
                cosine = 0.5 + 0.5 * math.cos(
                    math.pi * max(0, (done - ramp) / max(1, total - ramp))
                )
                for learner in self._learners:
                    rate = learner.rate * min(1, (done + 1) / ramp) * cosine
                    learner.optimizer.rate.fill_(rate)
                self._phase.at(done / total)
                self._index.copy_(order[i * size : (i + 1) * size])
                self._replay()
            loss = (self._loss / per_epoch).item()
            seconds = time.perf_counter() - began
            print(
                f"{name}, epoch {epoch + 1}/{epochs}: loss {loss:.4f}, {seconds:.0f} s", flush=True
            )


def save(network, path, description):
    """Write a network's weights by name, and the description of how it was made."""
    arrays = {
        name: value.float().cpu().numpy().astype(np.float16)
        for name, value in network.state_dict().items()
        if "num_batches" not in name
    }
    temporary = path.with_suffix(".part.npz")
    np.savez(temporary, **arrays, description=json.dumps(description))
    os.replace(temporary, path)


def read_state(path):
    """Return weights by name; counters of batches are not among them."""
    with np.load(path) as file:
        names = [name for name in file.files if name != "description"]
        return {name: torch.from_numpy(file[name].astype(np.float32)) for name in names}


def load(path, device):
    with np.load(path) as file:
        description = json.loads(str(file["description"]))
    network = Network(**description["network"])
    network.load_state_dict(read_state(path), strict=False)
    network = network.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)
    return torch.compile(network, dynamic=False) if device.type == "cuda" else network
