"""Live pipes: sound comes out while speech still goes in, all of it, and a cut loses only what had not come."""

import io
import os
import select
import subprocess
import sys
import time

import numpy as np
import pytest

from pcodec import PcodecError, paths
from pcodec.bitstream import live
from pcodec.bitstream.container import Stream
from pcodec.codecs import parametric, pipes
from pcodec.compute.backend import torch
from pcodec.features.vocoder import DELAY
from pcodec.soundstream.coding import DecoderState, EncoderState
from pcodec.soundstream.config import SIZES
from pcodec.soundstream.model import SoundStream
from pcodec.speakers import UNKNOWN
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


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A codec of two groups that is learned end to end, of random weights."""
    folder = tmp_path_factory.mktemp("soundstream")
    for name, seed in (("control", 1), ("C2-g0", 2), ("C2-g1", 3)):
        model = SoundStream(SIZES["tiny"], seed=seed)
        latents = torch.randn(1, 600, model.config.latent, generator=torch.Generator().manual_seed(seed))
        model.quantizer.start(latents)
        model.save(folder / f"soundstream-tiny-{name}.safetensors", np.float16)
    (folder / "groups-C2.safetensors").write_bytes((paths.SHIPPED / "groups-C2.safetensors").read_bytes())
    return parametric.Codec.load(folder, "soundstream-tiny", 2, kbps=0.8)


@pytest.mark.parametrize("samples", [0, 1, 160, 161, 6401])
def test_a_codec_that_is_learned_end_to_end_is_live_too(learned, speech, samples):
    packets, sound, raw = io.BytesIO(), io.BytesIO(), Raw("s16le", audio.RATE)
    assert pipes.send(learned, Pipe(pcm(speech[:samples])), packets, raw) == samples
    assert pipes.receive(Pipe(packets.getvalue()), sound, lambda kind: learned, raw) == samples
    assert len(sound.getvalue()) == 2 * samples
    stream = Stream.from_bytes(packets.getvalue())
    assert (stream.samples, stream.form) == (samples, learned.form)
    whole = np.concatenate([np.zeros(0, np.float32), *learned.decode_blocks(stream)])
    assert sound.getvalue() == pcm(whole)


def test_its_group_follows_the_talk_at_whole_40_ms(learned, speech):
    """However the sound comes in, every packet is of the network whose group byte it has."""
    talk = np.tile(speech, 3)[: 5 * audio.RATE].astype(np.float32)
    for size in (320, 500, 960):
        sender, receiver, said, groups = learned.sender(), learned.receiver(), [], []
        file = io.BytesIO()
        writer = live.Writer(file, learned.form)
        for at in range(0, len(talk), size):
            packets = sender.push(talk[at : at + size])
            writer.put(packets, sender.group)
            said.append(packets)
        tail = sender.finish()
        writer.put(tail, sender.group)
        writer.end(len(talk))
        file.seek(0)
        read = list(live.Reader(file.read, learned.form))
        groups = [group for _, group in read]
        assert groups[0] == UNKNOWN and groups[-1] in (0, 1)
        change = groups.index(groups[-1])
        assert change % 2 == 0
        codes = np.concatenate([packet for packet, _ in read])[: learned.form.packets(len(talk))]
        assert np.array_equal(codes, np.concatenate([*said, tail]))
        network = learned.coder(UNKNOWN)
        alone = network.encode(EncoderState(network.config), talk[: 320 * change], learned.stages)
        assert np.array_equal(codes[:change], alone), "until then everybody's"
        heard = np.concatenate([receiver.push(packet, group) for packet, group in read])
        first = network.decode(DecoderState(network.config, 1), codes[:change])
        assert np.array_equal(heard[: 320 * change], np.clip(first, -1, 1))


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
