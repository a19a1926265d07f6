"""Processes that need not import the libraries, because they are forked from one that has.

Task: in a small run, importing torch, pandas, seaborn and papermill anew for each of some fifty notebooks takes longer
than what they compute. `serve` is the process that imports, once, while Snakemake starts. `kernel` and
`run` take the place of a kernel and of `pcodec run`: they have it forked, and live as long as it does.

Conventions: modules of pcodec are not imported ahead, so that a notebook has them as they are when it starts. Linux
only; where there is no server, all starts as it always does. Only for kernels of one thread: libraries fix their number
of threads when they are imported.

Contents: `serve`, `kernel`, `run`, `compile_ahead`.
"""

import contextlib
import importlib
import json
import os
import runpy
import signal
import socket
import sys
import threading
import traceback

LIBRARIES = (
    "IPython.display", "ipykernel.debugger", "ipykernel.kernelapp", "ipykernel.ipkernel", "matplotlib.pyplot",
    "matplotlib_inline.backend_inline", "numba", "numba.np.npyimpl", "numpy", "pandas", "papermill", "scipy.signal",
    "scipy.special", "scipy.stats", "seaborn", "sklearn.cluster", "sklearn.manifold", "soundfile", "torch",
    "torch._dynamo", "tqdm",  # torch's optimizers import _dynamo
)  # fmt: skip
MESSAGE = 2**20  # bytes of a question, at most: a command line and an environment


def serve(path: str) -> None:
    """Listen at a socket, and fork a process for everyone who asks there; first of all, one that compiles ahead."""
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"  # as ipykernel sets it before an import
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # what ipykernel imports would warn of how Python was built
    sys.modules["rfc3987_syntax"] = None  # what papermill does not need of jsonschema, and takes long
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen(64)
    for library in LIBRARIES:
        importlib.import_module(library)
    importlib.import_module("numba").njit(lambda x: x + x)(1.0)  # the first call of compiled code takes half a second
    if os.fork() == 0:
        server.close()
        compile_ahead()
        return
    while True:
        connection, _ = server.accept()
        question, outputs, _, _ = socket.recv_fds(connection, MESSAGE, 2)
        if os.fork() == 0:
            server.close()
            _become(connection, outputs, **json.loads(question))
        for output in outputs:
            os.close(output)
        connection.close()


def _become(connection, outputs, what, arguments, environment, folder):
    """Be the process that was asked for, to its end; its exit status is the answer."""
    status = 1
    for number, output in enumerate(outputs, 1):
        os.dup2(output, number)
        os.close(output)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    threading.Thread(target=_heed, args=[connection], daemon=True).start()
    try:
        if what == "kernel":
            from ipykernel.kernelapp import launch_new_instance

            launch_new_instance(argv=arguments)
        else:
            sys.argv[1:] = arguments
            runpy.run_module("pcodec", run_name="__main__")
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        with contextlib.suppress(OSError):
            connection.send(bytes([status]))
        os._exit(status)


def _heed(connection):
    """Do what happens to the process in whose place this one is."""
    while number := connection.recv(1):
        os.kill(os.getpid(), number[0])
    os._exit(1)


def kernel(path: str, *arguments: str) -> int:
    """In place of a kernel. Jupyter interrupts it before its end."""
    return _ask(path, "kernel", arguments, ["-m", "ipykernel_launcher"], [signal.SIGINT])


def run(*arguments: str) -> int:
    """In place of `pcodec run`, which tidies up before it ends."""
    arguments = "run", *arguments
    ends = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    return _ask(os.environ.get("PCODEC_WARM", ""), "run", arguments, ["-m", "pcodec"], ends)


def _ask(path, what, arguments, without, signals):
    """Have a process forked, pass `signals` on to it, and wait for its exit status; without a server, become it."""
    with socket.socket(socket.AF_UNIX) as connection:
        question = {"what": what, "arguments": arguments, "environment": dict(os.environ), "folder": os.getcwd()}
        try:
            connection.connect(path)
            socket.send_fds(connection, [json.dumps(question).encode()], [1, 2])
        except OSError:
            os.execv(sys.executable, [sys.executable, *without, *arguments])
        for number in signals:
            signal.signal(number, lambda number, _: connection.send(bytes([number])))
        with contextlib.suppress(ConnectionError):  # it has ended before it read a signal
            if status := connection.recv(1):
                return status[0]
    return 1


def compile_ahead() -> None:
    """Have Numba compile what a codec calls, before a notebook needs it; nothing to do where it has done so before."""
    import numpy as np

    from pcodec.bitstream.codebooks import Codebooks
    from pcodec.bitstream.container import Stream
    from pcodec.fargan.config import SIZES
    from pcodec.fargan.model import Fargan
    from pcodec.fargan.synthesis import Synthesizer
    from pcodec.lpcnet import synthesis as lpcnet
    from pcodec.lpcnet.config import LPCNetConfig
    from pcodec.lpcnet.model import LPCNet

    os.nice(19)  # only what nobody else needs of the processor
    books = Codebooks.shipped()
    noise = np.random.default_rng(1).normal(0.0, 0.1, 4000)
    features = Stream.encode(noise, books).features(books)
    lpcnet.Synthesizer(LPCNet(LPCNetConfig(units=16), seed=1).arrays()).decode_together([features], [None])
    Synthesizer(SIZES["tiny"], Fargan(SIZES["tiny"], seed=1).arrays()).decode_together([features], [None])


if __name__ == "__main__":
    sys.exit({"serve": serve, "kernel": kernel, "run": run, "compile": compile_ahead}[sys.argv[1]](*sys.argv[2:]))
