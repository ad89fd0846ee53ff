"""The simulator of a model, by its kind."""

from typing import Any

from ...errors import InvalidArgument
from ...inference.local.vector_model import vector_model_of
from ...models.line import LineModel
from ...runtime.arguments import shown
from ...trajectories.blocks import MarkovModel
from ...trajectories.gaussian.model import is_gaussian
from .line import LineWorld
from .linear_quadratic import LinearQuadraticWorld
from .over_vectors import VectorWorld
from .simulated import SimulatorWorld
from .simulator import Simulator
from .tabular import TabularWorld
from .world import World


def world_of(model: Any) -> World:
    """The simulator of a model.

    Raises:
        InvalidArgument: if the model is of no kind that a planner can simulate.
    """
    if is_gaussian(model):
        return LinearQuadraticWorld(model)
    if isinstance(model, MarkovModel) and not isinstance(model, type):
        return TabularWorld(model)
    if getattr(model, "num_members", None) is not None and not isinstance(model, type):
        raise InvalidArgument(
            "`model` must not be an ensemble for a planner, which would have to say who knows the member. Take one: "
            "dynamics.given(torch.tensor(0))."
        )
    if isinstance(model, Simulator):
        return SimulatorWorld(model)
    if isinstance(model, LineModel):
        return LineWorld(model)
    vectors = None if isinstance(model, type) else vector_model_of(model)
    if vectors is not None:
        return VectorWorld(vectors)
    raise InvalidArgument(
        "`model` must be a LinearQuadraticModel, a PlanarModel, a LineModel, a ContinuousModel, a TabularModel or a "
        f"Simulator for a planner, but is {shown(model)}. Write the dynamics of an environment as a Simulator."
    )
