"""Guides: what the posterior is allowed to change."""

from .markov import MarkovGuide as MarkovGuide
from .free import FreeGuide as FreeGuide
from .clamped import ClampedGuide as ClampedGuide
from .dial import DialGuide as DialGuide
from .view import ViewGuide as ViewGuide
from .open_loop import OpenLoopGuide as OpenLoopGuide
from .window import WindowGuide as WindowGuide
from .window import FreeWindowGuide as FreeWindowGuide
from .stationary import StationaryGuide as StationaryGuide
from .deterministic import DeterministicGuide as DeterministicGuide
from .neural import NeuralGuide as NeuralGuide
from .mean_field import MeanFieldGuide as MeanFieldGuide
from .low_rank import LowRankGuide as LowRankGuide
from .memory import MemoryGuide as MemoryGuide
from .mixture import MixtureGuide as MixtureGuide
from .mixture import MixtureELBO as MixtureELBO
from .simulated import SimulatedGuide as SimulatedGuide
from .improved import ImportanceGuide as ImportanceGuide
from .improved import SMCGuide as SMCGuide
from .zoo import GuideEntry as GuideEntry
from .zoo import guide_entry as guide_entry
from .zoo import guide_zoo as guide_zoo

__all__ = [
    "ClampedGuide",
    "DeterministicGuide",
    "DialGuide",
    "FreeGuide",
    "FreeWindowGuide",
    "GuideEntry",
    "ImportanceGuide",
    "LowRankGuide",
    "MarkovGuide",
    "MeanFieldGuide",
    "MemoryGuide",
    "MixtureELBO",
    "MixtureGuide",
    "NeuralGuide",
    "OpenLoopGuide",
    "SMCGuide",
    "SimulatedGuide",
    "StationaryGuide",
    "ViewGuide",
    "WindowGuide",
    "guide_entry",
    "guide_zoo",
]
