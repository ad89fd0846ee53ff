"""Files, and exchange with other libraries: labelled arrays, array layouts, text maps and continuous environments."""

# isort: off
# Files
from .saved import save as save
from .saved import load as load

# Labelled results
from .labelled import to_xarray as to_xarray
from .arviz_tree import to_arviz as to_arviz

# Array layouts
from .dense import to_dense as to_dense
from .dense import DenseArrays as DenseArrays
from .quantecon import from_quantecon as from_quantecon
from .quantecon import to_quantecon as to_quantecon
from .quantecon import QuantEconArrays as QuantEconArrays
from .mdptoolbox import from_mdptoolbox as from_mdptoolbox
from .mdptoolbox import to_mdptoolbox as to_mdptoolbox
from .mdptoolbox import MDPToolboxArrays as MDPToolboxArrays
from .pymdp import from_pymdp as from_pymdp
from .pymdp import to_pymdp as to_pymdp
from .pymdp import PymdpArrays as PymdpArrays
from .seals import from_seals as from_seals
from .seals import to_seals as to_seals
from .seals import SealsArrays as SealsArrays
from .feasible import feasible_prior as feasible_prior

# Agents
from .predictor import policy_from_predict as policy_from_predict

# Problems
from ..models.grid_world import grid_world as grid_world
from ..models.grid_world import Cell as Cell
from ..environments.discretise import discretise as discretise
from ..environments.discretise import Discretised as Discretised
from ..environments.cells import Cells as Cells
from ..environments.bins import Chart as Chart
from ..environments.cell_policy import CellPlayer as CellPlayer

__all__ = [
    "save",
    "load",
    "to_xarray",
    "to_arviz",
    "to_dense",
    "DenseArrays",
    "from_quantecon",
    "to_quantecon",
    "QuantEconArrays",
    "from_mdptoolbox",
    "to_mdptoolbox",
    "MDPToolboxArrays",
    "from_pymdp",
    "to_pymdp",
    "PymdpArrays",
    "from_seals",
    "to_seals",
    "SealsArrays",
    "feasible_prior",
    "policy_from_predict",
    "grid_world",
    "Cell",
    "discretise",
    "Discretised",
    "Cells",
    "Chart",
    "CellPlayer",
]
