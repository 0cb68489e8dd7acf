"""The story as a page of its own: no script, nothing from elsewhere, every value escaped."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from urllib.parse import quote, urlencode

from trialbook.history import Related
from trialbook_gateway.trail.story import Chapter, Story

STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#1b1f24;"
    "background:#fff}h1{font-size:1.3rem}h2{font-size:1.05rem;margin-top:2rem}code,.mono{font:13px/1.4 monospace;"
    "overflow-wrap:anywhere}table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;"
    "padding:.35rem .6rem;border-bottom:1px solid #d8dee4}th{font-weight:600}.dim{color:#57606a}.num{text-align:right;"
    "white-space:nowrap}"
    "@media(prefers-color-scheme:dark){body{background:#0d1117;color:#e6edf3}th,td{border-color:#30363d}"
    ".dim{color:#8b949e}a{color:#58a6ff}}"
)
_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
}  # fmt: skip


def html(story: Story) -> str:
    """The whole page."""
    title = f"{story.subject} {story.name or story.id}"
    head = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>'
    )
    where = f'<p class="dim">workspace {escape(story.workspace)}, <code>{escape(story.id)}</code>'
    began = f", since {escape(story.started_at)}" if story.started_at else ""
    rows = "".join(_row(chapter, story.workspace) for chapter in story.chapters)
    table = (
        '<table><thead><tr><th class="num">sequence</th><th>when</th><th>who</th><th>what</th><th>where</th>'
        f"<th>why</th></tr></thead><tbody>{rows}</tbody></table>"
    )
    return f"{head}<h1>{escape(title)}</h1>{where}{began}</p>{table}{_more(story)}{_related(story)}</body></html>\n"


def _row(chapter: Chapter, workspace: str) -> str:
    place = [text for text in (
        chapter.where.runner, f"attempt {chapter.where.attempt}" if chapter.where.attempt else "",
        chapter.where.sandbox,
    ) if text]  # fmt: skip
    why = f"request {_link(chapter.correlation, workspace)}" if chapter.correlation else ""
    if chapter.causation not in ("", chapter.correlation):
        why += f"<br>after {_link(chapter.causation, workspace)}"
    return (
        f'<tr id="s{chapter.sequence}"><td class="num mono"><a href="{escape(chapter.proof)}">'
        f"{chapter.sequence}</a></td>"
        f'<td class="mono">{escape(chapter.time)}<br><span class="dim">{escape(elapsed(chapter.after_ms))}</span></td>'
        f'<td>{escape(chapter.who)}</td><td>{escape(chapter.what)}<br><span class="dim mono">{escape(chapter.type)}'
        f' {escape(chapter.subject)}</span></td><td>{escape(", ".join(place))}</td><td class="mono">{why}</td></tr>'
    )


def elapsed(after_ms: int) -> str:
    """Time since the first fact: ``+1.250 s``, ``+3:05:10.000 h``."""
    sign, total = ("+", after_ms) if after_ms >= 0 else ("-", -after_ms)
    seconds, ms = divmod(total, 1000)
    if seconds < 60:
        return f"{sign}{seconds}.{ms:03} s"
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{sign}{hours}:{minutes:02}:{seconds:02}.{ms:03} h"


def _link(id_: str, workspace: str) -> str:
    target = f"/v1/audit/trail/{quote(id_, safe='')}?{urlencode({'workspace': workspace})}"
    return f'<a href="{escape(target)}"><code>{escape(id_)}</code></a>'


def _more(story: Story) -> str:
    if story.next_cursor is None:
        return ""
    query = urlencode({"workspace": story.workspace, "after": story.next_cursor})
    return f'<p><a href="{escape(f"?{query}")}">more</a></p>'


def _related(story: Story) -> str:
    if not story.related:
        return ""
    rows = "".join(_relation(one, story.workspace) for one in story.related)
    return (
        "<h2>Related</h2><table><thead><tr><th>role</th><th>kind</th><th>id</th><th>name</th><th>status</th>"
        f"<th>through</th></tr></thead><tbody>{rows}</tbody></table>"
    )


def _relation(one: Related, workspace: str) -> str:
    cells = [escape(one.role), escape(one.kind), _link(one.id, workspace), escape(one.name), escape(one.status)]
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in [*cells, escape(one.through)])}</tr>"


def text(story: Story) -> str:
    """The story as plain lines, without control characters."""
    lines = [f"{story.subject} {story.name or story.id} in workspace {story.workspace}"]
    for chapter in story.chapters:
        place = f" [{chapter.where.runner}]" if chapter.where.runner else ""
        when = f"{chapter.sequence:>8}  {chapter.time}  {elapsed(chapter.after_ms):>12}"
        lines.append(f"{when}  {chapter.who}{place}: {chapter.what}")
    lines += [f"{one.role}: {one.kind} {one.id} {one.name} {one.status}".rstrip() for one in story.related]
    return "".join("".join(c if c.isprintable() else "\ufffd" for c in line) + "\n" for line in lines)
