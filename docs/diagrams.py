"""Draws the diagrams of the documentation as SVG files into docs/_static; `make docs` runs it."""

from html import escape
from pathlib import Path

STATIC = Path(__file__).with_name("_static")
STYLE = """
  text { font: 14px system-ui, sans-serif; fill: #1f2937 }
  .label { font-size: 12px; fill: #4b5563; paint-order: stroke; stroke: #f8fafc; stroke-width: 4px }
  .small { font-size: 12px; fill: #4b5563 } .head { font-weight: 600 }
  .box { fill: #ffffff; stroke: #64748b; stroke-width: 1.2 }
  .good { fill: #dcfce7 } .wait { fill: #fef3c7 } .bad { fill: #fee2e2 } .page { fill: #f8fafc }
  .line { stroke: #64748b; stroke-width: 1.4; fill: none } .life { stroke: #cbd5e1; stroke-width: 1.2 }
"""
ARROW = (
    '<marker id="arrow" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0 0 L10 5 L0 10 z" fill="#64748b"/></marker>'
)


class Drawing:
    """One picture, put together from boxes, texts and arrows; coordinates are pixels."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self.width = width
        self.height = height
        self.title = title
        self.parts: list[str] = []

    def box(self, x: int, y: int, width: int, height: int, *lines: str, kind: str = "") -> None:
        """A box whose first line is its head."""
        self.parts.append(f'<rect class="box {kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="6"/>')
        top = y + height / 2 - 9 * (len(lines) - 1) + 5
        for place, line in enumerate(lines):
            self.text(x + width // 2, round(top + 18 * place), line, "head" if place == 0 else "small", "middle")

    def text(self, x: int, y: int, line: str, kind: str = "", anchor: str = "start") -> None:
        self.parts.append(f'<text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}">{escape(line)}</text>')

    def arrow(self, x1: int, y1: int, x2: int, y2: int, label: str = "") -> None:
        self.parts.append(f'<line class="line" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" marker-end="url(#arrow)"/>')
        if label:
            self.text((x1 + x2) // 2, (y1 + y2) // 2 - 7, label, "label", "middle")

    def lifeline(self, x: int, top: int, bottom: int) -> None:
        self.parts.append(f'<line class="life" x1="{x}" y1="{top}" x2="{x}" y2="{bottom}"/>')

    def svg(self) -> str:
        size = f'viewBox="0 0 {self.width} {self.height}" width="{self.width}" height="{self.height}"'
        ground = f'<rect class="page" width="{self.width}" height="{self.height}" rx="8"/>'
        body = "\n".join(self.parts)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">\n<title>{escape(self.title)}</title>\n'
            f"<style>{STYLE}</style>\n<defs>{ARROW}</defs>\n{ground}\n{body}\n</svg>\n"
        )


def sequence(title: str, actors: list[str], steps: list[tuple[int, int, str]]) -> Drawing:
    """Messages between actors, from top to bottom; a message of an actor to itself is a note in a box."""
    pitch, top, step = 230, 30, 44
    drawing = Drawing(pitch * (len(actors) - 1) + 190, top + 70 + step * len(steps), title)
    places = [95 + pitch * place for place in range(len(actors))]
    bottom = drawing.height - 16
    for x in places:
        drawing.lifeline(x, top + 34, bottom)
    for name, x in zip(actors, places, strict=True):
        drawing.box(x - 80, top - 14, 160, 36, name)
    for place, (source, target, label) in enumerate(steps):
        y = top + 66 + step * place
        if source == target:
            drawing.box(places[source] - 92, y - 17, 184, 28, kind="wait")
            drawing.text(places[source], y + 2, label, "small", "middle")
        else:
            side = 1 if target > source else -1
            drawing.arrow(places[source] + 3 * side, y, places[target] - 3 * side, y, label)
    return drawing


def tokens() -> Drawing:
    drawing = Drawing(840, 240, "The tokens and the record")
    drawing.text(125, 36, "cookies in the browser", "head", "middle")
    drawing.box(20, 56, 210, 60, "access token", "data, sid, jti, 2 hours", kind="good")
    drawing.box(20, 156, 210, 60, "refresh token", "data, sid, jti, 30 days", kind="good")
    drawing.box(350, 91, 170, 90, "your application", "signs and checks", "with the secret")
    drawing.text(730, 36, "storage", "head", "middle")
    drawing.box(640, 56, 180, 160, "record of the sid", "whose session it is", "ids honoured now",
                "refresh id before", "labels, times", kind="good")  # fmt: skip
    drawing.arrow(233, 86, 346, 120, "each request")
    drawing.arrow(233, 186, 346, 152)
    drawing.text(245, 206, "when that expired", "label")
    drawing.arrow(523, 136, 636, 136, "sid, jti")
    return drawing


def request() -> Drawing:
    drawing = Drawing(840, 250, "What happens in a request")
    steps = ["Cookie header", "judge the token", "ask the record", "handler"]
    for place, name in enumerate(steps):
        drawing.box(20 + 205 * place, 40, 170, 50, name, kind="good" if name == "handler" else "")
        if place:
            drawing.arrow(20 + 205 * place - 33, 65, 20 + 205 * place - 3, 65)
    back = ["Set-Cookie header", "sign the tokens", "decide, then record", "response"]
    for place, name in enumerate(back):
        drawing.box(20 + 205 * place, 160, 170, 50, name)
        if place:
            drawing.arrow(20 + 205 * place - 3, 185, 20 + 205 * place - 33, 185)
    drawing.arrow(720, 92, 720, 156)
    drawing.text(20, 24, "get_session", "small")
    drawing.text(20, 236, "when the outermost middleware has the response", "small")
    return drawing


def refresh() -> Drawing:
    return sequence(
        "Two requests with one refresh token",
        ["browser", "server 1", "server 2", "storage"],
        [
            (0, 1, "refresh token A"),
            (0, 2, "refresh token A"),
            (1, 3, "replace A by B, version 1"),
            (2, 3, "replace A by C, version 1"),
            (3, 1, "done: version 2"),
            (3, 2, "lost: B is current"),
            (1, 0, "refresh token B"),
            (2, 0, "refresh token B"),
            (1, 3, "the leeway of A begins"),
        ],
    )


def zones() -> Drawing:
    drawing = Drawing(820, 190, "The zones of a replaced refresh token")
    drawing.box(30, 60, 180, 62, "until it is on its way", "gets the successor", kind="good")
    drawing.box(210, 60, 190, 62, "reuse_leeway", "gets the successor", kind="good")
    drawing.box(400, 60, 190, 62, "max_clock_skew", "refused, session lives", kind="wait")
    drawing.box(590, 60, 200, 62, "later", "replay: session revoked", kind="bad")
    drawing.text(210, 150, "rotated_at", "small", "middle")
    drawing.text(400, 150, "30 s", "small", "middle")
    drawing.text(590, 150, "60 s", "small", "middle")
    drawing.text(30, 36, "What becomes of the old refresh token, as time goes on", "head")
    drawing.arrow(30, 168, 790, 168)
    return drawing


def replay() -> Drawing:
    return sequence(
        "A replay",
        ["thief", "browser", "server", "storage"],
        [
            (1, 2, "refresh token A"),
            (2, 3, "replace A by B"),
            (2, 1, "refresh token B"),
            (2, 2, "a minute later"),
            (0, 2, "a copy of A"),
            (2, 3, "delete the record"),
            (2, 0, "a new, empty session"),
            (1, 2, "access token, refresh token B"),
            (2, 1, "revoked: log in again"),
        ],
    )


def outage() -> Drawing:
    return sequence(
        "A storage that does not answer",
        ["browser", "server", "storage"],
        [
            (0, 1, "cookies"),
            (1, 2, "get the record"),
            (1, 1, "no answer for 2 s"),
            (1, 0, "503, Retry-After, no cookies"),
            (2, 2, "it is back"),
            (0, 1, "the same cookies"),
            (1, 2, "get the record"),
            (2, 1, "the record"),
            (1, 0, "200"),
        ],
    )


DRAWINGS = {drawing.__name__: drawing for drawing in (tokens, request, refresh, zones, replay, outage)}


def main() -> None:
    STATIC.mkdir(exist_ok=True)
    for name, draw in DRAWINGS.items():
        (STATIC / f"{name}.svg").write_text(draw().svg())


if __name__ == "__main__":
    main()
