"""Two hundred damaged files of each format: no traceback, no hang, no gigabytes, and nothing is lost without a word."""

import io
import resource
import signal
import subprocess
import sys
from contextlib import redirect_stderr
from pathlib import Path

import numpy as np
import pytest
import soundfile

FILES = 200
SECONDS, RATE = 0.6, 16000
HANG = 5  # s
MOST = 2**30  # bytes that reading may take, beside what the process has when it begins
SHORT = 0.1  # s that may be missing without a word


def damaged(data: bytes, rng) -> bytes:
    """Cut short, with a part overwritten, taken out or doubled, or with bits flipped."""
    at, length = rng.integers(len(data)), int(rng.integers(1, 200))
    kind = rng.integers(5)
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[:at] + rng.bytes(length) + data[at + length :]
    if kind == 2:
        return data[:at] + data[at + length :]
    if kind == 3:
        return data[: at + length] + data[at:]
    changed = np.frombuffer(data, np.uint8).copy()
    places = rng.integers(min(len(data), 200) if rng.random() < 0.5 else len(data), size=int(rng.integers(1, 6)))
    changed[places] ^= (1 << rng.integers(8, size=len(places))).astype(np.uint8)
    return changed.tobytes()


def main(folder: str, suffix: str) -> None:
    """Reads damaged files, within limits; prints what was wrong."""
    from pcodec import PcodecError
    from pcodec.speech import audio

    path = Path(folder) / f"whole{suffix}"
    time = np.arange(int(SECONDS * RATE)) / RATE
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * (200 + 500 * time) * time), RATE)
    whole, data = len(audio.read(path)) / audio.RATE, path.read_bytes()
    bad = Path(folder) / f"bad{suffix}"
    bad.write_bytes(data[: len(data) // 2])
    try:
        audio.read(bad)  # whatever is imported for it
    except PcodecError:
        pass
    limit = MOST + 1024 * int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmSize")))
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    refused = 0
    for seed in range(FILES):
        bad.write_bytes(damaged(data, np.random.default_rng(seed)))
        said = io.StringIO()
        signal.alarm(HANG)
        try:
            with redirect_stderr(said):
                seconds = len(audio.read(bad)) / audio.RATE
            if seconds < whole - SHORT and "note" not in said.getvalue():
                print(f"seed {seed}: {seconds:.2f} of {whole:.2f} s without a word")
        except PcodecError as error:
            refused += 1
            if "\n" in str(error) or str(bad) not in str(error):
                print(f"seed {seed}: {error}")
        signal.alarm(0)
    print(f"refused {refused}", file=sys.stderr)


@pytest.mark.skipif(sys.platform != "linux", reason="limits as on Linux")
@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3"])
def test_damaged_audio_files(tmp_path, suffix):
    command = [sys.executable, __file__, str(tmp_path), suffix]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == ""


if __name__ == "__main__":
    main(*sys.argv[1:])
