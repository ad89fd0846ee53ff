"""The visible texts of a figure, and the check that none overlaps another or leaves the page."""

import itertools


def texts(figure):
    """Return the visible texts, with their rectangles in dots of the canvas."""
    from matplotlib.axes import Axes
    from matplotlib.text import Text

    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    ticks = set()
    for axes in figure.findobj(Axes):
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            slack = 1e-9 * (high - low)
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if not low - slack <= tick.get_loc() <= high + slack:
                    ticks |= {tick.label1, tick.label2}
    found = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    shown = {id(text): text for text in found if text not in ticks}
    # the rectangle of an annotation, without its arrow
    return [(text.get_text(), Text.get_window_extent(text, renderer)) for text in shown.values()]


def check_words(figure, what):
    found = texts(figure)
    assert len(found) > 5, what
    for (one, box), (other, another) in itertools.combinations(found, 2):
        assert not box.padded(-1.0).overlaps(another.padded(-1.0)), f"{what}: {one!r} overlaps {other!r}"
    page = figure.bbox.padded(1.0)
    for text, box in found:
        inside = page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1
        assert inside, f"{what}: {text!r} leaves the page"
