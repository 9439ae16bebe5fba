"""What the study is compared with, as a user of PyTorch would write it: one network at a time."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

LEARNING_RATE = 1e-3


def mlp(depth: int, width: int, activation: type[nn.Module], features: int = 784, classes: int = 10) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Flatten()]
    for _ in range(depth):
        layers += [nn.Linear(features, width), activation()]
        features = width
    return nn.Sequential(*layers, nn.Linear(features, classes))


class UsualLoop:
    """torchvision's dataset, a DataLoader that shuffles, Adam, an evaluation after every epoch."""

    def __init__(self, model: nn.Module, root: Path, batch: int):
        from torchvision import transforms  # two seconds, which the other loops do without
        from torchvision.datasets import FashionMNIST

        transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.2860,), (0.3530,))])
        train = FashionMNIST(root, train=True, transform=transform)
        test = FashionMNIST(root, train=False, transform=transform)
        self.train_loader = DataLoader(train, batch_size=batch, shuffle=True)
        self.test_loader = DataLoader(test, batch_size=batch)
        self.samples = len(train)
        self.model = model
        self.criterion = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)

    def epoch(self) -> tuple[float, float]:
        """Mean training loss and test accuracy."""
        self.model.train()
        total = 0.0
        for inputs, labels in self.train_loader:
            self.optimizer.zero_grad()
            loss = self.criterion(self.model(inputs), labels)
            loss.backward()
            self.optimizer.step()
            total += loss.item() * len(labels)
        self.model.eval()
        correct = 0
        with torch.no_grad():
            for inputs, labels in self.test_loader:
                correct += (self.model(inputs).argmax(1) == labels).sum().item()
        return total / self.samples, correct / len(self.test_loader.dataset)


class FairLoop:
    """The data as tensors in memory, all else as PyTorch has it by default.

    Args:
        fused: Adam's fused kernel instead of its default, a loop over the parameters.
    """

    def __init__(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        validation_x: Tensor,
        validation_y: Tensor,
        batch: int,
        *,
        fused: bool = False,
    ):
        self.x, self.y, self.validation_x, self.validation_y = x, y, validation_x, validation_y
        self.model, self.batch, self.samples = model, batch, len(y)
        self.criterion = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, fused=fused or None)

    def epoch(self) -> tuple[float, float]:
        """Mean training loss and validation accuracy."""
        self.model.train()
        total = torch.zeros((), device=self.x.device)
        for indices in torch.randperm(self.samples, device=self.x.device).split(self.batch):
            self.optimizer.zero_grad(set_to_none=True)
            loss = self.criterion(self.model(self.x[indices]), self.y[indices])
            loss.backward()
            self.optimizer.step()
            total += loss.detach() * len(indices)
        self.model.eval()
        with torch.no_grad():
            accuracy = (self.model(self.validation_x).argmax(1) == self.validation_y).float().mean()
        return (total / self.samples).item(), accuracy.item()
