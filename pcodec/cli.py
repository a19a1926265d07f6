"""The command line, `pcodec COMMAND`.

Task: what the Makefile and the workflow call, and the codec's tools for single files; every failure the user can cause
is one line on standard error and exit status 1.

Contents: `main`.
"""

import argparse
import contextlib
import functools
import json
import os
import signal
import sys
from importlib import metadata
from pathlib import Path

from pcodec import PcodecError, paths
from pcodec.anonymizer.config import CONTENTS, VOICES
from pcodec.codecs import DEFAULT, NAMES
from pcodec.speech import PCM

PREFIX = "pcodec: error: "
AGAIN = 5  # s until a command that does not end is told again: what is raised in a callback of a library is lost
AUDIO_IN = "any audio file (WAV, FLAC, OGG, MP3 ...; any rate), or - for standard input"
VOICES_HELP = "fixed (one for everybody), pool (unlike the talker's), random"
AUDIO_OUT = ".wav, .flac or .ogg file, or - for WAV on standard output"


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit status."""
    options, ended, before = _parser().parse_args(arguments), [], {}

    def end(number, _):  # temporary files go
        ended.append(128 + number)
        signal.alarm(AGAIN)
        sys.exit(ended[0])

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            before[number] = signal.signal(number, end)
    try:
        status = _status(options)
    except BaseException:
        if not ended:
            raise
    finally:
        signal.alarm(0)
        for number, handler in before.items():
            signal.signal(number, handler)
    return ended[0] if ended else status  # libraries make other errors of what interrupts them


def _status(options) -> int:
    """Of the command, whose errors are told in a line."""
    try:
        with _compiling_is_told(options.command):
            status = options.command(options)
        sys.stdout.flush()
        return status
    except PcodecError as error:
        print(_line(error), file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever read has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:  # a full disk, a folder that must not be written to
        print(_line(f"{error.filename}: {error.strerror}" if error.filename else error), file=sys.stderr)
        return 1
    except RuntimeError as error:
        if "cannot cache function" not in str(error):
            raise
        print(PREFIX + "no folder for compiled code can be written; set NUMBA_CACHE_DIR to one", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pcodec", description="Personalized neural speech codec")
    parser.add_argument("--version", action="version", version=f"pcodec {metadata.version('plpcnet')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    encode = commands.add_parser("encode", help="speech to a .plpc file, 1.6 kb/s")
    encode.add_argument("input", help=AUDIO_IN + "; or a folder")
    encode.add_argument("output", help=".plpc file, or - for standard output; or a folder")
    encode.add_argument("--rate", type=_number, default=16000, help="of --raw samples, Hz; default 16000")
    encode.set_defaults(command=_encode)

    decode = commands.add_parser("decode", help="a .plpc file to speech")
    decode.add_argument("input", help=".plpc file, or - for standard input; or a folder")
    decode.add_argument("output", help=AUDIO_OUT + "; or a folder")
    decode.add_argument("--rate", type=_number, default=16000, help="of the audio that is written, Hz; default 16000")
    decode.add_argument("--loss", type=_share, default=0.0, metavar="PERCENT", help="of packets lost, and concealed")
    decode.add_argument("--burst", type=float, default=1.0, help="packets that are lost in a row, on average")
    decode.set_defaults(command=_decode)

    roundtrip = commands.add_parser("roundtrip", help="speech to .plpc and back, with rate, group and speed")
    roundtrip.add_argument("input", help=AUDIO_IN)
    roundtrip.add_argument("output", help=AUDIO_OUT)
    roundtrip.set_defaults(command=_roundtrip)

    anonymize = commands.add_parser("anonymize", help="the same words in another voice, as 1.6 kb/s carry them")
    anonymize.add_argument("input", help=AUDIO_IN)
    anonymize.add_argument("output", help=AUDIO_OUT)
    anonymize.add_argument("--voice", choices=VOICES, default=VOICES[0], help=f"{VOICES_HELP}; default {VOICES[0]}")
    anonymize.add_argument("--content", choices=CONTENTS, help="how words are found; default: by a recognizer if it "
                           "is installed (make recognizer), else by own encoders")  # fmt: skip
    anonymize.add_argument("--seed", type=_number, default=1, help="of the voice; default 1")
    anonymize.set_defaults(command=_anonymize)

    encode.add_argument("--anonymize", choices=VOICES, metavar="VOICE", help=f"in another voice: {VOICES_HELP}")
    encode.add_argument("--voice-seed", type=_number, default=1, help="of that voice; default 1")

    for each in (encode, decode):
        each.add_argument("--raw", choices=PCM, help="samples of one channel without a header, not audio files")
        each.add_argument("--stream", action="store_true", help="live, from - to -: packets go out as sound comes in")
        each.add_argument("--jobs", type=_number, default=1, help="files of a folder that are done at once; default 1")
    for each in (encode, decode, roundtrip):
        default = "the shipped one that fits" if each is decode else DEFAULT
        each.add_argument("--codec", help=f"{', '.join(NAMES)} or a folder; default {default}")
        each.add_argument("--decoder", help="which of the folder's decoders: fargan-large, lpcnet-384 ...")
        each.add_argument("--units", type=int, help="of GRU_A: --units 384 is --decoder lpcnet-384")
        each.add_argument("--groups", type=int, help="number of groups C, which of the folder's decoders")
        each.add_argument(
            "--kbps",
            type=float,
            help="rate of soundstream, 0.4 to 3.2, default 1.6, or semantic, 0.2125, 0.425, 0.525",
        )
    for each in (encode, roundtrip):
        each.add_argument("--compact", action="store_true", help="fewer bits, by an entropy coder; soundstream, files")
        each.add_argument("--denoise", action="store_true", help="without the noise beside the speech; soundstream")
        each.add_argument(
            "--group", type=_group, help="0, 1 ..., or unknown for the general decoder; default: estimated"
        )
    for each in (decode, roundtrip):
        each.add_argument("--steps", type=_number, help="of diffusion, with --codec semantic; default 4; 0: none")
        each.add_argument("--seed", type=_number, default=1, help="of the drawn excitation; default 1")
        each.add_argument("--adapter", type=Path, help="of pcodec personalize, for the same decoder")

    reproduce = commands.add_parser("reproduce", help="every notebook of the paper's chain, in order")
    reproduce.add_argument("--preset", default="smoke", help="smoke, desktop or paper")
    reproduce.add_argument("--corpus", default="demo", help="demo, or a folder (relative to the project)")
    reproduce.add_argument("--cores", default="all", help="of this machine")
    reproduce.add_argument(
        "--profile", default="workflow/profiles/local", help="a folder with Snakemake's options, for clusters"
    )
    reproduce.add_argument("--again", action="store_true", help="also what is up to date; published weights are kept")
    reproduce.add_argument("--trainings", action="store_true", help="nothing but what learns")
    reproduce.add_argument("--minutes", type=float, default=0.0, help="at most; the next call goes on")
    reproduce.set_defaults(command=_reproduce)

    run = commands.add_parser("run", help="one notebook, with a preset's parameters")
    run.add_argument("notebook", help="for example 06_training, or its path")
    run.add_argument("--preset", default="smoke")
    run.add_argument("--corpus", default="demo")
    run.add_argument("--threads", type=int, default=1)
    run.add_argument("--output", type=Path, help="executed copy; default results/<run>/<notebook>.ipynb")
    run.add_argument("-p", dest="values", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    run.set_defaults(command=_run)

    download = commands.add_parser("download", help="fetch LibriSpeech subsets from openslr.org")
    download.add_argument("folder", type=Path, help="a folder called LibriSpeech")
    download.add_argument("subsets", nargs="+", help="dev-clean, train-clean-100, ...")
    download.set_defaults(command=_download)

    features = commands.add_parser("features", help="LPCNet features of an audio file, as npz")
    features.add_argument("input", help=AUDIO_IN)
    features.add_argument("output", type=Path, help="features (frames, 20), columns, lpc, lags, correlation, samples")
    features.add_argument("--clean", action="store_true", help="the pitch search as meant, not as in the reference")
    features.set_defaults(command=_features)

    info = commands.add_parser("info", help="what a .plpc file holds: length, codebooks, groups, rate")
    info.add_argument("file", help=".plpc file, or - for standard input")
    info.add_argument("--json", action="store_true", help="for programs: numbers in s, b/s and bytes")
    info.set_defaults(command=_info)

    personalize = commands.add_parser("personalize", help="adapt a decoder to one speaker, from a minute of speech")
    personalize.add_argument("recordings", type=Path, help="a folder of one speaker's audio files")
    personalize.add_argument("output", type=Path, help="the adapter to write, .safetensors")
    personalize.add_argument(
        "--decoder", default=DEFAULT, help=f"to adapt: a file, or {', '.join(NAMES)}; default {DEFAULT}"
    )
    personalize.add_argument("--codebooks", type=Path, help="default: codebooks.npz beside the decoder")
    personalize.add_argument("--updates", type=int, default=150, help="of the training; default 150")
    personalize.add_argument("--rank", type=int, default=8, help="of the updates of matrices; the file grows with it")
    personalize.add_argument("--seed", type=_number, default=1)
    personalize.set_defaults(command=_personalize)

    bench = commands.add_parser("bench", help="speed of encoder and synthesis (one core) and of training (all)")
    bench.add_argument("--corpus", default="demo", help="demo, or a folder (relative to the project)")
    bench.set_defaults(command=_bench)
    return parser


def _compiling_is_told(command):
    """For the commands that call what Numba compiles; the others need not wait for its import."""
    if command not in (_encode, _decode, _roundtrip, _anonymize, _features, _personalize, _bench):
        return contextlib.nullcontext()
    from pcodec.compute import compiling

    return compiling.announced()


def _encode(options) -> int:
    from pcodec.codecs import files, pipes
    from pcodec.speech.decoders import Raw

    raw = Raw(options.raw, options.rate) if options.raw else None
    if options.rate != 16000 and not raw:
        raise PcodecError("--rate is that of --raw samples; an audio file says its own")
    if options.anonymize and (options.group is not None or options.stream):
        raise PcodecError("--anonymize goes without --group, which follows the voice, and without --stream")
    if options.stream:
        if options.group is not None:
            raise PcodecError("--stream goes without --group: the group follows the talk")
        if options.compact:
            raise PcodecError("--stream goes without --compact: after a lost packet nothing could be read")
        with _live(options) as (source, target):
            pipes.send(_codec(options, DEFAULT), source, target, raw)
        return 0
    voice = {"voice": options.anonymize or "", "voice_seed": options.voice_seed}
    if Path(options.input).is_dir():
        return _folder("encode", options, group=options.group, raw=raw, **voice)
    files.encode(_codec(options, DEFAULT), options.input, options.output, options.group, raw, **voice)
    return 0


def _anonymize(options) -> int:
    from pcodec.codecs import files

    line = files.anonymize(options.input, options.output, options.voice, options.seed, options.content)
    print(line, file=sys.stderr if options.output == "-" else sys.stdout)
    return 0


def _decode(options) -> int:
    from pcodec.codecs import files, pipes
    from pcodec.codecs.parametric import Codec
    from pcodec.speech.decoders import Raw

    if not options.codec and (options.decoder or options.units or options.groups):
        raise PcodecError("--decoder, --units and --groups choose among the decoders of a folder: give it with --codec")
    if options.steps is not None and (not options.codec or Path(options.input).is_dir()):
        raise PcodecError("--steps are those of the semantic codec's diffusion: one file, with --codec semantic")
    if options.stream:
        if options.rate != 16000 or options.loss or options.adapter:
            raise PcodecError("--stream goes without --rate, --loss and --adapter")
        with _live(options) as (source, target):
            raw = Raw(options.raw, options.rate) if options.raw else None
            make = (lambda kind: _codec(options)) if options.codec else Codec.of
            pipes.receive(source, target, make, raw, options.seed)
        return 0
    values = {name: getattr(options, name) for name in ("adapter", "seed", "rate", "loss", "burst")}
    values["raw"] = options.raw or ""
    if Path(options.input).is_dir():
        return _folder("decode", options, **values)
    files.decode(options.input, options.output, _codec(options) if options.codec else None, **values)
    return 0


@contextlib.contextmanager
def _live(options):
    """Standard input and output, as bytes that nothing keeps back."""
    if (options.input, options.output) != ("-", "-"):
        raise PcodecError("--stream goes from standard input to standard output: - -")
    with open(0, "rb", buffering=0, closefd=False) as source, open(1, "wb", buffering=0, closefd=False) as target:
        yield source, target


def _folder(action, options, **values) -> int:
    """All files of a folder, with a table of what became of them; 1 if one failed."""
    from pcodec.codecs import folders

    if options.output == "-" or options.jobs < 1 or options.raw:
        raise PcodecError("a folder goes to a folder, with 1 job or more, and without --raw")
    given = options.codec or (DEFAULT if action == "encode" else None)
    make = functools.partial(_loaded, given, *_which(options))
    done = folders.run(action, Path(options.input), Path(options.output), make, options.jobs, **values)
    for line in folders.told(done):
        print(line)
    return int(any(each.state == "failed" for each in done))


def _loaded(name, *which):
    from pcodec.codecs.parametric import Codec

    return Codec.load(name, *which) if name else None


def _which(options):
    """What `Codec.load` is given beside a name."""
    switches = (getattr(options, name, False) for name in ("denoise", "compact"))
    return options.decoder, options.groups, options.units, options.kbps, *switches


def _roundtrip(options) -> int:
    from pcodec.codecs import files

    coder = _codec(options, None if options.adapter else DEFAULT)
    line = files.roundtrip(options.input, options.output, coder, options.adapter, options.group, options.seed)
    print(line, file=sys.stderr if options.output == "-" else sys.stdout)
    return 0


def _codec(options, default=None):
    made = _loaded(options.codec or default, *_which(options))
    if (steps := getattr(options, "steps", None)) is not None:
        if not hasattr(made, "steps"):
            raise PcodecError("--steps are those of the semantic codec's diffusion: give it with --codec semantic")
        made.steps = steps
    return made


def _group(text: str) -> int:
    """Argument of --group."""
    from pcodec.speakers import UNKNOWN

    if text != "unknown" and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"a group is a number from 0, or unknown; got {text!r}")
    return UNKNOWN if text == "unknown" else int(text)


def _number(text: str) -> int:
    """Argument of --seed, --rate and --jobs."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number from 0, got {text!r}")
    return int(text)


def _share(text: str) -> float:
    """Argument of --loss."""
    try:
        share = float(text.removesuffix("%")) / 100
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        raise argparse.ArgumentTypeError(f"a loss is 0 to under 100 per cent, got {text!r}")
    return share


def _reproduce(options) -> int:
    from pcodec.experiment import reproduce

    how = {
        name: getattr(options, name)
        for name in ("preset", "corpus", "cores", "again", "profile", "trainings", "minutes")
    }
    for line in reproduce.reproduce(**how):
        print(line)
    return 0


def _run(options) -> int:
    from pcodec.experiment import presets, run

    word = presets.word(options.notebook)
    values = presets.read(paths.notebook(word), dict(options.values))
    parameters = run.settings(word, options.preset, options.corpus, values)
    output = options.output or paths.results(run.run_name(options.preset, options.corpus)) / f"{word}.ipynb"
    run.run(paths.notebook(word), output, parameters, options.threads)
    return 0


def _download(options) -> int:
    from pcodec.speech import corpus

    table = corpus.librispeech(options.folder, download=True, subsets=tuple(options.subsets))
    print(f"{len(table)} utterances, {table.seconds.sum() / 3600:.1f} hours in {options.folder}")
    return 0


def _features(options) -> int:
    from pcodec import features
    from pcodec.codecs import files

    with files.taken(options.input, ".wav") as path:
        frames, seconds = features.export(path, options.output, options.clean)
    print(f"{options.output}: {frames} frames of 10 ms from {seconds:.2f} s")
    return 0


def _info(options) -> int:
    from pcodec.bitstream.codebooks import Codebooks
    from pcodec.bitstream.container import Stream
    from pcodec.codecs import files

    with files.taken(options.file, ".plpc") as path:
        stream = Stream.read(path)
    if options.json:
        print(json.dumps(stream.numbers()))
        return 0
    known = " (shipped with pcodec)" if stream.codebooks == Codebooks.shipped().identity else ""
    for name, value in stream.info().items():
        print(f"{name:<10} {value}{known if name == 'codebooks' else ''}")
    return 0


def _personalize(options) -> int:
    from pcodec.codecs import personalization
    from pcodec.codecs.parametric import Codec
    from pcodec.speakers import UNKNOWN

    shipped = options.decoder in NAMES
    file = Codec.load(options.decoder).files[UNKNOWN] if shipped else Path(options.decoder)
    done = personalization.personalize(
        file, options.codebooks, options.recordings, options.output, options.updates, options.rank, options.seed
    )
    print(f"{options.output}: {done.bytes / 1000:.0f} kB, learnt from {done.seconds:.0f} s")
    print(f"loss on {done.held_back} pieces held back: {done.before:.4g} without the adapter, "
          f"{done.after:.4g} with it")  # fmt: skip
    if done.after >= done.before:
        print("the adapter does not help this speaker: use the decoder without it")
    return 0


def _bench(options) -> int:
    from pcodec import benchmarks

    for line in benchmarks.report(options.corpus):
        print(line, flush=True)
    return 0


def _line(error) -> str:
    return PREFIX + " ".join(str(error).split())
