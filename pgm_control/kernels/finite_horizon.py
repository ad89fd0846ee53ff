"""The entry points of the compiled finite-horizon loops; the recursions in torch are their reference."""

from .elbo import elbo_gradients as elbo_gradients
from .elbo import elbo_to_go as elbo_to_go
from .elbo import natural_step as natural_step
from .one_setting import factors_of_one as factors_of_one
from .one_setting import solve_one as solve_one
from .one_setting import visits_of_one as visits_of_one
from .rows import row_error as row_error
from .rows import tilted as tilted
from .rows import tilted_gradient as tilted_gradient
from .rows import untilted as untilted
from .solve import solve as solve
from .sweep import SMALL as SMALL
