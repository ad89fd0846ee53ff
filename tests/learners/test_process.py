"""A learner changes nothing in its process: memory allocator, threads, defaults of torch, global generators."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

SETTINGS = """
import os, random, signal, warnings
import numpy, torch
from pgm_control.learners import SAC, MaxEntPolicyGradient, OriginalSAC, SoftQLearning

def settings():
    python, arrays = random.getstate(), numpy.random.get_state()
    return {
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "dtype": (torch.get_default_dtype(), torch.get_default_device()),
        "gradients": (torch.is_grad_enabled(), torch.is_anomaly_enabled(), torch.is_autocast_enabled("cpu")),
        "precision": (torch.get_float32_matmul_precision(), torch.backends.mkldnn.enabled),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "generators": (torch.get_rng_state().tolist(), python, [str(each) for each in arrays]),
        "errors": numpy.geterr(),
        "warnings": list(warnings.filters),
        "signals": [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)],
        "environment": dict(os.environ),
        "folder": os.getcwd(),
    }

before = settings()
for kind in (SAC, MaxEntPolicyGradient, OriginalSAC, SoftQLearning):
    tiny = {} if kind is MaxEntPolicyGradient else {"batch_size": 4, "learning_starts": 4, "capacity": 99}
    learner = kind("CartPole-v1", hidden=(8,), num_envs=1, seed=0, **tiny)
    made = settings()
    assert made == before, [name for name in before if made[name] != before[name]]
    learner.learn(20)
    learned = settings()
    assert learned == before, [name for name in before if learned[name] != before[name]]
"""

# Glibc takes large blocks from the system one by one, until a block of that size was freed or `mallopt` was called.
ALLOCATOR = """
import ctypes, re, torch
from pgm_control.learners import SAC, MaxEntPolicyGradient, OriginalSAC, SoftQLearning

class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena free fast blocks rest a b c d e".split()]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Info

def taken_one_by_one():
    before = libc.mallinfo2().blocks
    block = libc.malloc
    block.restype, block.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    kept.append(block(8 << 20))
    return libc.mallinfo2().blocks - before

def large_pages():
    flags = re.findall(r"^VmFlags:(.*)$", open("/proc/self/smaps").read(), re.M)
    return sum("hg" in each.split() for each in flags)

kept = []
before = taken_one_by_one(), large_pages()
assert before[0] == 1
for kind in (SAC, MaxEntPolicyGradient, OriginalSAC, SoftQLearning):
    learner = kind("Pendulum-v1", seed=0, **({} if kind is MaxEntPolicyGradient else {"capacity": 1000}))
    assert (taken_one_by_one(), large_pages()) == before, kind
"""


def run(text):
    found = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr


def test_settings_and_generators_stay():
    run(SETTINGS)


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc"
    or tuple(map(int, platform.libc_ver()[1].split("."))) < (2, 33)
    or not Path("/proc/self/smaps").exists(),
    reason="the state of the allocator can be read with glibc 2.33 and Linux",
)
def test_the_memory_allocator_stays():
    run(ALLOCATOR)
