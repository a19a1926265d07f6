"""Generated voices: 24 speakers of known gender, spoken by eSpeak NG without a network or a download.

Task: an embedded corpus, so that everything runs after installation alone. It is speech-like, not speech: results
made from it show that the chain works and are labelled "generated voices".

Conventions: a speaker is an eSpeak voice variant with its own pitch, pitch range and speaking rate; every speaker says
`SENTENCES_PER_SPEAKER` of the `SENTENCES`. Deterministic.

Contents: `SPEAKERS`, `SENTENCES`, `generate`.
"""

import ctypes
import subprocess
import sys
from pathlib import Path

import numpy as np

from pcodec import PcodecError, paths

SENTENCES_PER_SPEAKER = 12
VERSION = 1  # of the voices and sentences; raise it when either changes

# name: (eSpeak variant, gender, pitch 0..100, pitch range 0..100, words per minute). Only variants without eSpeak's
# "breath": that noise differs between processes (f2, f3, f5, Alicia and others), all others repeat sample by sample.
SPEAKERS = {
    "f01": ("f1", "F", 54, 50, 168), "f02": ("steph2", "F", 50, 62, 180), "f03": ("grandma", "F", 58, 45, 155),
    "f04": ("f4", "F", 47, 55, 190), "f05": ("anika", "F", 52, 70, 172), "f06": ("steph3", "F", 48, 52, 160),
    "f07": ("Andrea", "F", 44, 48, 184), "f08": ("Annie", "F", 50, 60, 165), "f09": ("aunty", "F", 46, 40, 150),
    "f10": ("belinda", "F", 52, 56, 176), "f11": ("linda", "F", 49, 66, 170), "f12": ("steph", "F", 53, 44, 186),
    "m01": ("m1", "M", 50, 52, 166), "m02": ("m2", "M", 46, 46, 178), "m03": ("m3", "M", 52, 60, 158),
    "m04": ("m4", "M", 48, 42, 188), "m05": ("m5", "M", 44, 58, 170), "m06": ("m6", "M", 50, 50, 152),
    "m07": ("m7", "M", 53, 64, 182), "m08": ("m8", "M", 47, 48, 174), "m09": ("klatt2", "M", 42, 54, 164),
    "m10": ("Denis", "M", 50, 44, 186), "m11": ("Hugo", "M", 45, 62, 160), "m12": ("Marco", "M", 48, 50, 176),
}  # fmt: skip

SENTENCES = """\
The ferry left the harbour before the fog came down.
A quiet engineer fixed the radio with a bent spoon.
Seven yellow kites hung above the empty beach.
Please carry those heavy boxes through the back door.
Her voice was rough from shouting over the engine.
They planted garlic and onions along the stone wall.
The judge asked him twice to speak more slowly.
Fresh bread cools on a rack beside the window.
We measured the depth of the well with a thin rope.
The youngest child hid under the kitchen table.
Every morning the postman whistles the same tune.
A narrow path winds through the birch forest.
Both clocks in the station show the wrong time.
He poured hot tea into a cracked blue cup.
The choir sang while snow fell on the square.
Use a sharp pencil and draw a straight line.
Our neighbour keeps bees and sells dark honey.
The old bridge shook when the lorry crossed it.
She folded the letter and put it in her pocket.
Thick smoke rose from the chimney of the mill.
The doctor's bag was full of strange tools.
Nobody noticed the small dog beneath the bench.
Cheap paint will peel after a single winter.
The pilot turned north to avoid the storm.
A jug of cold water stood on the marble shelf.
I have never heard such a joyful noise.
The farmer chased three goats out of the orchard.
Put the change on the counter and take the key.
Their tent leaked all night and ruined the maps.
The river was too wide and too fast to swim.
Light from the tower swept across the bay.
My uncle built a violin out of cherry wood.
The teacher wrote a long word on the board.
Fifteen geese flew over the frozen lake.
You should oil the hinge before it breaks.
Young birds open their beaks at any sound.
The museum shows coins, rings and bronze axes.
A gust of wind shut the garage with a bang.
The tailor charged us half of the usual price.
Vague answers did not please the visiting judge.
Boil the beans until they are soft and pale.
The train to the coast leaves in an hour.
He laughed so loudly that the baby woke up.
The garden smells of mint after the rain.
Two brothers shared a bicycle with one brake.
The moon looked huge behind the bare trees.
She thanks the driver each time she gets off.
Our lazy cat sleeps on the warm oven.
""".splitlines()


def generate(folder: Path) -> Path:
    """Write every speaker's sentences to `folder`/<speaker>/<speaker>-NN.flac (16 kHz), once; return `folder`."""
    folder = Path(folder)
    done = folder / "done"
    if not done.exists():
        # eSpeak keeps its state in the process; a fresh one makes the result independent of what ran before.
        spoken = subprocess.run([sys.executable, "-m", "pcodec.speech.voices", folder], capture_output=True, text=True)
        if spoken.returncode != 0:
            reason = (spoken.stderr.strip().splitlines() or [f"exit status {spoken.returncode}"])[-1]
            raise PcodecError(f"eSpeak NG could not speak the demo voices into {folder}: {reason}")
        with paths.replacing(done) as temporary:
            temporary.write_text(f"voices version {VERSION}\n")
    return folder


def _speak_all(folder: Path) -> None:
    from pcodec.speech import audio

    speak = _espeak()
    rng = np.random.default_rng(VERSION)
    for speaker, voice in SPEAKERS.items():
        for number, text in enumerate(rng.choice(SENTENCES, SENTENCES_PER_SPEAKER, replace=False)):
            samples, rate = speak(text, voice)
            audio.write(folder / speaker / f"{speaker}-{number:02d}.flac", audio.resample(samples, rate))


def _espeak():
    """Start eSpeak NG in retrieval mode; return speak(text, speaker) -> (samples in [-1, 1], rate)."""
    import espeakng_loader

    from pcodec.speech import audio

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    synchronous_retrieval, utf8 = 2, 1
    rate_parameter, pitch_parameter, range_parameter = 1, 3, 4
    rate = library.espeak_Initialize(
        synchronous_retrieval, 0, str(Path(espeakng_loader.get_data_path()).parent).encode(), 0
    )
    if rate <= 0:
        raise PcodecError("eSpeak NG did not start: its voice data is missing from espeakng-loader")
    chunks: list[np.ndarray] = []

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
    def receive(wave, count, _events):
        if wave and count:
            chunks.append(np.ctypeslib.as_array(wave, (count,)).copy())
        return 0

    library.espeak_SetSynthCallback(receive)

    def speak(text, voice, _keep_alive=receive):
        variant, _, pitch, pitch_range, words_per_minute = voice
        if library.espeak_SetVoiceByName(f"en-us+{variant}".encode()) != 0:
            raise PcodecError(f"eSpeak NG has no voice variant {variant!r}")
        library.espeak_SetParameter(rate_parameter, words_per_minute, 0)
        library.espeak_SetParameter(pitch_parameter, pitch, 0)
        library.espeak_SetParameter(range_parameter, pitch_range, 0)
        chunks.clear()
        data = text.encode()
        library.espeak_Synth(data, ctypes.c_size_t(len(data) + 1), 0, 0, 0, utf8, None, None)
        library.espeak_Synchronize()
        return np.concatenate(chunks).astype(np.float32) / audio.SCALE, rate

    return speak


if __name__ == "__main__":
    _speak_all(Path(sys.argv[1]))
