"""A model of torchvision, looked into and given other activations: python docs/examples/own_model.py"""

import torch
from torch import nn
from torchvision.models import resnet18

import activation_study

torch.manual_seed(0)
model = resnet18(num_classes=10)
batch = torch.randn(32, 3, 64, 64), torch.randint(10, (32,))

print("As it comes, with ReLU:")
print(activation_study.probe(model, batch))

activation_study.swap(model, nn.ReLU, "gelu", unit_variance_on=batch[0])
print("\nWith GELU, and layers of unit variance:")
print(activation_study.probe(model, batch))

print("\nThe line for a layer behind an activation:")
print(activation_study.initialisation_lines(["relu", "gelu", "silu", "selu"]).to_string(index=False))
