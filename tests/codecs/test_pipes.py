"""Live pipes: sound comes out while speech still goes in, all of it, and a cut loses only what had not come."""

import io
import os
import select
import subprocess
import sys
import time

import numpy as np
import pytest

from pcodec import PcodecError
from pcodec.bitstream.container import Stream
from pcodec.codecs import parametric, pipes
from pcodec.features.vocoder import DELAY
from pcodec.speech import audio
from pcodec.speech.decoders import Raw

BEHIND = 0.2  # s of sound that may be on its way: a packet, its look-ahead, the decoder's delay, a read


@pytest.fixture(scope="module")
def coder(codec_folder):
    return parametric.Codec.load(codec_folder, units=32, C=2)


class Pipe(io.BytesIO):
    """A source that cannot be sought in, and gives what it likes."""

    def seekable(self):
        return False

    def read(self, size=-1):
        return super().read(min(size, 37) if size > 0 else size)


def pcm(samples):
    return Raw("s16le", audio.RATE).bytes(samples)


@pytest.mark.parametrize("samples", [0, 1, 400, 561, 6401, 16000])
def test_as_many_samples_as_went_in(coder, speech, samples):
    packets, sound = io.BytesIO(), io.BytesIO()
    raw = Raw("s16le", audio.RATE)
    assert pipes.send(coder, Pipe(pcm(speech[:samples])), packets, raw) == samples
    assert pipes.receive(Pipe(packets.getvalue()), sound, lambda kind: coder, raw) == samples
    assert len(sound.getvalue()) == 2 * samples
    stream = Stream.from_bytes(packets.getvalue())
    assert stream.samples == samples and stream.groups == 2
    decoder = parametric.Decoder(coder)
    blocks = [decoder.push(packet[None], group) for packet, group in zip(stream.packets, stream.group, strict=True)]
    whole = np.concatenate([*blocks, decoder.finish()])[DELAY : DELAY + samples]
    assert sound.getvalue() == pcm(whole)


def test_a_cut_loses_only_what_had_not_come(coder, speech):
    packets, sound = io.BytesIO(), io.BytesIO()
    raw = Raw("s16le", audio.RATE)
    pipes.send(coder, Pipe(pcm(speech[:16000])), packets, raw)
    with pytest.raises(PcodecError, match=r"truncated: it ends after 10 packets, without an end; 0\.40 s were decoded"):
        pipes.receive(Pipe(packets.getvalue()[: 24 + 9 * 10 + 5]), sound, lambda kind: coder, raw)
    assert len(sound.getvalue()) == 2 * (640 * 10 - DELAY + 320)


def test_another_codec_s_stream_is_refused(coder, codec_folder, speech):
    packets = io.BytesIO()
    pipes.send(
        parametric.Codec.load(codec_folder, units=32, C=1), Pipe(pcm(speech[:800])), packets, Raw("s16le", 16000)
    )
    with pytest.raises(PcodecError, match="coded for 1 speaker groups, this codec has 2"):
        pipes.receive(Pipe(packets.getvalue()), io.BytesIO(), lambda kind: coder)


def test_a_file_is_no_live_stream(coder, speech):
    with pytest.raises(PcodecError, match="without --stream"):
        pipes.receive(Pipe(coder.encode(speech)), io.BytesIO(), lambda kind: coder)


@pytest.mark.skipif(sys.platform == "win32", reason="a pipe of POSIX")
def test_sound_comes_out_while_speech_still_goes_in(speech):
    """Two commands and a pipe between them; the speaker pauses, and what was said has been heard by then."""
    command = [sys.executable, "-m", "pcodec"]
    live = ["--stream", "--raw", "s16le", "-", "-"]
    encode = subprocess.Popen([*command, "encode", *live], stdin=-1, stdout=-1)
    decode = subprocess.Popen([*command, "decode", *live], stdin=encode.stdout, stdout=-1)
    encode.stdout.close()
    said, heard = np.tile(speech, 2)[: 2 * audio.RATE], 0
    encode.stdin.write(pcm(said))
    encode.stdin.flush()
    until = time.monotonic() + 120  # the codecs are loaded, perhaps compiled
    while heard < 2 * (len(said) - BEHIND * audio.RATE) and time.monotonic() < until:
        if select.select([decode.stdout], [], [], 1)[0]:
            heard += len(os.read(decode.stdout.fileno(), 65536))
    assert heard >= 2 * (len(said) - BEHIND * audio.RATE), "nothing waits for the end of the talk"
    encode.stdin.close()
    rest = decode.stdout.read()
    assert encode.wait() == decode.wait() == 0
    assert heard + len(rest) == 2 * len(said)
