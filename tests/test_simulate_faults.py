"""Faults change what is reported, where and as far as they say, and nothing else."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from trn.errors import InputError
from trn.simulate.faults import (
    FAULTS,
    MAX_TEXT,
    ORDER,
    AltimeterRecord,
    Fault,
    altimeter_with_faults,
    attitudes_with_faults,
    camera_time_with_faults,
    fault_table,
    fault_text,
    image_with_faults,
    parse_fault,
    specific_force_with_faults,
)

SEED = 7
TIME_S = np.arange(400) * 0.25
ONSET_S, DURATION_S = 30.0, 40.0
INSIDE = (TIME_S >= ONSET_S) & (TIME_S < ONSET_S + DURATION_S)

ALTIMETER = [name for name in FAULTS if name.startswith("lrf-")]
CAMERA = [name for name in FAULTS if name.startswith("camera-")]
REPLAYED = ["state-position-jump", "map-shift"]


def frozen(array: np.ndarray) -> np.ndarray:
    """The array, made read-only."""
    array.setflags(write=False)
    return array


def altimeter() -> AltimeterRecord:
    """A descent from 5000 m to about 600 m; one reading in fifty is invalid and not a number."""
    range_m = 5000.0 - 44.0 * TIME_S + 20.0 * np.sin(TIME_S)
    valid = np.arange(len(TIME_S)) % 50 != 11
    range_m[~valid] = np.nan
    return AltimeterRecord(frozen(TIME_S.copy()), frozen(range_m), frozen(valid))


def attitudes() -> np.ndarray:
    """Turns through half a revolution within the window."""
    turns = np.column_stack([0.03 * TIME_S, 0.04 * TIME_S, np.full(len(TIME_S), 0.3)])
    return frozen(Rotation.from_rotvec(turns).as_quat(canonical=True))


def image() -> np.ndarray:
    counts = np.random.default_rng(3).integers(20, 200, (40, 50))
    return frozen(counts.astype(np.uint8))


def some(name: str, **fields: float) -> Fault:
    """A fault of the default size in the tests' window, or with other fields."""
    values = {"onset_s": ONSET_S, "size": FAULTS[name].default_size, "duration_s": DURATION_S}
    return Fault(name, **{**values, **fields})


def reported(faults: list[Fault], seed: int = SEED) -> dict[str, np.ndarray]:
    """All that is reported of one descent, each with a row for each time."""
    record = altimeter_with_faults(altimeter(), faults, seed)
    force = frozen(np.random.default_rng(1).normal(size=(len(TIME_S), 3)))
    frames = [image_with_faults(image(), t, 255, faults, seed) for t in TIME_S[::20]]
    return {
        "range": record.range_m,
        "valid": record.valid,
        "force": specific_force_with_faults(TIME_S, force, faults, seed),
        "attitude": attitudes_with_faults(TIME_S, attitudes(), faults, seed),
        "image": np.repeat(np.array(frames), 20, axis=0),
        "camera time": camera_time_with_faults(frozen(TIME_S.copy()), faults),
    }


def differing(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Where two reports differ: a mask over time for each thing that does."""
    masks = {}
    for name, values in first.items():
        same = (values == second[name]) | ((values != values) & (second[name] != second[name]))
        mask = ~same.reshape(len(TIME_S), -1).all(axis=1)
        if mask.any():
            masks[name] = mask
    return masks


TOUCHED = {
    **{name: {"range"} for name in ALTIMETER},
    "lrf-stuck": {"range", "valid"},
    "lrf-dropout": {"valid"},
    "lrf-late-acquisition": {"valid"},
    "lrf-latency": {"range", "valid"},
    **{name: {"image"} for name in CAMERA},
    "imu-bias-step": {"force"},
    "star-tracker-offset": {"attitude"},
    "clock-offset": {"camera time"},
    **{name: set() for name in REPLAYED},
}


def test_there_are_sixteen_faults_each_with_a_place_in_the_order() -> None:
    assert len(FAULTS) == 16
    assert sorted(ORDER) == sorted(FAULTS) == sorted(TOUCHED)


@pytest.mark.parametrize("name", FAULTS)
def test_defaults_are_within_bounds_and_summaries_are_sentences(name: str) -> None:
    kind = FAULTS[name]
    assert kind.name == name
    assert kind.least_size <= kind.default_size <= kind.most_size
    assert kind.summary[0].isupper() and kind.summary.endswith(".")
    assert parse_fault(name) == Fault(name, None, kind.default_size, kind.default_duration_s)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_changes_its_own_sensor_inside_its_window_only(name: str) -> None:
    changes = differing(reported([]), reported([some(name)]))
    assert set(changes) == TOUCHED[name]
    for mask in changes.values():
        assert not mask[~INSIDE].any()


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_no_duration_changes_nothing(name: str) -> None:
    assert not differing(reported([]), reported([some(name, duration_s=0.0)]))


@pytest.mark.parametrize("name", FAULTS)
def test_the_same_seed_reports_the_same(name: str) -> None:
    fault = some(name)
    assert not differing(reported([fault]), reported([fault]))
    assert fault_table([fault], SEED) == fault_table([fault], SEED)


@pytest.mark.parametrize("name", ["lrf-noise", "lrf-spikes", "camera-smear", "star-tracker-offset"])
def test_another_seed_draws_anew(name: str) -> None:
    fault = some(name)
    assert differing(reported([fault], 1), reported([fault], 2))


def test_the_order_of_faults_does_not_matter() -> None:
    faults = [some(name) for name in FAULTS]
    faults += [some("lrf-noise", size=3.0), some("star-tracker-offset", onset_s=50.0, size=2.0)]
    faults += [some("lrf-stuck", onset_s=20.0), some("lrf-scale", onset_s=35.0, size=0.01)]
    assert not differing(reported(faults), reported(faults[::-1]))
    assert fault_table(faults, SEED) == fault_table(faults[::-1], SEED)


@pytest.mark.parametrize("other", FAULTS)
def test_adding_a_fault_does_not_alter_the_draws_of_another(other: str) -> None:
    """A fault in its own window, after the first one's, leaves what the first one did as it was."""
    later = some(other, onset_s=80.0, duration_s=10.0)
    after = (TIME_S >= 80.0) & (TIME_S < 90.0)
    for name in ("lrf-noise", "lrf-spikes", "camera-smear", "imu-bias-step"):
        changes = differing(reported([some(name)]), reported([some(name), later]))
        for mask in changes.values():
            assert not mask[~after].any()


def test_extra_noise_is_the_same_under_a_bias_and_a_scale() -> None:
    noise, bias = some("lrf-noise"), some("lrf-bias")
    alone = reported([noise])["range"] - reported([])["range"]
    beside = reported([bias, noise])["range"] - reported([bias])["range"]
    assert np.nanmax(np.abs(alone - beside)) < 1e-9


@pytest.mark.parametrize("pair", list(itertools.combinations(ALTIMETER, 2)))
def test_altimeter_faults_combine_to_a_possible_record(pair: tuple[str, str]) -> None:
    record = altimeter_with_faults(altimeter(), [some(name) for name in pair], SEED)
    assert (record.range_m[record.valid] >= 0.0).all()


def test_a_stuck_altimeter_repeats_the_last_valid_range_before_the_onset() -> None:
    truth = altimeter()
    stuck = altimeter_with_faults(truth, [some("lrf-stuck", onset_s=3.0)], SEED)
    window = (TIME_S >= 3.0) & (TIME_S < 43.0)
    assert not truth.valid[11]
    assert (stuck.range_m[window] == truth.range_m[10]).all()
    assert stuck.valid[window].all()


def test_an_altimeter_stuck_from_the_start_repeats_its_first_range() -> None:
    truth = altimeter()
    stuck = altimeter_with_faults(truth, [some("lrf-stuck", onset_s=0.0)], SEED)
    assert (stuck.range_m[TIME_S < DURATION_S] == truth.range_m[0]).all()


def test_an_altimeter_that_never_saw_the_ground_has_nothing_to_repeat() -> None:
    blind = replace(altimeter(), valid=np.zeros(len(TIME_S), bool))
    assert not altimeter_with_faults(blind, [some("lrf-stuck")], SEED).valid.any()


@given(bias=st.floats(-100.0, 100.0), scale=st.floats(-0.5, 1.0))
@settings(deadline=None, max_examples=30)
def test_scale_acts_before_bias(bias: float, scale: float) -> None:
    truth = altimeter()
    faults = [some("lrf-bias", size=bias), some("lrf-scale", size=scale)]
    record = altimeter_with_faults(truth, faults, SEED)
    expected = (1.0 + scale) * truth.range_m + bias
    seen = INSIDE & truth.valid
    assert record.range_m[seen] == pytest.approx(expected[seen])


def test_extra_noise_is_of_the_stated_size() -> None:
    count = 20_000
    record = AltimeterRecord(np.arange(count) * 0.1, np.full(count, 1e4), np.ones(count, bool))
    noisy = altimeter_with_faults(record, [some("lrf-noise", onset_s=0.0, duration_s=1e9)], SEED)
    errors = noisy.range_m - record.range_m
    assert errors.std() == pytest.approx(FAULTS["lrf-noise"].default_size, rel=0.02)
    assert abs(errors.mean()) < 0.5
    assert abs(np.corrcoef(errors[1:], errors[:-1])[0, 1]) < 0.03


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_dropout_loses_the_stated_share_and_leaves_the_ranges(share: float) -> None:
    count = 20_000
    record = AltimeterRecord(np.arange(count) * 0.1, np.full(count, 1e4), np.ones(count, bool))
    fault = some("lrf-dropout", onset_s=0.0, size=share, duration_s=1e9)
    lossy = altimeter_with_faults(record, [fault], SEED)
    assert np.mean(~lossy.valid) == pytest.approx(share, abs=0.01)
    assert np.array_equal(lossy.range_m, record.range_m)


def test_late_acquisition_begins_with_the_descent_and_ends_below_the_range() -> None:
    truth = altimeter()
    fault = parse_fault("lrf-late-acquisition:size=3000").at(ONSET_S)
    record = altimeter_with_faults(truth, [fault], SEED)
    first = np.flatnonzero(truth.valid & (truth.range_m < 3000.0))[0]
    assert fault.onset_s == 0.0
    assert not record.valid[:first].any()
    assert np.array_equal(record.valid[first:], truth.valid[first:])


def test_late_acquisition_goes_by_the_range_that_is_reported() -> None:
    fault = some("lrf-late-acquisition", onset_s=0.0, size=3000.0, duration_s=float("inf"))
    bias = some("lrf-bias", onset_s=0.0, size=500.0, duration_s=float("inf"))
    record = altimeter_with_faults(altimeter(), [fault, bias], SEED)
    assert 2950.0 < record.range_m[record.valid][0] < 3000.0


def test_spikes_hit_one_sample_in_twenty_on_both_sides_and_never_below_zero() -> None:
    count = 20_000
    record = AltimeterRecord(np.arange(count) * 0.1, np.full(count, 300.0), np.ones(count, bool))
    spiky = altimeter_with_faults(record, [some("lrf-spikes", onset_s=0.0, duration_s=1e9)], SEED)
    values, counts = np.unique(spiky.range_m, return_counts=True)
    assert values.tolist() == [0.0, 300.0, 800.0]
    assert counts[[0, 2]] / count == pytest.approx(0.025, abs=0.005)


@pytest.mark.parametrize("latency_s", [0.25, 0.6, 3.0])
def test_late_ranges_are_those_of_an_earlier_time(latency_s: float) -> None:
    straight = AltimeterRecord(TIME_S, 5000.0 - 40.0 * TIME_S, np.ones(len(TIME_S), bool))
    late = altimeter_with_faults(straight, [some("lrf-latency", size=latency_s)], SEED)
    expected = 5000.0 - 40.0 * (TIME_S - latency_s * INSIDE)
    assert late.range_m == pytest.approx(expected)
    assert late.valid.all()


@pytest.mark.parametrize(("latency_s", "invalid"), [(0.3, {0, 1, 12, 13}), (0.25, {0, 12})])
def test_late_ranges_are_invalid_where_the_older_reading_is(
    latency_s: float, invalid: set[int]
) -> None:
    """Reading 11 is invalid: one late by a whole step hides one reading, else two."""
    fault = some("lrf-latency", onset_s=0.0, size=latency_s)
    late = altimeter_with_faults(altimeter(), [fault], SEED)
    assert set(np.flatnonzero(~late.valid[:40])) == invalid


@pytest.mark.parametrize("start_s", [0.0, 0.1, 2.0, 1000.1])
def test_rounding_of_time_stamps_costs_no_late_reading(start_s: float) -> None:
    """A delay of three whole steps moves every reading, good or bad, by three."""
    time_s = start_s + np.arange(100) * 0.1
    valid = np.arange(100) % 7 != 4
    record = AltimeterRecord(time_s, np.where(valid, 1000.0 - time_s, np.nan), valid)
    fault = some("lrf-latency", onset_s=0.0, size=0.3, duration_s=1e9)
    late = altimeter_with_faults(record, [fault], SEED)
    assert late.valid.tolist() == [False] * 3 + valid[:-3].tolist()


@pytest.mark.parametrize("name", ALTIMETER)
def test_an_empty_record_stays_empty(name: str) -> None:
    empty = AltimeterRecord(np.zeros(0), np.zeros(0), np.zeros(0, bool))
    assert altimeter_with_faults(empty, [some(name)], SEED).range_m.size == 0


def test_a_blackout_keeps_the_stated_share_of_the_signal() -> None:
    dark = image_with_faults(image(), ONSET_S, 255, [some("camera-blackout", size=0.1)], SEED)
    assert np.array_equal(dark, np.round(0.1 * image()))


@pytest.mark.parametrize(("kind", "full_scale"), [(np.uint8, 255), (np.uint16, 4095)])
def test_overexposure_clips_at_full_scale(kind: type, full_scale: int) -> None:
    frame = np.full((4, 5), full_scale // 4, kind)
    frame[0] = 3
    bright = image_with_faults(frame, ONSET_S, full_scale, [some("camera-overexposed")], SEED)
    assert bright.dtype == kind
    assert (bright[0] == 24).all() and (bright[1:] == full_scale).all()


@pytest.mark.parametrize("seed", range(5))
def test_smear_draws_a_point_out_to_a_line_of_the_stated_length(seed: int) -> None:
    frame = np.zeros((101, 101), np.uint16)
    frame[50, 50] = 60_000
    smeared = image_with_faults(frame, ONSET_S, 65_535, [some("camera-smear", size=30.0)], seed)
    weight = smeared / smeared.sum()
    row, column = np.mgrid[-50:51, -50:51]
    spread = np.cov(np.stack([column.ravel(), row.ravel()]), aweights=weight.ravel(), bias=True)
    across, along = np.sqrt(np.linalg.eigvalsh(spread))
    assert float(smeared.sum()) == pytest.approx(60_000, rel=0.01)
    assert along == pytest.approx(30.0 / np.sqrt(12.0), rel=0.02)
    assert across < 0.6


def test_smear_keeps_flat_ground_flat_and_no_smear_changes_nothing() -> None:
    flat = np.full((30, 40), 77, np.uint8)
    assert (image_with_faults(flat, ONSET_S, 255, [some("camera-smear")], SEED) == 77).all()
    none = some("camera-smear", size=0.0)
    assert np.array_equal(image_with_faults(image(), ONSET_S, 255, [none], SEED), image())


def test_a_bias_step_is_on_one_axis() -> None:
    change = reported([some("imu-bias-step", size=-0.4)])["force"] - reported([])["force"]
    assert np.count_nonzero(np.abs(change).max(axis=0)) == 1
    assert change.sum(axis=1)[INSIDE] == pytest.approx(-0.4)


def test_a_star_tracker_offset_turns_about_one_vehicle_axis() -> None:
    quaternions = reported([some("star-tracker-offset", size=1.5)])["attitude"][INSIDE]
    turns = Rotation.from_quat(quaternions) * Rotation.from_quat(attitudes()[INSIDE]).inv()
    vectors = turns.as_rotvec(degrees=True)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.5)
    assert np.ptp(vectors, axis=0).max() < 1e-9
    assert (quaternions[:, 3] >= 0.0).all()


def test_a_clock_offset_is_added_to_the_stamps() -> None:
    stamps = camera_time_with_faults(TIME_S, [some("clock-offset", size=-0.3)])
    assert stamps - TIME_S == pytest.approx(np.where(INSIDE, -0.3, 0.0))


@pytest.mark.parametrize("name", FAULTS)
def test_the_table_records_every_fault(name: str) -> None:
    fault = some(name, duration_s=float("inf"))
    (row,) = fault_table([fault], SEED)
    direction = row.pop("direction_east_north", None)
    assert row == {
        "name": name,
        "onset_s": ONSET_S,
        "size": fault.size,
        "duration_s": float("inf"),
        "unit": FAULTS[name].unit,
    }
    assert (direction is not None) == (name in REPLAYED)
    if direction is not None:
        assert np.hypot(*direction) == pytest.approx(1.0)


def test_the_map_and_the_state_move_in_directions_of_their_own() -> None:
    rows = fault_table([some(name) for name in REPLAYED], SEED)
    assert rows[0]["direction_east_north"] != rows[1]["direction_east_north"]


@pytest.mark.parametrize("name", FAULTS)
def test_an_onset_of_ones_own_is_kept_and_a_missing_one_is_set(name: str) -> None:
    assert some(name).at(99.0) == some(name)
    assert parse_fault(name).at(99.0).onset_s == (0.0 if name == "lrf-late-acquisition" else 99.0)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_without_an_onset_cannot_be_used(name: str) -> None:
    with pytest.raises(InputError, match=f"{name}: has no onset"):
        fault_table([parse_fault(name)], SEED)


def test_all_fields_are_read_in_any_order() -> None:
    expected = Fault("lrf-bias", 120.0, 50.0, 30.0)
    for fields in itertools.permutations(["onset=120", "size=50", "duration=30"]):
        assert parse_fault(f"lrf-bias:{','.join(fields)}") == expected
    assert parse_fault(" lrf-bias : size = 5 , duration = inf ").duration_s == float("inf")
    assert fault_text(expected) == "lrf-bias:onset=120,size=50,duration=30"


def test_equal_faults_have_the_same_text() -> None:
    assert fault_text(parse_fault("lrf-bias:size=-0")) == fault_text(parse_fault("lrf-bias:size=0"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "unknown fault ''; choose one of lrf-stuck, lrf-bias"),
        ("lrf", "unknown fault 'lrf'"),
        ("lrf-bias:", "unknown field ''"),
        ("lrf-bias:50", "unknown field '50'"),
        ("lrf-bias:start=3", "unknown field 'start'"),
        ("lrf-bias:size=3,size=3", "size is given twice"),
        ("lrf-bias:size=", "size must be a number"),
        ("lrf-bias:size=ten", "size must be a number"),
        ("lrf-bias:size=nan", "size must be -10000 to 10000"),
        ("lrf-bias:size=inf", "size must be -10000 to 10000"),
        ("lrf-stuck:size=1", "size must be 0 to 0"),
        ("lrf-dropout:size=1.5", "size must be 0 to 1"),
        ("lrf-bias:onset=-1", "onset must be zero or more"),
        ("lrf-bias:onset=nan", "onset must be zero or more"),
        ("lrf-bias:onset=inf", "onset must be zero or more"),
        ("lrf-bias:duration=-1", "duration must be zero or more"),
        ("lrf-bias:duration=nan", "duration must be zero or more"),
        ("lrf-bias:size=" + "1" * MAX_TEXT, "write at most 200"),
        ("no\nline" * 20, "unknown fault"),
    ],
)
def test_bad_text_is_refused_in_one_line_that_names_the_field(text: str, message: str) -> None:
    with pytest.raises(InputError) as refusal:
        parse_fault(text)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


FIELD = st.tuples(
    st.sampled_from(["onset", "size", "duration", "", "gain"]),
    st.floats().map(repr) | st.integers().map(str) | st.text(max_size=5),
).map("=".join)
NEARLY_FAULTS = st.builds(
    lambda name, fields: f"{name}:{','.join(fields)}",
    st.sampled_from(sorted(FAULTS)),
    st.lists(FIELD, max_size=3),
)


@given(text=st.text() | NEARLY_FAULTS | st.sampled_from(sorted(FAULTS)))
@settings(deadline=None)
def test_any_text_is_a_fault_that_round_trips_or_is_refused_in_one_line(text: str) -> None:
    try:
        fault = parse_fault(text)
    except InputError as refusal:
        assert len(str(refusal).splitlines()) == 1
    else:
        assert parse_fault(fault_text(fault)) == fault


@st.composite
def possible_faults(draw: st.DrawFn) -> Fault:
    """Any fault within its kind's bounds."""
    kind = FAULTS[draw(st.sampled_from(sorted(FAULTS)))]
    return Fault(
        kind.name,
        draw(st.none() | st.floats(0.0, allow_infinity=False)),
        draw(st.floats(kind.least_size, kind.most_size)),
        draw(st.floats(0.0)),
    )


@given(fault=possible_faults())
@settings(deadline=None)
def test_every_fault_has_a_text_that_is_read_back(fault: Fault) -> None:
    assert parse_fault(fault_text(fault)) == fault
    assert len(fault_text(fault)) <= MAX_TEXT


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"range_m": np.zeros(3)}, "one shape"),
        ({"valid": np.ones(len(TIME_S))}, "bool"),
        ({"time_s": TIME_S[::-1]}, "ascend"),
        ({"range_m": np.full(len(TIME_S), np.nan)}, "finite"),
    ],
)
def test_impossible_records_are_refused(change: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(altimeter(), **change)


def test_other_shapes_and_types_are_refused() -> None:
    with pytest.raises(InputError, match=r"\(N, 3\)"):
        specific_force_with_faults(np.zeros(4), np.zeros((5, 3)), [], SEED)
    with pytest.raises(InputError, match=r"\(N, 4\)"):
        attitudes_with_faults(np.zeros(4), np.zeros((4, 3)), [], SEED)
    with pytest.raises(InputError, match="uint8 or uint16"):
        image_with_faults(np.zeros((4, 4)), 0.0, 255, [], SEED)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="full scale must be 1 to 255"):
        image_with_faults(np.zeros((4, 4), np.uint8), 0.0, 4095, [], SEED)


def test_what_is_handed_back_can_be_changed_without_changing_what_was_given() -> None:
    original = np.zeros((4, 4), np.uint8)
    image_with_faults(original, 0.0, 255, [], SEED)[:] = 9
    camera_time_with_faults(original, [])[:] = 9
    assert not original.any()


def test_the_documentation_lists_every_fault_as_it_is() -> None:
    page = (Path(__file__).parents[1] / "docs" / "simulation.md").read_text(encoding="utf-8")
    for kind in FAULTS.values():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{kind.name}` |"))
        _, _, summary, unit, size, duration, _ = (cell.strip() for cell in row.split("|"))
        assert summary == kind.summary.rstrip(".")
        assert (unit, float(size)) == (kind.unit, kind.default_size)
        assert duration == (
            "to the end"
            if kind.default_duration_s == float("inf")
            else f"{kind.default_duration_s:g} s"
        )
