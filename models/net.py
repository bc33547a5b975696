"""The crater network: a small U-shaped convolutional net without normalisation layers.

Each cell of 4 x 4 pixels answers for four places 2 px apart, 6 numbers each: the log-odds that a
crater's centre lies there, the centre's offset (pixels), the log of sqrt(a b) over 8 px, and
log(a / b) times cosine and sine of 2 theta (smooth where the axes are equal). It looks for craters
of 8 to about 60 px; larger ones are found in the image made smaller.

Weights are standardised as they are used (Brock et al. 2021, NFNets): batch normalisation costs as
much as the convolutions on a CPU, and is nothing at inference.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from trn.errors import InputError

STRIDE = 4
SUBCELLS = 2
FIELDS = 6
BLOCKS = 3
"""Blocks at the middle and the coarse level."""

_START_SPREAD = 0.1
_RELU_GAIN = math.sqrt(2.0 / (1.0 - 1.0 / math.pi))


class Conv(nn.Conv2d):
    """A convolution whose filters have zero mean and a learned gain."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        gain: float = 1.0,
        padding: int | None = None,
    ):
        super().__init__(
            inputs, outputs, kernel, stride, kernel // 2 if padding is None else padding
        )
        self.gain = nn.Parameter(torch.full((outputs, 1, 1, 1), gain))
        # No scale of theirs counts, but Adam's steps are as large as the rate: from filters of
        # unit size they would turn ten times as slowly.
        nn.init.normal_(self.weight, std=_START_SPREAD)
        nn.init.zeros_(self.bias)

    def standardised(self) -> Tensor:
        """The filters as they are used."""
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), keepdim=True, correction=0)
        fan = self.weight[0].numel()
        return (self.weight - mean) * torch.rsqrt(variance * fan + 1e-4) * (self.gain * _RELU_GAIN)

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, self.standardised(), self.bias, self.stride, self.padding)


class Block(nn.Module):
    """Two convolutions beside an identity."""

    def __init__(self, width: int):
        super().__init__()
        self.first = Conv(width, width, 3)
        self.second = Conv(width, width, 3, gain=0.3)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.second(functional.relu(self.first(x))))


class CraterNet(nn.Module):
    """Image (N, 1, H, W), zero mean and unit variance, to (N, 24, H / 4, W / 4).

    H and W are multiples of 16. Channel (2 i + j) * 6 + k is field k of the place i rows and j
    columns (of 2 px) into the cell.
    """

    def __init__(self, widths: tuple[int, int, int] = (32, 64, 96)):
        super().__init__()
        fine, middle, coarse = widths
        self.stem = Conv(1, fine, 7, STRIDE)
        self.fine = Block(fine)
        self.to_middle = Conv(fine, middle, 3, 2)
        self.middle = nn.Sequential(*(Block(middle) for _ in range(BLOCKS)))
        self.to_coarse = Conv(middle, coarse, 3, 2)
        self.coarse = nn.Sequential(*(Block(coarse) for _ in range(BLOCKS)))
        self.up_middle = Conv(coarse, middle, 1)
        self.mix_middle = Conv(middle, middle, 3)
        self.up_fine = Conv(middle, fine, 1)
        self.mix_fine = Conv(fine, middle, 3)
        self.head = nn.Conv2d(middle, FIELDS * SUBCELLS**2, 1)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)
        with torch.no_grad():  # A centre is rare: one place in a hundred.
            self.head.bias[::FIELDS] = -4.6

    def forward(self, image: Tensor) -> Tensor:
        fine = self.fine(functional.relu(self.stem(image)))
        middle = self.middle(functional.relu(self.to_middle(fine)))
        coarse = self.coarse(functional.relu(self.to_coarse(middle)))
        middle = functional.relu(
            middle + functional.interpolate(self.up_middle(coarse), scale_factor=2.0)
        )
        middle = functional.relu(self.mix_middle(middle))
        fine = functional.relu(
            fine + functional.interpolate(self.up_fine(middle), scale_factor=2.0)
        )
        out: Tensor = self.head(functional.relu(self.mix_fine(fine)))
        return out


def exported(path: Path) -> dict[str, NDArray[np.float32]]:
    """Tensors of an exported network by name."""
    import onnx  # To go on from one alone.

    graph = onnx.load(str(path)).graph
    return {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}


def take_up(net: nn.Module, tensors: Mapping[str, NDArray[np.float32]]) -> None:
    """Put the filters of an exported network (`plain`) into a net, in place.

    Blocks that the exported one has not are made to pass on what they are given, so that the net
    answers as it did. Raises InputError for tensors that this net has no place for.
    """
    left = set(tensors)
    with torch.no_grad():
        for name, part in net.named_modules():
            if not isinstance(part, nn.Conv2d):
                continue
            if f"{name}.weight" not in tensors:
                if not name.endswith("second"):
                    continue
                assert isinstance(part, Conv)
                part.gain.zero_()
                continue
            filters = torch.from_numpy(tensors[f"{name}.weight"].copy())
            bias = tensors[f"{name}.bias"]
            if filters.shape != part.weight.shape:
                raise InputError(f"{name}.weight: {tuple(filters.shape)} is of another network")
            left -= {f"{name}.weight", f"{name}.bias"}
            assert part.bias is not None
            part.bias.copy_(torch.from_numpy(bias.copy()))
            if isinstance(part, Conv):
                fan = filters[0].numel()
                spread = filters.std(dim=(1, 2, 3), keepdim=True, correction=0).clamp(min=1e-8)
                part.weight.copy_(_START_SPREAD * filters / spread)
                shrunk = math.sqrt(_START_SPREAD**2 * fan / (_START_SPREAD**2 * fan + 1e-4))
                part.gain.copy_(spread * math.sqrt(fan) / (_RELU_GAIN * shrunk))
            else:
                part.weight.copy_(filters)
    if left:
        raise InputError(f"{sorted(left)[0]}: this network has no such tensor")


def plain(net: nn.Module) -> nn.Module:
    """A copy whose convolutions hold their standardised filters, for export."""
    copied = copy.deepcopy(net).eval()
    for parent in list(copied.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Conv):
                simple = nn.Conv2d(
                    child.in_channels, child.out_channels, child.kernel_size,  # type: ignore[arg-type]
                    child.stride, child.padding,  # type: ignore[arg-type]
                )  # fmt: skip
                with torch.no_grad():
                    simple.weight.copy_(child.standardised())
                    assert child.bias is not None and simple.bias is not None
                    simple.bias.copy_(child.bias)
                setattr(parent, name, simple)
    return copied
