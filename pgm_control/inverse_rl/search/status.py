"""How a search for a reward ended."""

from ...runtime.status import Status


class InverseStatus(Status):
    """How `inverse`, or `inverse_in_simulator`, ended."""

    converged = "The gradient vanished: the reward is at a stationary point of the objective."
    no_progress = "No step along the gradient improved the objective any further; rounding is the limit."
    unbounded = (
        "No finite reward is best, to within 1e-9 nats: in one direction the likelihood does not fall, however large "
        "the reward grows. Its size in this direction is where the search stopped and means nothing. Give a `prior`."
    )
    out_of_steps = (
        "`num_steps` was reached before the gradient vanished in every search. Continue with inverse(…, reward=the "
        "same), whose parameters are kept. If the reward keeps growing, the demonstrations never do what it penalises: "
        "give a `prior`."
    )
    stopped = "A callback asked to stop."
    interrupted = "Interrupted by Ctrl-C. Nothing is lost: the reward has its best parameters so far."
    not_finite = "The likelihood became nan or infinite; the reward has its best parameters so far. Give a `prior`."
