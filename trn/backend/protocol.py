"""What a backend does: the few hot operations that callers never spell out themselves.

A backend may hold arrays of its own between two calls: surfaces, images and predicted views are
handles that go around, and what is made of an image is an image again. Only what a caller weighs
itself comes back as NumPy arrays: hits, peaks, sums, and what it asks for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trn.backend.terrain_cut import GnomonicGrid, RasterPart
from trn.camera import Camera

HIT = 0
SKY = 1
OUTSIDE = 2
HOLE = 3


@dataclass(frozen=True, eq=False)
class Surface:
    """Terrain on a gnomonic grid, as every backend takes it (see trn.maps.tile for the grid).

    x0, y0, step: gnomonic coordinates of node [0, 0] and the distance of two nodes.
    heights_m: float32 (rows, columns), metres above a sphere of radius_m.
    hole: bool (rows, columns), True where there is no data.
    maxima: max-height pyramid over cells, finest first.
    """

    x0: float
    y0: float
    step: float
    radius_m: float
    heights_m: NDArray[np.float32]
    hole: NDArray[np.bool_]
    maxima: tuple[NDArray[np.float32], ...]


@dataclass(frozen=True, eq=False)
class TerrainCut:
    """Terrain to be cut from a map: read and sampled only when one of the functions is called.

    raster: what to sample at the nodes, Catmull-Rom as trn.maps.sampling does; None where no one
    window has heights for all of them. A node that turns out to have none makes it useless, too.
    on_host: the surface as the host cuts it, holes filled. Both raise InputError where the map
    cannot be read.
    """

    grid: GnomonicGrid
    raster: Callable[[], RasterPart | None]
    on_host: Callable[[], Surface]


@dataclass(frozen=True, eq=False)
class Hits:
    """Where rays meet the terrain.

    range_m: float64 (N,), metres along the unit ray; NaN where it does not hit.
    column, row: float64 (N,), fractional node coordinates of the hit.
    state: uint8 (N,), HIT, SKY (passes the limb), OUTSIDE (leaves the grid), HOLE (no data).
    """

    range_m: NDArray[np.float64]
    column: NDArray[np.float64]
    row: NDArray[np.float64]
    state: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Searches:
    """Templates to look for, each in a window of its own.

    size_px: side of the square templates.
    template_x, template_y: int32 (N,), top-left pixel of each template in the predicted view.
    window_x, window_y: int32 (N,), top-left placement tried in the image.
    window_columns, window_rows: int32 (N,), placements tried along each axis.
    """

    size_px: int
    template_x: NDArray[np.int32]
    template_y: NDArray[np.int32]
    window_x: NDArray[np.int32]
    window_y: NDArray[np.int32]
    window_columns: NDArray[np.int32]
    window_rows: NDArray[np.int32]

    def __len__(self) -> int:
        return int(self.template_x.size)


@dataclass(frozen=True, eq=False)
class Peaks:
    """The best placement of each template.

    x, y: float64 (N,), sub-pixel placement of the template's top-left pixel in the image.
    score: float64 (N,), zero-mean NCC at the peak, in [-1, 1].
    second_score: float64 (N,), highest NCC outside the main peak's neighbourhood.
    curvature: float64 (N, 2, 2), minus the Hessian of the NCC at the peak, per squared pixel.
    inside: bool (N,), False where the peak stands on the window's border (no sub-pixel fit).
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    score: NDArray[np.float64]
    second_score: NDArray[np.float64]
    curvature: NDArray[np.float64]
    inside: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class CraterPeaks:
    """Places that look like a bowl lit from one side, in order of radius, row and column.

    x, y, radius_px: float64 (N,), pixels of the image. score: float64 (N,), resemblance to a bowl,
    1 the same. sun_px: float64 (N,), angle that the light comes from, from +x towards +y: the one
    given, or the one under which the place looks most like a bowl.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    radius_px: NDArray[np.float64]
    score: NDArray[np.float64]
    sun_px: NDArray[np.float64]

    def __len__(self) -> int:
        return int(self.x.size)


@dataclass(frozen=True)
class PixelGrid:
    """Pixels of an image at equal distances, row by row: cell k is in row k // columns."""

    first_row: int
    first_column: int
    stride: int
    rows: int
    columns: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns of an image."""
        return (
            slice(self.first_row, self.first_row + self.stride * self.rows, self.stride),
            slice(self.first_column, self.first_column + self.stride * self.columns, self.stride),
        )

    def places(self, cells: NDArray[np.int_]) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
        """Columns and rows of cells, each of their shape."""
        down, along = np.divmod(cells, self.columns)
        return self.first_column + self.stride * along, self.first_row + self.stride * down

    def rays(self, camera: Camera) -> NDArray[np.float64]:
        """Unit rays in camera axes of all cells, float64 (rows * columns, 3), read-only.

        NaN where the lens sees nothing.
        """
        columns, rows = self.places(np.arange(self.rows * self.columns))
        rays = camera.pixels_to_rays(np.stack([columns, rows], axis=-1).astype(np.float64))
        rays.setflags(write=False)
        return rays


@dataclass(frozen=True)
class Shares:
    """Of a view's frame, what sees the sky, and terrain without data; of terrain, what is lit."""

    sky: float
    no_data: float
    lit: float


@dataclass(frozen=True)
class FrameStatistics:
    """What tells whether a frame can show terrain at all.

    black, saturated: shares of its pixels. variance: of the pixels, not finite where one is not.
    neighbour: covariance of neighbours, the mean of that along rows and that along columns; NaN for
    a single row or column. slopes: means of the products xx, yy, xy of slopes, on some one scale,
    of a small and smoothed copy of the frame.
    """

    black: float
    saturated: float
    variance: float
    neighbour: float
    slopes: tuple[float, float, float]


class PredictedView(Protocol):
    """What the camera should see from a pose."""

    @property
    def sure(self) -> Any:
        """Image handle: radiance factor, NaN where it cannot be predicted.

        That is sky, no data, off the map, the edge of a shadow, behind a ridge.
        """
        ...

    @property
    def shaded(self) -> Any:
        """Image handle: the same with edges of shadows and what lies behind ridges as rendered."""
        ...

    @property
    def shares(self) -> Shares:
        """Shares of the frame."""
        ...

    def ranges_m(self, grid: PixelGrid) -> NDArray[np.float64]:
        """Distances along the rays of a grid's cells, (rows * columns,); NaN without a hit."""
        ...


@dataclass(frozen=True, eq=False)
class Alignment:
    """Displacement of the image against the predicted view, as normal equations a block of pixels.

    grid: the middles of all blocks; cells: int (N,), those that count. information: (N, 2, 2),
    inverse squared pixels; pull: (N, 2), inverse pixels: information times displacement, image
    minus prediction. Noise is that of the residual around each block, so that inverse sums of
    information are covariances.
    """

    grid: PixelGrid
    cells: NDArray[np.int_]
    information: NDArray[np.float64]
    pull: NDArray[np.float64]


class Backend(Protocol):
    """The operations a backend offers. Handles (`Any`) are the backend's own."""

    name: str

    def load_surface(self, surface: Surface) -> Any:
        """Take a surface over; returns the handle that the other calls ask for."""
        ...

    def cut_surface(self, cut: TerrainCut) -> Any:
        """Take a surface over that is still to be cut from a map; as load_surface.

        Raises InputError where the map cannot be read, here and wherever the surface is used.
        """
        ...

    def load_image(self, image: NDArray[Any]) -> Any:
        """Take an image (height, width), 8- or 16-bit or float, over; returns its handle.

        Every handle of an image has its `shape`.
        """
        ...

    def pixels(self, image: Any) -> NDArray[np.float32]:
        """The pixels of an image, float32 (height, width), not to be written to."""
        ...

    def crop(self, image: Any, first_row: int, first_column: int, height: int, width: int) -> Any:
        """The part of an image that begins at a row and a column."""
        ...

    def statistics(self, image: Any, black: float, saturated: float) -> FrameStatistics:
        """What tells whether a frame can show terrain at all.

        black: brightness of the brightest pixel that counts as black; saturated: of the darkest
        that counts as saturated.
        """
        ...

    def shrink(self, image: Any, width: int, height: int) -> Any:
        """An image of another size, averaged over the area of each of its pixels."""
        ...

    def negative(self, image: Any) -> Any:
        """An image with the signs of all pixels turned round."""
        ...

    def ray_cast(
        self, surface: Any, origin_m: NDArray[np.float64], rays: NDArray[np.float64]
    ) -> Hits:
        """First hits of unit rays (N, 3) from one origin (3,) or one each (N, 3); surface axes."""
        ...

    def ray_cast_view(
        self,
        surface: Any,
        origin_m: NDArray[np.float64],
        camera: Camera,
        to_surface: NDArray[np.float64],
    ) -> Hits:
        """First hits of the rays of all pixels' centres, row by row, of a camera at origin_m.

        to_surface: rotation from camera to surface axes, (3, 3). SKY where the lens sees nothing.
        """
        ...

    def shadow(self, surface: Any, sun: NDArray[np.float64]) -> Any:
        """Lit fraction of every node, 1 in sunlight and 0 in cast or attached shadow.

        For `shade`, which takes it as it is; np.asarray gives it as float32 (rows, columns).
        """
        ...

    def shade(
        self,
        surface: Any,
        lit: Any,
        hits: Hits,
        origin_m: NDArray[np.float64],
        sun: NDArray[np.float64],
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Lunar-Lambert radiance factor and lit fraction at hits; NaN where there is no hit."""
        ...

    def predict_view(
        self,
        surface: Any,
        lit: Any,
        origin_m: NDArray[np.float64],
        camera: Camera,
        to_surface: NDArray[np.float64],
        sun: NDArray[np.float64],
    ) -> PredictedView:
        """What a camera at origin_m sees of lit terrain: `ray_cast_view`, `shade` and a mask."""
        ...

    def contrast(self, image: Any) -> Any:
        """An image minus its local mean, over its local deviation.

        NaN, and what else is not finite, is left out of every average and becomes NaN.
        """
        ...

    def information(self, image: Any, size_px: int, grid: PixelGrid) -> NDArray[np.float32]:
        """How well templates in the middle of a grid's cells can be placed, (rows * columns,).

        size_px: their side, odd; all lie inside the image. The smaller eigenvalue of the gradient
        tensor summed over a template (Shi and Tomasi 1994); 0 where too few of its pixels are
        known, or its middle is not.
        """
        ...

    def align(self, image: Any, predicted: Any) -> Alignment | None:
        """Normal equations of the displacement between an image and its predicted view.

        predicted: of the image's size, linear radiance up to a gain, as the image; NaN where
        nothing is known. Both must be aligned to about half a wavelength of their texture. None
        where too little is known to tell their coherence.
        """
        ...

    def resemblance(self, image: Any, predicted: Any) -> float:
        """Zero-mean NCC of an image and a predicted view without their large scales.

        Of what is known of the prediction, which is NaN elsewhere; 0 where hardly anything is.
        """
        ...

    def correlate(self, image: Any, predicted: Any, searches: Searches) -> Peaks:
        """Search every template of the predicted view in its window of the image."""
        ...

    def crater_response(
        self, image: Any, radii_px: NDArray[np.float64], sun_px: float | None, least: float
    ) -> CraterPeaks:
        """Peaks over place and radius (ascending) of the resemblance to a bowl, of least or more.

        sun_px: angle in the image that the light comes from; None for whichever fits each place.
        Radii too large for the image (6 radii and more in its shorter side are needed) give none,
        nor does an image that is not all finite.
        """
        ...

    def warp(self, image: Any, camera: Camera, target: Camera) -> NDArray[np.float32]:
        """An image of `camera` as `target`, a camera without distortion, would have taken it.

        float32 (target.height, target.width), bilinear; NaN where the image does not reach. Raises
        ValueError for an image that is not of the camera's size and for a distorted target.
        """
        ...
