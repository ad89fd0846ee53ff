"""The C sources of this folder, compiled for this machine on first use."""

import ctypes
import functools
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
FLAGS = ["-O3", "-march=native", "-ffast-math", "-fopenmp", "-shared", "-fPIC"]
if platform.machine() == "x86_64":  # scalar loads were faster than the gather instruction where this was written
    FLAGS += ["-mprefer-vector-width=512", "-mtune-ctrl=^use_gather"]


class NoCompiler(RuntimeError):
    """gcc is not installed, or failed on a source."""


@functools.cache
def library(name: str, *options: str) -> ctypes.CDLL:
    """The compiled library from the source of this name, with options such as -DREAL=float.

    Raises:
        NoCompiler: if there is no gcc, or it fails; the message includes the output of gcc.
    """
    gcc = shutil.which("gcc")
    if gcc is None:
        raise NoCompiler("gcc is not on the PATH: install it to measure against the limit in C.")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # waiting threads must not occupy the cores of a busy machine
    folder = Path(tempfile.mkdtemp(prefix="pgm-control-limit-"))
    target = folder / f"{name}.so"
    command = [gcc, *FLAGS, *options, "-o", str(target), str(HERE / f"{name}.c"), "-lm"]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
        return ctypes.CDLL(str(target))
    except subprocess.CalledProcessError as problem:
        raise NoCompiler(f"gcc failed on {name}.c:\n{problem.stderr}") from problem
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def available(name: str = "finite") -> bool:
    """Whether the limit of this name can be measured; if not, print why."""
    try:
        library(name)
    except NoCompiler as problem:
        print(f"  (no limit in C: {problem})")
        return False
    return True


def pointer(array: np.ndarray) -> ctypes.c_void_p:
    """The pointer to a contiguous array; the array must outlive the call."""
    assert array.flags.c_contiguous
    return ctypes.c_void_p(array.ctypes.data)
