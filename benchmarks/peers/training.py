"""Milliseconds per training step in PyTorch, one thread: the peer of tasks/training.bench.ts.

Reads a line "network steps" from standard input, trains that many steps (batch 60, Adam) and answers with
the mean milliseconds of one. "end" ends it.
"""

import sys
import time

import torch
from torch import nn

torch.set_num_threads(1)
torch.manual_seed(0)


def separable(cin, cout, stride):
    return nn.Sequential(
        nn.Conv2d(cin, cin, 3, stride=stride, padding=1, groups=cin, bias=False),
        nn.Conv2d(cin, cout, 1),
        nn.ReLU(),
    )


NETWORKS = {
    "LeNet-300-100": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10)
    ),
    "LeNet-5": lambda: nn.Sequential(
        nn.Conv2d(1, 20, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(20, 50, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, 10),
    ),
    "separable": lambda: nn.Sequential(
        nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.ReLU(),
        separable(16, 32, 1), separable(32, 64, 2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    ),
}


def trainer(name):
    """`name` is a network, with "-fused" for Adam in its fastest form: one call per step for all weights."""
    model = NETWORKS[name.removesuffix("-fused")]()
    options = {"fused": True} if name.endswith("-fused") else {}
    optimizer = torch.optim.Adam(model.parameters(), **options)
    loss = nn.CrossEntropyLoss()
    x = torch.rand(60, 1, 28, 28)
    y = torch.randint(0, 10, (60,))

    def step():
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()

    return step


steps = {}
print(torch.__version__, flush=True)
for line in sys.stdin:
    words = line.split()
    if words == ["end"]:
        break
    name, count = words[0], int(words[1])
    if name not in steps:
        steps[name] = trainer(name)
    started = time.perf_counter()
    for _ in range(count):
        steps[name]()
    print((time.perf_counter() - started) * 1000 / count, flush=True)
