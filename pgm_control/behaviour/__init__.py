"""Behaviour of people: the optimism, temperature, reward weights and lapses behind their choices.

from pgm_control.behaviour import Choices, PeoplePrior, fit_people
"""

from .trials.choices import Choices as Choices
from .trials.likelihood import behaviour_log_likelihood as behaviour_log_likelihood
from .trials.simulate import simulate_people as simulate_people
from .people_prior import PeoplePrior as PeoplePrior
from .fit_people import fit_people as fit_people
from .people_fit import PeopleFit as PeopleFit
from .people_fit import PeopleStatus as PeopleStatus
from .people_identification import PeopleIdentification as PeopleIdentification
from .people_program import PeopleProgram as PeopleProgram
from .compare_people import compare_people_models as compare_people_models
from .compare_people import PeopleComparison as PeopleComparison
from .recovery import recovery as recovery
from .recovery import Recovery as Recovery
from .model_confusion import model_confusion as model_confusion
from .model_confusion import ModelConfusion as ModelConfusion

__all__ = [
    "Choices",
    "behaviour_log_likelihood",
    "simulate_people",
    "PeoplePrior",
    "fit_people",
    "PeopleFit",
    "PeopleStatus",
    "PeopleIdentification",
    "PeopleProgram",
    "compare_people_models",
    "PeopleComparison",
    "recovery",
    "Recovery",
    "model_confusion",
    "ModelConfusion",
]
