"""Other codecs, each through its own tools.

Task: what a user would otherwise pick, on the same utterances: Codec 2, Opus and Speex at low rates, and Lyra. Each is
encoded and decoded by its own programs (Debian: `apt-get install codec2 opus-tools speex`; Lyra's are built from its
sources, and LYRA_MODEL is its folder lyra/model_coeffs); the bit rate is that of the file it made, so headers and
containers count.

Conventions: in and out (samples,) at 16 kHz in [-1, 1], of equal length. Codecs are late by some 20 ms, not all by a
constant; the output is moved by the `lag` of its envelope. Notebook 09_objective.

Contents: `PEERS`, `missing`, `roundtrip`, `lag`.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.signal

from pcodec import PcodecError
from pcodec.speech import audio

FARTHEST = 0.05  # s that an output may be late or early
ENVELOPE = 60.0  # Hz, its bandwidth
SOFTEST = 1e-4  # envelope under which nothing is heard


class Peer(NamedTuple):
    rate: int  # Hz
    encode: str  # command, from input.raw (16 bits, mono), or input.wav
    decode: str  # command
    coded: str = "coded"  # the file that the first writes
    output: str = "output.raw"  # and the second
    needs: str = ""  # a variable of the environment that names a folder; "{}" in the commands


def _codec2(mode):
    return Peer(8000, f"c2enc {mode} input.raw coded", f"c2dec {mode} coded output.raw")


PEERS = {
    "Codec 2 3200": _codec2(3200),
    "Codec 2 2400": _codec2(2400),
    "Codec 2 1600": _codec2(1600),
    "Codec 2 1200": _codec2(1200),
    "Codec 2 700": _codec2("700C"),
    "Opus 6": Peer(
        audio.RATE,
        "opusenc --quiet --raw --raw-rate 16000 --raw-chan 1 --padding 0 --bitrate 6 input.raw coded",
        "opusdec --quiet --rate 16000 coded output.raw",
    ),
    "Speex wideband q0": Peer(
        audio.RATE, "speexenc -w --quality 0 --le --rate 16000 input.raw coded", "speexdec coded output.raw"
    ),
    "Lyra 3200": Peer(
        audio.RATE,
        "encoder_main --input_path=input.wav --output_dir=. --bitrate=3200 --model_path={}",
        "decoder_main --encoded_path=input.lyra --output_dir=. --bitrate=3200 --model_path={}",
        "input.lyra",
        "input_decoded.wav",
        "LYRA_MODEL",
    ),
}


def missing(name: str) -> list[str]:
    """Programs of a peer, and variables of the environment, that this machine lacks."""
    peer = PEERS[name]
    tools = [command.split()[0] for command in (peer.encode, peer.decode)]
    absent = [peer.needs] if peer.needs and not os.environ.get(peer.needs) else []
    return [tool for tool in tools if not shutil.which(tool)] + absent


def roundtrip(name: str, samples: np.ndarray) -> tuple[np.ndarray, float]:
    """Samples at 16 kHz through a peer: (decoded samples, bits per second of the coded file).

    Raises `PcodecError` if there is no such peer, a program is missing, or one fails.
    """
    if name not in PEERS:
        raise PcodecError(f"no peer {name!r}; there are {', '.join(PEERS)}")
    if missing(name):
        raise PcodecError(f"{name}: no {' and no '.join(missing(name))} (apt-get install codec2 opus-tools speex)")
    peer, samples = PEERS[name], audio.checked(samples)
    sent = np.append(samples, np.zeros(int(2 * FARTHEST * audio.RATE)))  # so that the end comes out, too
    with tempfile.TemporaryDirectory() as folder:
        if "input.wav" in peer.encode:
            audio.write(Path(folder) / "input.wav", sent)
        else:
            _pcm(scipy.signal.resample_poly(sent, 1, audio.RATE // peer.rate)).tofile(Path(folder) / "input.raw")
        needed = os.path.abspath(os.environ[peer.needs]) if peer.needs else ""
        for command in (peer.encode.format(needed), peer.decode.format(needed)):
            done = subprocess.run(command.split(), cwd=folder, capture_output=True, text=True)
            if done.returncode:
                raise PcodecError(f"{name}: {command}: {' '.join(done.stderr.split()[-30:]) or done.returncode}")
        bits, output = 8.0 * (Path(folder) / peer.coded).stat().st_size, Path(folder) / peer.output
        decoded = audio.read(output) if output.suffix == ".wav" else np.fromfile(output, "<i2") / audio.SCALE
    decoded = scipy.signal.resample_poly(decoded, audio.RATE // peer.rate, 1)
    late = lag(samples, decoded)
    decoded = np.concatenate([np.zeros(max(0, -late)), decoded[max(0, late) :], np.zeros(len(samples))])
    return decoded[: len(samples)].astype(np.float32), bits / (len(sent) / audio.RATE)


def lag(reference: np.ndarray, decoded: np.ndarray) -> int:
    """Samples by which `decoded` is late (negative: early), within 50 ms: where their log envelopes correlate most.

    Vocoders keep envelopes, not waveforms, so that this works where a correlation of waveforms does not.
    """
    length = min(len(reference), len(decoded))
    first, second = (_envelope(signal[:length]) for signal in (reference, decoded))
    lags = scipy.signal.correlation_lags(length, length)
    near = np.abs(lags) <= FARTHEST * audio.RATE
    return int(lags[near][np.argmax(scipy.signal.correlate(second, first)[near])])


def _envelope(signal):
    smooth = scipy.signal.butter(2, ENVELOPE, fs=audio.RATE, output="sos")
    envelope = np.log(np.maximum(scipy.signal.sosfiltfilt(smooth, np.abs(signal)), SOFTEST))
    return envelope - envelope.mean()


def _pcm(samples):
    return np.clip(np.rint(samples * audio.SCALE), -32768, 32767).astype("<i2")
