"""Guides: variational families of distributions over trajectories, and the zoo of named guides."""

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
from .latent_markov import LatentMarkovGuide as LatentMarkovGuide
from .option import OptionGuide as OptionGuide
from .option import FreeOptionGuide as FreeOptionGuide
from .latent_policy import LatentPolicyGuide as LatentPolicyGuide
from .simulated import SimulatedGuide as SimulatedGuide
from .continuous import ContinuousGuide as ContinuousGuide
from .continuous_neural import ClampedNeuralGuide as ClampedNeuralGuide
from .continuous_neural import FreeNeuralGuide as FreeNeuralGuide
from .continuous_neural import FlowGuide as FlowGuide
from .improved import ImportanceGuide as ImportanceGuide
from .improved import SMCGuide as SMCGuide
from .gaussian import GaussianGuide as GaussianGuide
from .gaussian_families import ClampedGaussianGuide as ClampedGaussianGuide
from .gaussian_families import FreeGaussianGuide as FreeGaussianGuide
from .gaussian_families import GaussianDialGuide as GaussianDialGuide
from .gaussian_families import OpenLoopGaussianGuide as OpenLoopGaussianGuide
from .zoo import GuideEntry as GuideEntry
from .zoo import guide_entry as guide_entry
from .zoo import guide_zoo as guide_zoo
from .mixture_process import MixtureProcess as MixtureProcess
from .mixture_process import Information as Information
from .latent_process import LatentProcess as LatentProcess
from .simulated import SimulatedWorld as SimulatedWorld

__all__ = [
    "MarkovGuide",
    "FreeGuide",
    "ClampedGuide",
    "DialGuide",
    "ViewGuide",
    "OpenLoopGuide",
    "WindowGuide",
    "FreeWindowGuide",
    "StationaryGuide",
    "DeterministicGuide",
    "NeuralGuide",
    "MeanFieldGuide",
    "LowRankGuide",
    "MemoryGuide",
    "MixtureGuide",
    "MixtureELBO",
    "LatentMarkovGuide",
    "OptionGuide",
    "FreeOptionGuide",
    "LatentPolicyGuide",
    "SimulatedGuide",
    "ContinuousGuide",
    "ClampedNeuralGuide",
    "FreeNeuralGuide",
    "FlowGuide",
    "ImportanceGuide",
    "SMCGuide",
    "GaussianGuide",
    "ClampedGaussianGuide",
    "FreeGaussianGuide",
    "GaussianDialGuide",
    "OpenLoopGaussianGuide",
    "GuideEntry",
    "guide_entry",
    "guide_zoo",
    "MixtureProcess",
    "Information",
    "LatentProcess",
    "SimulatedWorld",
]
