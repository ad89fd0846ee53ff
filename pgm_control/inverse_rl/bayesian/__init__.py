"""Posteriors over rewards, optimism and temperature, given demonstrations; and who was watched, by evidence.

from pgm_control.inverse_rl.bayesian import compare_demonstrators, reward_posterior
"""

from .reward_posterior import reward_posterior as reward_posterior
from .reward_posterior import RewardPosterior as RewardPosterior
from .reward_program import RewardProgram as RewardProgram
from .compare_demonstrators import compare_demonstrators as compare_demonstrators
from .compare_demonstrators import DemonstratorComparison as DemonstratorComparison
