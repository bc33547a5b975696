"""The pieces of a self-contained HTML page: shell, tables, pictures. All text is escaped here."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence

from trn.replay.pictures import Picture, jpeg

_STYLE = """
:root { color-scheme: light dark; --line: #8884; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 78rem; margin: 2rem auto;
 padding: 0 1rem; }
h2 { margin: 2.2rem 0 .6rem; font-size: 1.25rem; }
.views { display: grid; grid-template-columns: repeat(auto-fit, minmax(19rem, 1fr)); gap: 1rem; }
figure { margin: 0; } img, figure > svg { width: 100%; border-radius: 6px; display: block; }
.wide { margin: 1rem 0; } .wide > svg { height: auto; }
figcaption, .quiet { opacity: .75; font-size: .9rem; }
table { border-collapse: collapse; margin: 1.5rem 0; }
.tables { display: grid; grid-template-columns: repeat(auto-fit, minmax(24rem, 1fr));
 gap: 0 2.5rem; } .tables table { margin: .4rem 0; width: 100%; align-self: start; }
th, td { text-align: left; padding: .35rem 1.2rem .35rem 0; vertical-align: top;
 border-bottom: 1px solid var(--line); font-variant-numeric: tabular-nums; }
th { font-weight: 600; }
pre { overflow: auto; padding: 1rem; border: 1px solid var(--line); border-radius: 6px; }
"""


def page(title: str, body: str) -> str:
    """A whole page; body is HTML already."""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>trn: {html.escape(title)}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>{_STYLE}</style></head><body>
<h1>{html.escape(title)}</h1>
{body}
</body></html>
"""


def paragraph(text: str, quiet: bool = False) -> str:
    """A paragraph of plain text."""
    return f"<p{' class=quiet' if quiet else ''}>{html.escape(text)}</p>"


def heading(text: str) -> str:
    """A heading below the page's own."""
    return f"<h2>{html.escape(text)}</h2>"


def fact_table(rows: Iterable[tuple[str, str]]) -> str:
    """Names with values, one a row."""
    return _table(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
        for name, value in rows
    )


def list_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows under column names."""
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    body = (
        "<tr>" + "".join(f"<td>{html.escape(field)}</td>" for field in row) + "</tr>"
        for row in rows
    )
    return _table([f"<tr>{head}</tr>", *body])


def details(summary: str, body: str) -> str:
    """A part that opens on a click; body is HTML already."""
    return f"<details><summary>{html.escape(summary)}</summary>{body}</details>"


def preformatted(text: str) -> str:
    """Text as it stands."""
    return f"<pre>{html.escape(text)}</pre>"


def views(pictures: Iterable[tuple[str, Picture]]) -> str:
    """Pictures side by side under their captions, inside the page itself."""
    figures = "".join(
        f'<figure><img alt="{html.escape(name)}" src="data:image/jpeg;base64,'
        f'{base64.b64encode(jpeg(picture)).decode()}"><figcaption>{html.escape(name)}</figcaption>'
        "</figure>"
        for name, picture in pictures
    )
    return f'<div class="views">{figures}</div>'


def _table(rows: Iterable[str]) -> str:
    return f"<table>{''.join(rows)}</table>"
