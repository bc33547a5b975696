"""The refiner: a small convolutional net that looks again at each find of the crater network.

A crop (`trn.detect.crops`) answers with 9 numbers: what to add to the find's log-odds; where the
crater's centre truly is (diameters of the find, from the crop's middle); the log of its true size
over the find's; log(a / b) times cosine and sine of 2 theta in the crop's plane; and the logs of
the standard deviations of centre, size and shape.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.net import Block, Conv

ANSWERS = 9
_WIDTHS = (24, 48, 64, 96)
_BLOCKS = 3


class Refiner(nn.Module):
    """Crops (N, 1, 32, 32) to answers (N, 9, 1, 1)."""

    def __init__(self) -> None:
        super().__init__()
        fine, middle, coarse, whole = _WIDTHS
        self.stem = Conv(1, fine, 5, 2)
        self.to_middle = Conv(fine, middle, 3, 2)
        self.middle = nn.Sequential(*(Block(middle) for _ in range(_BLOCKS)))
        self.to_coarse = Conv(middle, coarse, 3, 2)
        self.whole = Conv(coarse, whole, 4, padding=0)
        self.head = nn.Conv2d(whole, ANSWERS, 1)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)
        with torch.no_grad():  # Errors are a few hundredths.
            self.head.bias[6:] = -3.0

    def forward(self, crops: Tensor) -> Tensor:
        middle = functional.relu(self.to_middle(functional.relu(self.stem(crops))))
        coarse = functional.relu(self.to_coarse(self.middle(middle)))
        out: Tensor = self.head(functional.relu(self.whole(coarse)))
        return out
