"""Kernels that need not import the libraries, because they are forked from a process that has.

Task: in a small run, importing torch, pandas and seaborn anew for each of some forty notebooks takes longer than what
they compute. `serve` is the process that imports, once, when the first kernel is asked for; `ask` takes a kernel's
place: it has a kernel forked, and lives as long as that does.

Conventions: modules of pcodec are not imported ahead, so that a notebook has them as they are when it starts. Linux
only; where there is no server, a kernel starts as it always does. Only for kernels of one thread: libraries fix their
number of threads when they are imported.

Contents: `serve`, `ask`, `compile_ahead`.
"""

import contextlib
import importlib
import json
import os
import signal
import socket
import sys
import threading

LIBRARIES = (
    "IPython.display", "ipykernel.kernelapp", "ipykernel.ipkernel", "matplotlib.pyplot", "numba", "numpy", "pandas",
    "scipy.signal", "scipy.special", "scipy.stats", "seaborn", "sklearn.cluster", "sklearn.manifold", "soundfile",
    "torch", "torch._dynamo", "tqdm",  # torch's optimizers import _dynamo
)  # fmt: skip
MESSAGE = 2**20  # bytes of a question, at most: a command line and an environment


def serve(path: str) -> None:
    """Listen at a socket, and fork a kernel for everyone who asks there."""
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"  # as ipykernel sets it before an import
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen(64)
    while True:
        connection, _ = server.accept()
        for library in LIBRARIES:
            importlib.import_module(library)
        question, outputs, _, _ = socket.recv_fds(connection, MESSAGE, 2)
        if os.fork() == 0:
            server.close()
            _become_kernel(connection, outputs, **json.loads(question))
        for output in outputs:
            os.close(output)
        connection.close()


def _become_kernel(connection, outputs, arguments, environment, folder):
    for number, output in enumerate(outputs, 1):
        os.dup2(output, number)
        os.close(output)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    threading.Thread(target=_heed, args=[connection], daemon=True).start()
    from ipykernel.kernelapp import launch_new_instance

    try:
        launch_new_instance(argv=arguments)
    finally:
        sys.stdout.flush()
        os._exit(0)


def _heed(connection):
    """Do what happens to the process in whose place this kernel is."""
    while connection.recv(1):
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(1)


def ask(path: str, *arguments: str) -> None:
    """Have a kernel forked and wait for its end; without a server, become one."""
    with socket.socket(socket.AF_UNIX) as connection:
        question = {"arguments": arguments, "environment": dict(os.environ), "folder": os.getcwd()}
        try:
            connection.connect(path)
            socket.send_fds(connection, [json.dumps(question).encode()], [1, 2])
        except OSError:
            os.execv(sys.executable, [sys.executable, "-m", "ipykernel_launcher", *arguments])
        signal.signal(signal.SIGINT, lambda *_: connection.send(b"i"))  # jupyter interrupts a kernel before its end
        with contextlib.suppress(ConnectionResetError):  # it has ended before it read the interrupt
            connection.recv(1)


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
    {"serve": serve, "ask": ask, "compile": compile_ahead}[sys.argv[1]](*sys.argv[2:])
