"""The value head of advantage-weighted regression."""

import torch
from torch import Tensor, nn


class ValueHead(nn.Module):
    """Predicts the reward of the next token from the last hidden state: -sigmoid(linear), in (-1, 0).

    Linear without bias, zero-initialised, so an untrained head answers -0.5 everywhere. `is_detached` stops the value
    loss from training the trunk. Its parameters are kept in float32 and saved in a file of their own.
    """

    def __init__(self, width: int, is_detached: bool = False) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 1, bias=False)
        nn.init.zeros_(self.linear.weight)
        self.is_detached = is_detached

    def forward(self, hidden: Tensor) -> Tensor:
        """[batch, seq, width] -> [batch, seq] values."""
        if self.is_detached:
            hidden = hidden.detach()
        return -torch.sigmoid(self.linear(hidden.to(self.linear.weight.dtype)).squeeze(-1).float())
