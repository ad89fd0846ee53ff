"""The type of arguments that are converted to arrays."""

import numpy.typing as npt
from torch import Tensor
from typing_extensions import TypeAliasType

# An alias with a name, so that `help` prints the name instead of the union.
ArrayLike = TypeAliasType("ArrayLike", npt.ArrayLike | Tensor)
