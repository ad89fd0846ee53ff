"""What programs that use the library do not import, which takes long; and that annotations can be checked."""

import subprocess
import sys

import pytest

IMPORTED_LATE = ["IPython", "PIL", "matplotlib", "networkx", "numba", "pandas", "scipy", "sympy", "xarray"]
COMPILER = ["torch._dynamo", "torch._inductor"]
NAMES = """
import pgm_control
packages = "models", "guides", "learners", "planners", "inverse_rl", "behaviour", "plot", "exchange", "testing"
for package in (pgm_control, *(getattr(pgm_control, name) for name in packages)):
    for name in package.__all__:
        getattr(package, name)
"""
FITS = """
from pgm_control import ClampedGuide, FreeGuide, TabularModel, compare, fit, infer
from pgm_control.inverse_rl import Demonstrations, inverse, reward_posterior
from pgm_control.learners import MaxEntPolicyGradient
from pgm_control.models import restaurant

model = TabularModel(restaurant(), temperature=1.0)
fit(model, FreeGuide(model), num_steps=2, checkpoint="checkpoint")
assert fit(model, FreeGuide(model), num_steps=3, resume="checkpoint").num_steps == 3
fit(model, FreeGuide(model), method="natural_gradient", num_steps=2)
fit(model, ClampedGuide(model), method="exact")
fit(model, ClampedGuide(model), method="em", num_steps=2)
compare(model, num_steps=2)
MaxEntPolicyGradient("CartPole-v1", hidden=(4,), num_envs=2).learn(10)
shown = Demonstrations.from_trajectories(model.mdp, infer(model, 0.0).sample(5))
inverse(model, shown, "state", prior=1.0, method="adam", num_steps=2)
reward_posterior(model, shown, "state", prior=1.0, method="laplace")
"""


CHECKED = """
import importlib, pkgutil
import jaxtyping
with jaxtyping.install_import_hook("pgm_control", "beartype.beartype"):
    import pgm_control
    for each in pkgutil.walk_packages(pgm_control.__path__, "pgm_control."):
        if not each.name.endswith(".__main__"):
            try:
                importlib.import_module(each.name)
            except ModuleNotFoundError as missing:  # of an extra that is not installed
                if (missing.name or "pgm_control").partition(".")[0] == "pgm_control":
                    raise
                print("without", missing.name, each.name)
print("all")
"""


def imported_by(program, modules, folder):
    """The given modules that this program imports in a new process."""
    code = f"import sys\n{program}\nprint(sorted(set({modules}) & set(sys.modules)))\n"
    found = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    return found.stdout.splitlines()[-1]


@pytest.mark.slow
def test_every_module_can_be_imported_with_annotations_checked(tmp_path):
    """A checker refuses an annotation that it cannot check, such as a protocol that is not checkable at run time.

    That shows when the module is imported, here, long before the run of the suite with annotations checked.
    """
    pytest.importorskip("beartype")
    found = subprocess.run([sys.executable, "-c", CHECKED], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr[-3000:]
    assert found.stdout.splitlines()[-1] == "all"


def test_the_package_is_imported_without_torch(tmp_path):
    assert imported_by("import pgm_control", [*IMPORTED_LATE, "torch", "pyro"], tmp_path) == "[]"


def test_no_public_name_imports_what_may_not_be_used(tmp_path):
    assert imported_by(NAMES, [*IMPORTED_LATE, *COMPILER], tmp_path) == "[]"


def test_first_fits_do_not_import_the_compiler_of_torch(tmp_path):
    assert imported_by(FITS, COMPILER, tmp_path) == "[]"
