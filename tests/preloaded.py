"""Programs in copies of one process, which has imported the libraries: that takes most of the time of a short program.

A copy has the state of a new process, but for what is imported: nothing else has run in the process that is copied, and
it has one thread. Not on Linux, each program begins anew; so do the examples in `.ci/run`, which shows what they lack.
"""

import atexit
import contextlib
import gc
import importlib
import os
import runpy
import select
import socket
import subprocess
import sys
import traceback
import warnings
from pathlib import Path

IS_COPIED = sys.platform == "linux"  # a copy of a process in which a library has begun threads may hang elsewhere
IMPORTED = ("gymnasium", "matplotlib.pyplot", "pgm_control.cli.main", "pyro.infer", "pyro.optim", "scipy.stats", "tyro")
PACKAGES = ("pgm_control", "pgm_control.guides", "pgm_control.inverse_rl", "pgm_control.learners", "pgm_control.models")
COMMAND = """#!{python} -IS
import os, socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as line:
    line.connect({address!r})
    socket.send_fds(line, ["\\0".join([os.getcwd(), {name!r}, *sys.argv[1:]]).encode()], [0, 1, 2])
    sys.exit(int(line.recv(16) or 1))
"""


@contextlib.contextmanager
def commands(folder, environment):
    """A folder with commands that run in copies: `python FILE`, where a warning is an error, and `pgm-control`."""
    address = str(folder / "line")
    for name, anew in (("python", "-W error"), ("pgm-control", "-m pgm_control")):
        text = COMMAND if IS_COPIED else '#!/bin/sh\nexec "{python}" {anew} "$@"\n'
        (folder / name).write_text(text.format(python=sys.executable, address=address, name=name, anew=anew))
        (folder / name).chmod(0o755)
    if not IS_COPIED:
        yield folder
        return
    command, pipe = [sys.executable, "-W", "error", __file__, address], subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe) as server:
        assert server.stdout.readline() == b"ready\n"
        yield folder
        server.stdin.close()  # which ends it


def serve(address):
    """Wait for programs; return the words of one, in its copy, or None at the end."""
    for name in IMPORTED:
        importlib.import_module(name)
    for package in map(importlib.import_module, PACKAGES):
        for name in package.__all__:
            getattr(package, name)
    gc.freeze()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
        door.bind(address)
        door.listen()
        os.write(1, b"ready\n")
        while door in select.select([door, 0], [], [])[0]:
            line, _ = door.accept()
            with line:
                said, files, *_ = socket.recv_fds(line, 2**16, 3)
                if not (copy := os.fork()):
                    for number, file in enumerate(files):
                        os.dup2(file, number)
                        os.close(file)
                    return said.decode().split("\0")
                for file in files:
                    os.close(file)
                line.send(b"%d" % os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1]))
    return None


def run(folder, command, *words):
    """Run a program as a new process would; return its exit status."""
    os.chdir(folder)
    sys.stdout, sys.stderr = (os.fdopen(each, "w", 1, "utf8", closefd=False) for each in (1, 2))
    try:
        if command == "python":
            sys.argv, sys.path[0] = list(words), str(Path(words[0]).parent)
            runpy.run_path(words[0], run_name="__main__")
            return 0
        warnings.resetwarnings()
        sys.argv = [command, *words]
        return importlib.import_module("pgm_control.cli.main").main()
    except SystemExit as found:
        return found.code if isinstance(found.code, int) else int(found.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parent)
    if (asked := serve(sys.argv[1])) is not None:
        status = run(*asked)
        atexit._run_exitfuncs()
        sys.stdout.flush()
        os._exit(status)  # to take the libraries apart takes longer than many a program
