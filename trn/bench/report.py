"""The benchmark's results as people read them."""

from __future__ import annotations

from typing import Any

from trn.bench.timing import Timing, markdown


def as_markdown(results: dict[str, Any]) -> str:
    """The results as Markdown: machine, two tables, and how good the fixes were."""
    machine = results["machine"]
    side, runs = results["frame_px"], results["runs"]
    lines = [
        f"trn {results['trn']}, {machine['cpu']}, {machine['cores']} cores, load {machine['load']}",
        *(f"{name}: {device}" for name, device in machine["devices"].items()),
        f"{side} x {side} pixels, {runs} runs after warm-up",
        "",
        markdown("locate", _timings(results["locate"])),
        "",
        markdown("operation", _timings(results["operations"])),
        "",
    ]
    for name, found in results["roofline"].items():
        rates = f"{found['bytes_per_s'] / 1e9:.3g} GB/s, {found['flops_per_s'] / 1e9:.3g} GFLOP/s"
        shares = [f"{each} {need['share']:.1%}" for each, need in found["operations"].items()]
        lines += [f"{name} at best {rates}; share of that: {', '.join(shares)}", ""]
    lines += _kernel_lines(results)
    lines += _board_lines(results["jetson"])
    for name, found in results["accuracy"].items():
        error = found["position_error_m"]
        shown = ""
        if error is not None:
            shown = f", {error['p50']:.1f} m off (median), {error['max']:.1f} m (worst)"
        lines.append(f"{name}: {found['fixes']} fixes of {found['frames']} frames{shown}")
    for name, found in results["agreement_with_cpu"].items():
        apart = found["largest_apart_map_px"]
        shown = "" if apart is None else f", at most {apart:.2g} map pixels apart"
        lines.append(f"{name} and cpu: same status in {found['same_status']:.1%}{shown}")
    return "\n".join(lines)


def _kernel_lines(results: dict[str, Any]) -> list[str]:
    """Kernels without their transfers, and cuCIM beside ours."""
    lines = []
    for name, found in results["kernels"].items():
        lines += [f"| kernels of an operation | {name} median ms | share of at best | each, ms |"]
        lines += ["| --- | --- | --- | --- |"]
        for operation, times in found.items():
            each = ", ".join(f"{kernel} {ms:.3g}" for kernel, ms in times["kernels_ms"].items())
            lines.append(
                f"| {operation} | {times['median_ms']:.3g} | {times['share']:.1%} | {each} |"
            )
        lines.append("")
    other = results["cucim_match_template"]
    if other is not None and "absent" in other:
        lines += [f"cuCIM's match_template was not run: {other['absent']}", ""]
    elif other is not None:
        ours_ms = results["operations"]["cuda"]["correlate"]["median_ms"]
        theirs_ms = other["timing"]["median_ms"]
        lines += [
            f"cuCIM's match_template, same searches: {theirs_ms:.3g} ms, "
            f"{theirs_ms / max(ours_ms, 1e-6):.3g} times ours; "
            f"same place in {other['same_place']:.1%}",
            "",
        ]
    return lines


def _board_lines(board: dict[str, Any] | None) -> list[str]:
    """What a Jetson said of itself; nothing on another machine."""
    if board is None:
        return []
    lines = []
    for when, state in board["states"].items():
        clocks = ", ".join(f"{name} {mhz:.0f}" for name, mhz in state["clocks_mhz"].items())
        degrees = ", ".join(f"{name} {c:.1f}" for name, c in state["temperatures_c"].items())
        lines.append(
            f"{state['model']}, {when}: power mode {state['power_mode'] or 'unknown'}; "
            f"clocks in MHz: {clocks or 'unknown'}; degrees Celsius: {degrees or 'unknown'}"
        )
    for name, spent in board["energy"].items():
        if spent["joules_per_frame"] is None:
            lines.append(f"{name}: {spent['rail']} did not answer")
            continue
        part = "" if spent["whole_input"] else ", which is a part of the input only"
        lines.append(
            f"{name}: {spent['joules_per_frame']:.3g} J a frame above idle "
            f"({spent['idle_w']:.2f} W idle, {spent['busy_w']:.2f} W busy, "
            f"at {spent['rail']}{part})"
        )
    if not board["energy"]:
        lines.append("energy: no known input rail answers")
    return [*lines, ""]


def _timings(plain: dict[str, Any]) -> dict[str, dict[str, Timing]]:
    return {
        backend: {stage: Timing(**values) for stage, values in found.items()}
        for backend, found in plain.items()
    }
