"""Drawings of the graphs of a model and of guides: an image if Graphviz is installed, else Mermaid text."""

import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, final

import torch
from pyro.infer.inspect import get_model_relations

from ..chance.optimism import Optimism
from ..chance.risk import Risk
from ..errors import InvalidArgument, MissingExtra
from ..inference.sampling.of_programs import pair_of
from ..problems.mdp import TabularMDP
from ..programs.own_parameters import own_parameters
from ..runtime.arguments import is_number, number, shown, whole
from ..runtime.arguments import named as checked_names
from ..runtime.files import path_of, write_whole
from ..trajectories.blocks import Blocks, HasBlocks, MarkovModel, require_model
from ..trajectories.program import is_program, run_program
from ..trajectories.tabulate import tabulate

_TEXTS, _IMAGES = (".mmd", ".md", ".gv", ".dot"), (".svg", ".png", ".pdf")
_LEGEND = "bold: clamped to the model; dashed: certain given the sites before"
_SLACK = 1e-6  # tolerance in probability within which a block counts as equal to the model's, hence clamped
_REST = "…"
_DRAWS = 200  # along which the densities of a guide and a program are compared


@final
@dataclass(frozen=True, repr=False)
class Drawing:
    """Graphs side by side. A notebook displays them; printing gives Mermaid text, which many sites and editors render.

    Attributes:
        mermaid: a Mermaid flowchart.
        dot: the same in Graphviz's language.
    """

    mermaid: str
    dot: str

    def save(self, path: str | Path) -> None:
        """Write the drawing to a file, atomically.

        Args:
            path: the file; its suffix is the format. .mmd is Mermaid and .md the same in a code block; .gv or .dot is
                Graphviz's language; .svg, .png and .pdf are images, for which Graphviz must be installed.

        Raises:
            InvalidArgument: for another suffix.
            MissingExtra: for an image without Graphviz, with the commands that install it.
        """
        suffix = path_of(path).suffix.lower()
        if suffix not in _TEXTS + _IMAGES:
            raise InvalidArgument(
                f"`path` must end in {', '.join(_TEXTS + _IMAGES)}, but is {str(path)!r}. Take .mmd for text, "
                "which needs no program."
            )
        if suffix in _IMAGES:
            write_whole(path, self._image(suffix[1:]))
            return
        fenced = f"```mermaid\n{self.mermaid}```\n"
        write_whole(path, {".mmd": self.mermaid, ".md": fenced}.get(suffix, self.dot).encode())

    def _image(self, kind: str) -> bytes:
        if not has_graphviz():
            raise MissingExtra(
                "An image of a graph needs Graphviz: pip install graphviz, and the program `dot` "
                "(apt-get install graphviz, brew install graphviz). Without it save(….mmd) writes Mermaid text."
            )
        import graphviz

        return graphviz.Source(self.dot).pipe(format=kind)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """Return an image if Graphviz is installed, else the text, which JupyterLab renders."""
        if not has_graphviz():
            return {"text/vnd.mermaid": self.mermaid, "text/plain": self.mermaid}
        image = self._image("svg").decode()
        return {"image/svg+xml": image[image.index("<svg") :], "text/plain": self.mermaid}

    def __str__(self) -> str:
        """Return the Mermaid text."""
        return self.mermaid

    def __repr__(self) -> str:
        """Return the number of graphs, and how to display them."""
        graphs = self.mermaid.count("subgraph ") or 1
        return f"Drawing({graphs} graph{'' if graphs == 1 else 's'}; print it for Mermaid text, or save it as .svg)"


class _Graph(NamedTuple):
    """The sites of one program, with the parents of each.

    The `clamped` sites of a guide are equal to the model's; the `certain` sites are determined by the sites before.
    """

    title: str
    parents: Mapping[str, list[str]]
    observed: frozenset[str]
    clamped: frozenset[str]
    certain: frozenset[str]


def render(
    model: MarkovModel | Callable[[], Any],
    guides: Mapping[str, object] | None = None,
    *,
    horizon: int = 2,
) -> Drawing:
    """Draw the graph of a model and, beside it, the graphs of guides, with the clamped sites in bold.

    The sites and their edges are those that Pyro finds in the program. The graphs of all steps are equal and do not
    depend on the sizes of the tables, so only the first few steps are drawn. Observed sites are grey (in Mermaid text:
    rectangles). Bold edges lead to sites that a guide clamps to the model, dashed edges to sites that are certain given
    the sites before.

    Of a Pyro program without tables (see `log_weights`) all sites are drawn. A guide of it, a Pyro program too, clamps
    the sites of chance whose densities are the model's along 200 draws.

    Args:
        model: a tabular model, or any Pyro program with `roles`.
        guides: by name: an object with `blocks()`, an `Optimism`, or 1 for free and 0 for clamped. A guide clamps the
            blocks with β = 0 in its `optimism`; without an `optimism`, the blocks that are equal to the model's. Any
            other Pyro program, such as a guide function or one with latent variables, has the graph that Pyro finds.
            Default: free and clamped. Empty, the default for a program without tables: the model alone.
        horizon: the number of steps of a tabular model that are drawn; "…" replaces the rest.

    Returns:
        A `Drawing`.

    Raises:
        InvalidArgument: if `horizon` is not a positive whole number, or a guide has no blocks.
        InvalidGuide: if a guide does not fit the model.
    """
    horizon = whole("horizon", horizon, remedy="Two show the pattern.")
    if is_program(model):
        graphs = _of_program(model, checked_names("guides", guides or {}, least=0))
        return Drawing(_mermaid(graphs), _dot(graphs))
    model = require_model(model, timed=True)
    named = {"free": 1.0, "clamped": 0.0} if guides is None else checked_names("guides", guides, least=0)
    small, ends_here = _smallest(model.mdp, horizon), model.mdp.horizon <= horizon
    program = _Smallest(small)
    graphs = [_graph("model", program, ends_here, certain=_certain(small))]
    for name, guide in named.items():
        if _is_own_program(guide):
            graphs.append(_of_guide(model, name, guide, horizon, _certain(small)))
            continue
        clamped = _clamped(model, name, guide, small)
        graphs.append(_graph(name, program.as_guide, ends_here, clamped, _certain(small)))
    return Drawing(_mermaid(graphs), _dot(graphs))


def _is_own_program(guide: object) -> bool:
    """Whether a guide has a graph of its own: a Pyro program without tables."""
    return callable(guide) and not isinstance(guide, type | HasBlocks) and not hasattr(guide, "optimism")


def _of_guide(model: MarkovModel, name: str, guide: Any, horizon: int, certain: frozenset[str]) -> _Graph:
    """The graph of the first steps of a guide of a tabular model that is a function, or has latent variables."""
    pair = pair_of(model, guide)
    clamped = pair.clamped(pair.replayed(_DRAWS, seed=0)) - certain
    ends_here = model.mdp.horizon <= horizon
    with own_parameters(guide):
        every = _graph(name, guide, ends_here=True).parents
    parents = {site: above for site, above in every.items() if _is_within(site, horizon)}
    if not ends_here:
        parents[_REST] = [_last_state(parents)]
    return _Graph(name, parents, frozenset(), frozenset(clamped & set(parents)), certain)


def _is_within(site: str, horizon: int) -> bool:
    """Whether a site belongs to the first steps, or to no step."""
    kind, _, t = site.rpartition("_")
    return not t.isdigit() or int(t) < horizon + (kind == "state")


def _of_program(model: Callable[[], Any], guides: Mapping[str, Any]) -> list[_Graph]:
    """The graphs of a program without tables and of its guides."""
    graphs = [_graph("model", model, ends_here=True)]
    for name, guide in guides.items():
        pair = pair_of(model, guide)
        clamped = frozenset(pair.clamped(pair.replayed(_DRAWS, seed=0)))
        with own_parameters(guide):
            graphs.append(_graph(name, guide, True, clamped, frozenset(pair.computed)))
    return graphs


def has_graphviz() -> bool:
    """Return True if images can be made: the package and its program `dot` are both installed."""
    return _has_package() and shutil.which("dot") is not None


def _has_package() -> bool:
    try:
        import graphviz  # noqa: F401
    except ImportError:
        return False
    return True


@final
class _Smallest:
    """A model with one state, one action and one outcome, whose program has the same sites as any other model.

    Attributes:
        mdp, temperature: as in any model.
    """

    def __init__(self, mdp: TabularMDP) -> None:
        self.mdp, self.temperature = mdp, 1.0
        self.action_prior = mdp.initial.new_ones(1, 1)

    def blocks(self) -> Blocks:
        zero = self.mdp.initial.new_zeros(())
        steps = self.mdp.horizon
        return Blocks(self.mdp, zero.expand(1), zero.expand(steps, 1, 1), zero.expand(steps, 1, 1, 1))

    def __call__(self) -> None:
        run_program(self.blocks(), optimality=self)

    def as_guide(self) -> None:
        run_program(self.blocks())


def _smallest(mdp: TabularMDP, horizon: int) -> TabularMDP:
    """Return a problem with one state and the drawn steps, and with a final reward and a discount as in `mdp`."""
    ends_here = mdp.horizon <= horizon
    last = None if mdp.final_reward is None or not ends_here else [0.0]
    one, nowhere = torch.ones(1, 1, 1, dtype=torch.float64), torch.zeros(1, 1, 1, dtype=torch.int64)
    return TabularMDP([1.0], one, nowhere, [[[0.0]]], min(mdp.horizon, horizon), mdp.discount, last)


def _graph(
    title: str,
    program: Any,
    ends_here: bool,
    clamped: frozenset[str] = frozenset(),
    certain: frozenset[str] = frozenset(),
) -> _Graph:
    """Return the graph that Pyro finds in a program, with an ellipsis for the steps that are not drawn."""
    found = get_model_relations(program)
    parents = {site: list(above) for site, above in found["sample_sample"].items()}
    observed = frozenset(found["observed"])
    if not ends_here:
        parents[_REST] = [_last_state(parents)]
    return _Graph(title, parents, observed, clamped, certain)


def _last_state(parents: Mapping[str, Any]) -> str:
    return max((site for site in parents if site.startswith("state_")), key=lambda site: int(site.split("_")[1]))


def _clamped(model: MarkovModel, name: str, guide: object, small: TabularMDP) -> frozenset[str]:
    """Return the random sites that a guide clamps to the model: start, outcomes, survival."""
    initial, dynamics, survival = _kept(model, name, guide)
    sites = {"state_0"} if initial else set()
    for t in range(small.horizon):
        sites |= {f"outcome_{t}"} if dynamics else set()
        sites |= {f"state_{t + 1}"} if survival and model.mdp.discount < 1 else set()
    return frozenset(sites)


def _kept(model: MarkovModel, name: str, guide: Any) -> tuple[bool, bool, bool]:
    """Return whether start, dynamics and survival are clamped."""
    if is_number(guide) and number(guide) not in (0.0, 1.0):
        raise InvalidArgument(
            f"`guides` must have blocks(), or be an optimism, but {name!r} is {shown(guide)}. A number must be 1 for "
            f"free or 0 for clamped; for another β pass Optimism({shown(guide)}), whose graph is that of 1."
        )
    is_one = is_number(guide) or isinstance(guide, Risk)
    given = Optimism.of(guide) if is_one else getattr(guide, "optimism", guide)
    if isinstance(given, Optimism):
        initial, dynamics, survival = (
            Optimism(beta, 0.0, 0.0).is_clamped for beta in (given.initial, given.dynamics, given.survival)
        )
        return initial, dynamics, survival
    if isinstance(guide, type) or not isinstance(guide, HasBlocks):
        raise InvalidArgument(
            f"`guides` must have blocks(), or be an optimism, but {name!r} is {shown(guide)}. Pass "
            "FreeGuide(model), infer(model, 0.0), or a number such as 1.0 for free and 0.0 for clamped."
        )
    with torch.no_grad():
        q, p = tabulate(model, guide), model.blocks()
        return _equal(q.log_initial, p.log_initial), _equal(q.log_dynamics, p.log_dynamics), q.log_survival is None


def _equal(q: torch.Tensor, p: torch.Tensor) -> bool:
    return bool(((q.exp() - p.exp()).abs() <= _SLACK).all())


def _certain(small: TabularMDP) -> frozenset[str]:
    """Return the states that the outcomes determine: all after the first, if the episode cannot end early."""
    return frozenset(f"state_{t}" for t in range(1, small.horizon + 1)) if small.discount == 1 else frozenset()


def _dot(graphs: list[_Graph]) -> str:
    """Return the graphs in Graphviz's language, one cluster per program."""
    lines = ["digraph {", "  node [shape=ellipse]"]
    for i, graph in enumerate(graphs):
        lines += [f"  subgraph cluster_{i} {{", f'    label="{_quoted(graph.title)}"']
        for site in graph.parents:
            look = " shape=plaintext" if site == _REST else ""
            look += " style=filled fillcolor=lightgray" if site in graph.observed else ""
            look += " penwidth=3" if site in graph.clamped else ""
            lines.append(f'    g{i}_{_id(site)} [label="{_quoted(site)}"{look}]')
        for site, above in graph.parents.items():
            look = " [penwidth=3]" if site in graph.clamped else " [style=dashed]" if site in graph.certain else ""
            lines += [f"    g{i}_{_id(parent)} -> g{i}_{_id(site)}{look}" for parent in above]
        lines.append("  }")
    lines.append(f'  label="{_LEGEND}"')
    return "\n".join([*lines, "}", ""])


def _mermaid(graphs: list[_Graph]) -> str:
    """Return a Mermaid flowchart, one subgraph per program. Observed sites are rectangles, so no colour is needed."""
    lines = ["flowchart TB"]
    for i, graph in enumerate(graphs):
        lines.append(f'  subgraph g{i}["{_escaped(graph.title)}"]')
        for site in graph.parents:
            opening, closing = ('["', '"]') if site in graph.observed else ('(["', '"])')
            lines.append(f"    g{i}_{_id(site)}{opening}{_escaped(site)}{closing}")
        for site, above in graph.parents.items():
            arrow = "==>" if site in graph.clamped else "-.->" if site in graph.certain else "-->"
            lines += [f"    g{i}_{_id(parent)} {arrow} g{i}_{_id(site)}" for parent in above]
        lines.append("  end")
    bold = [f"g{i}_{_id(site)}" for i, graph in enumerate(graphs) for site in graph.parents if site in graph.clamped]
    lines += [f"  style {node} stroke-width:4px" for node in bold]
    lines.insert(1, f"  %% {_LEGEND}")
    return "\n".join([*lines, ""])


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")


def _id(site: str) -> str:
    """A name for a node in both languages: letters, digits and underscores, different for each site."""
    return "rest" if site == _REST else site if re.fullmatch(r"\w+", site, re.ASCII) else "x" + site.encode().hex()


def _escaped(title: str) -> str:
    """Return the title with Mermaid's codes, such as `#34;`, for the characters that would end a label."""
    return re.sub(r'["#&<>\n]', lambda found: " " if found[0] == "\n" else f"#{ord(found[0])};", title)
