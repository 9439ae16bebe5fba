"""The study's training as a user would write it: nn.Sequential, autograd and torch.optim, one network at a time."""

import torch
from torch import nn


class Shifted(nn.Module):
    def __init__(self, activation, shift):
        super().__init__()
        self.activation, self.shift = activation, shift

    def forward(self, x):
        return self.activation(x) - self.shift


def sequential(network, replica):
    """An nn.Sequential with the parameters of one replica of a stacked network."""
    layers = []
    for i in range(network.depth + 1):
        weight, bias = network.weights[i][replica], network.biases[i][replica, 0]
        linear = nn.Linear(*weight.shape, dtype=weight.dtype)
        linear.weight.data, linear.bias.data = weight.t().clone(), bias.clone()
        layers.append(linear)
        if i < network.depth:
            if network.norms:
                layers.append(_norm(network.norms[i], replica))
            module = network.activation.module(network.width).to(weight.dtype)
            for name, parameter in module.named_parameters():
                parameter.data = network.kernels[i].parameters[name][replica].clone()
            layers.append(Shifted(module, network.shift))
    return nn.Sequential(*layers)


def _norm(stacked, replica):
    norm = nn.BatchNorm1d(stacked.weight.shape[2], dtype=stacked.weight.dtype)
    for name in ("weight", "bias", "running_mean", "running_var"):
        getattr(norm, name).data.copy_(getattr(stacked, name)[replica, 0])
    return norm


def optimiser(kind, parameters, learning_rate):
    if kind == "adam":
        return torch.optim.Adam(parameters, lr=learning_rate)
    return torch.optim.SGD(parameters, lr=learning_rate, momentum=0.9 if kind == "momentum" else 0.0)


def train(model, kind, learning_rate, batches):
    """The losses of one pass over the batches."""
    rule, losses = optimiser(kind, model.parameters(), learning_rate), []
    model.train()
    for inputs, labels in batches:
        rule.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs), labels)
        loss.backward()
        rule.step()
        losses.append(loss.item())
    return losses
