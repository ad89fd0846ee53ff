"""How large, how thick and in which looks: for paper and for a projector, in colour and without."""

from typing import NamedTuple

from ..errors import InvalidArgument


class Style(NamedTuple):
    """Sizes, all in points but `inches`.

    Attributes:
        title, text, small: of type: titles, names of axes, numbers and labels.
        line, edge, marker: widths of curves and of outlines, and the size of markers.
        dense: at most so many signs of a hatch, which has one size on paper and slide.
        inches: width and height of one panel of a figure that a function makes itself.
    """

    title: float
    text: float
    small: float
    line: float
    edge: float
    marker: float
    dense: int
    inches: tuple[float, float]


_STYLES = {
    "paper": Style(10.5, 9.5, 8.5, 1.8, 0.8, 5.0, 3, (5.2, 3.7)),
    "slide": Style(19.0, 17.0, 15.0, 3.2, 1.5, 9.0, 1, (8.0, 5.8)),
}


def style_of(style: str) -> Style:
    """The style of that name.

    Raises:
        InvalidArgument: if there is none.
    """
    if style not in _STYLES:
        raise InvalidArgument(
            f"`style` must be 'paper' or 'slide', but is {style!r}. Slides have larger type and thicker lines."
        )
    return _STYLES[style]


class Look(NamedTuple):
    """One thing in every picture: an Okabe-Ito colour for the colour-blind; hatch, line and marker for no colour."""

    color: str
    hatch: str
    line: str | tuple[int, tuple[float, ...]]
    marker: str


TRUE = Look("#BBBBBB", "", ":", "s")
FREE = Look("#E69F00", "///", "-", "o")
CLAMPED = Look("#56B4E9", "...", "--", "D")
_OTHERS = (
    Look("#009E73", "xx", "-.", "^"),
    Look("#CC79A7", "\\\\\\", (0, (1, 1)), "v"),
    Look("#0072B2", "++", (0, (5, 1, 1, 1, 1, 1)), "P"),
    Look("#D55E00", "oo", (0, (8, 3)), "X"),
    Look("#F0E442", "--", (0, (3, 3, 1, 3)), "*"),
    Look("#000000", "**", (0, (1, 4)), "<"),
)


def looks_of(names: list[str]) -> list[Look]:
    """One look a name: that of the free and of the clamped guide for the first whose name begins so, then the others.

    Raises:
        InvalidArgument: if there are more names than looks.
    """
    special, rest = {"free": FREE, "clamped": CLAMPED}, iter(_OTHERS)
    found = []
    for name in names:
        own = next((word for word in special if name.lower().startswith(word)), None)
        look = special.pop(own) if own is not None else next(rest, None)
        if look is None:
            raise InvalidArgument(
                f"At most {len(_OTHERS)} things beside free and clamped can be told apart in one picture, but there "
                f"are {len(names)} in all: {', '.join(names)}. Draw them in several pictures."
            )
        found.append(look)
    return found
