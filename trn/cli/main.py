"""The command `trn`: commands, and how their errors reach the user."""

from __future__ import annotations

import sys
import traceback
from typing import Annotated

import typer

from trn import __version__
from trn.cli import bench, data, demo, detect, doctor, identify, locate, map, replay, simulate
from trn.errors import TrnError

app = typer.Typer(
    name="trn",
    help="Terrain-relative navigation for lunar landers.\n\nExample: trn demo --out demo",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
app.command("bench")(bench.bench)
app.command("demo")(demo.demo)
app.command("detect")(detect.detect)
app.command("doctor")(doctor.doctor)
app.command("locate")(locate.locate)
app.command("identify")(identify.identify)
app.command("simulate")(simulate.simulate)
app.command("replay")(replay.replay)
app.add_typer(map.app, name="map")
app.add_typer(data.app, name="data")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"trn {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """What holds for every command."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; every error is one line on standard error and an exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in given
    # A flag of the whole program, wherever it stands.
    given = [word for word in given if word != "--debug"]
    try:
        status = app(args=given, prog_name="trn", standalone_mode=False)
    except (typer.Abort, KeyboardInterrupt):
        _complain("stopped")
        sys.exit(130)
    except TrnError as error:
        if debug:
            traceback.print_exc()
        _complain(str(error))
        sys.exit(error.exit_status)
    except Exception as error:
        # Usage errors come from the click that Typer carries inside, or from click itself.
        if hasattr(error, "format_message"):
            _complain(f"{error.format_message()}; see trn --help")
            sys.exit(2)
        if debug:
            traceback.print_exc()
        _complain(f"{type(error).__name__}: {error} (--debug shows where)")
        sys.exit(1)
    sys.exit(status if isinstance(status, int) else 0)


def _complain(text: str) -> None:
    print(f"trn: {' '.join(text.split())}", file=sys.stderr)
