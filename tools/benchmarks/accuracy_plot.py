"""One picture: accuracy against what a model holds, and against what travels for one class.

A row per stream. Left: bytes of the model in memory. Right: bytes of the part for one class, a line from 4 bits
(filled) to 32 bits (hollow) a number; its height is the accuracy of the model that the part was taken from.
Several sizes of one family share a colour.
"""
import math
from xml.sax.saxutils import escape

COLOURS = {"perceptron": "#8c6d31", "pa": "#bd9e39", "svm": "#637939", "arow": "#8ca252", "softmax": "#d62728",
           "ftrl": "#7b4173", "ncm": "#7f7f7f", "nb": "#bcbd22", "ridge": "#17becf", "mlp": "#e377c2",
           "rff": "#1f77b4", "orf": "#2ca02c", "arf": "#ff7f0e", "auto": "#000000"}
PANEL_W, PANEL_H, LEFT, TOP, GAP = 430, 330, 62, 40, 78


def bytes_text(value):
    for limit, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "KB")):
        if value >= limit:
            return f"{value / limit:g} {unit}"
    return f"{value:g} B"


class Panel:
    """Logarithmic across, linear up."""

    def __init__(self, x0, y0, title, across, lows_highs, accuracies):
        self.x0, self.y0, self.title, self.across = x0, y0, title, across
        self.low = math.floor(math.log10(max(min(lows_highs), 1)))
        self.high = max(math.ceil(math.log10(max(lows_highs) * 1.4)), self.low + 1)
        self.bottom = max(0.0, math.floor(min(accuracies) * 20 - .2) / 20)
        self.top = min(1.0, math.ceil(max(accuracies) * 20 + .1) / 20)
        self.taken = []

    def x(self, value):
        return self.x0 + (math.log10(max(value, 1)) - self.low) / (self.high - self.low) * PANEL_W

    def y(self, accuracy):
        return self.y0 + PANEL_H * (1 - (accuracy - self.bottom) / (self.top - self.bottom))

    def frame(self):
        out = [f'<rect x="{self.x0}" y="{self.y0}" width="{PANEL_W}" height="{PANEL_H}" fill="none" stroke="#999"/>',
               f'<text x="{self.x0}" y="{self.y0 - 10}" font-weight="bold">{escape(self.title)}</text>',
               f'<text x="{self.x0 + PANEL_W / 2}" y="{self.y0 + PANEL_H + 34}" text-anchor="middle">{escape(self.across)}</text>']
        for power in range(self.low, self.high + 1):
            x = self.x(10 ** power)
            out.append(f'<line x1="{x:.1f}" y1="{self.y0}" x2="{x:.1f}" y2="{self.y0 + PANEL_H}" stroke="#eee"/>')
            out.append(f'<text x="{x:.1f}" y="{self.y0 + PANEL_H + 16}" text-anchor="middle">{bytes_text(10 ** power)}</text>')
        steps = round((self.top - self.bottom) * 20)
        for i in range(0, steps + 1, max(1, steps // 8)):
            accuracy = self.bottom + i / 20
            y = self.y(accuracy)
            out.append(f'<line x1="{self.x0}" y1="{y:.1f}" x2="{self.x0 + PANEL_W}" y2="{y:.1f}" stroke="#eee"/>')
            out.append(f'<text x="{self.x0 - 6}" y="{y + 4:.1f}" text-anchor="end">{accuracy:.2f}</text>')
        return out

    def keep_free(self, x, y):
        self.taken.append((x - 4, y - 4, x + 4, y + 4))

    def label(self, text, x, y, colour):
        """Beside its point, moved up or down until it covers no other label and no point."""
        width = 6.2 * len(text)
        for step in range(40):
            at = y + 4 + (step + 1) // 2 * 6 * (1 if step % 2 else -1)
            left = x + 8 if x + 8 + width < self.x0 + PANEL_W else x - 8 - width
            box = (left, at - 10, left + width, at + 1)
            if all(box[2] < o[0] or o[2] < box[0] or box[3] < o[1] or o[3] < box[1] for o in self.taken):
                break
        self.taken.append(box)
        return f'<text x="{left:.1f}" y="{at:.1f}" fill="{colour}">{escape(text)}</text>'


def svg(streams):
    """{stream: [(name, family, report)]}"""
    rows = [(stream, reports) for stream, reports in streams.items() if reports]
    width = LEFT + 2 * PANEL_W + GAP + 20
    height = TOP + len(rows) * (PANEL_H + GAP) + 20
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
           'font-family="sans-serif" font-size="11">', f'<rect width="{width}" height="{height}" fill="white"/>']
    for i, (stream, reports) in enumerate(rows):
        y0 = TOP + i * (PANEL_H + GAP)
        accuracies = [r["accuracy"] for _, _, r in reports]
        parts = [r for r in reports if r[2].get("class_bytes")]
        panels = [Panel(LEFT, y0, f"{stream}: prequential accuracy", "the model in memory",
                        [r["model_bytes"] for _, _, r in reports], accuracies)]
        if parts:
            panels.append(Panel(LEFT + PANEL_W + GAP, y0, stream, "what travels for one class: 4 bits (full) to 32 bits (hollow)",
                                [v for _, _, r in parts for v in (r["class_bytes"]["4"], r["class_bytes"]["32"])], accuracies))
        for panel in panels:
            out += panel.frame()
        for _, _, report in reports:  # no label on a point
            y = panels[0].y(report["accuracy"])
            panels[0].keep_free(panels[0].x(report["model_bytes"]), y)
            for bits in ("4", "32") if report.get("class_bytes") else ():
                panels[1].keep_free(panels[1].x(report["class_bytes"][bits]), y)
        for name, family, report in reports:
            colour = COLOURS.get(family, "#555")
            y = panels[0].y(report["accuracy"])
            x = panels[0].x(report["model_bytes"])
            out.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>')
            out.append(panels[0].label(name, x, y, colour))
        for name, family, report in parts:
            colour = COLOURS.get(family, "#555")
            y = panels[1].y(report["accuracy"])
            small, large = (panels[1].x(report["class_bytes"][bits]) for bits in ("4", "32"))
            out.append(f'<line x1="{small:.1f}" y1="{y:.1f}" x2="{large:.1f}" y2="{y:.1f}" stroke="{colour}" opacity=".5"/>')
            out.append(f'<circle cx="{large:.1f}" cy="{y:.1f}" r="3.5" fill="white" stroke="{colour}"/>')
            out.append(f'<circle cx="{small:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>')
            out.append(panels[1].label(name, max(small, large), y, colour))
    return "\n".join([*out, "</svg>"]) + "\n"
