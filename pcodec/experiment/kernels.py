"""How the kernels of notebooks are started.

Task: without network ports, of which two kernels that start at the same moment sometimes choose the same, and which are
open to others on the machine; and, in a run that has a server for them, from there (`pcodec.experiment.warm`).

Contents: `Kernels`, `config`.
"""

import os
import sys

from jupyter_client.manager import AsyncKernelManager
from traitlets.config import Config


class Kernels(AsyncKernelManager):
    """The kernel manager of `pcodec.experiment.run`."""

    def format_kernel_cmd(self, extra_arguments=None) -> list[str]:
        command = super().format_kernel_cmd(extra_arguments)
        server = os.environ.get("PCODEC_WARM")  # its socket
        if not server or os.environ.get("OMP_NUM_THREADS") != "1":
            return command
        return [sys.executable, "-m", "pcodec.experiment.warm", "kernel", server, *command[command.index("-f") :]]


def config(folder: str) -> Config:
    """Of a kernel whose sockets are files in a folder."""
    return Config({"KernelManager": {"transport": "ipc", "connection_file": f"{folder}/kernel.json"}})
