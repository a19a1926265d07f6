"""How fast the codec is, on this machine.

Task: the numbers of docs/benchmarks.md, measured in one run: encoder and synthesis on one core, as a
ratio to real time; training with all threads, in samples per second, beside the plain form of the same step; and the
machine's float32 matrix product: figures of two machines compare when both are divided by that.

Conventions: best of three passes over the same speech or samples; compilation by Numba happens before. Not for tests: a
loaded machine is slow.

Contents: `report`, `gemm`, `encoder`, `synthesis`, `learned`, `training`.
"""

import time
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from pcodec import features
from pcodec.bitstream import quantizer
from pcodec.bitstream.codebooks import Codebooks
from pcodec.bitstream.container import Stream
from pcodec.bitstream.packets import pack
from pcodec.compute import backend
from pcodec.compute.backend import torch
from pcodec.fargan import synthesis as fargan
from pcodec.fargan.config import SIZES
from pcodec.fargan.model import Fargan
from pcodec.features.cepstrum import FRAME
from pcodec.features.vocoder import CONTEXT
from pcodec.learning import optimizers
from pcodec.lpcnet import synthesis as lpcnet
from pcodec.lpcnet.model import LPCNet, LPCNetConfig
from pcodec.lpcnet.training import Sparsifier
from pcodec.soundstream import coding
from pcodec.soundstream import config as soundstream
from pcodec.soundstream.model import SoundStream
from pcodec.speech import audio, corpus

SECONDS = 120.0  # of speech
PASSES = 3
SIDE = 1024  # of the matrices
GFLOPS = 100  # of the machine that synthesis is scaled to
SYNTHESIZED = 4.0  # s
SPARSE = (0.05, 0.05, 0.2)  # densities of GRU_A's gates z, r, h in the reference, 10 % together
UNITS = (384, 256)
TOGETHER = (1, 4, 8)  # signals that a decoder makes at once
BATCH, SEQUENCE = 128, 160  # sequences of a training update, and samples of each


def report(corpus_: str) -> list[str]:
    """Lines to print, for speech of `corpus_`."""
    table = corpus.load(corpus_).sort_values("utterance")
    table = table.iloc[:: max(1, int(table.seconds.sum() / SECONDS))]
    files = [corpus.folder_of(corpus_) / path for path in table.path]
    with threadpool_limits(1):
        speed = gemm()
        lines = [f"{speed:8.1f} GFLOP/s  float32 matrix product ({SIDE}), one thread"]
        lines += [f"{ratio:8.0f} x real time  {name}" for name, ratio in encoder(files).items()]
        lines += [
            f"{ratio:8.1f} x real time  {name} (scaled to {GFLOPS} GFLOP/s: {ratio * GFLOPS / speed:.1f})"
            for name, ratio in (synthesis(files[0]) | learned(files[0])).items()
        ]
    lines.append(f"over {table.seconds.sum():.0f} s of {corpus.label(corpus_)} in {len(files)} files")
    for units in UNITS:
        speeds = training(units)
        plain = speeds["plain, float32"]
        lines += [
            f"{speed:8.0f} samples/s  training, {units} units, {name} ({speed / plain:.1f} x plain, float32)"
            for name, speed in speeds.items()
        ]
    threads = torch.get_num_threads()
    lines.append(f"updates of {BATCH} x {SEQUENCE} samples on {backend.device()}, {threads} CPU threads")
    return lines


def gemm() -> float:
    """10^9 operations per second of a (1024, 1024) float32 product."""
    a = np.random.default_rng(1).normal(size=(SIDE, SIDE)).astype(np.float32)
    return 2e-9 * SIDE**3 / _best(lambda: a @ a, 10)


def encoder(files: list[Path]) -> dict[str, float]:
    """x real time of the encoder's steps and of the whole way from audio files to packets and back to features."""
    books = Codebooks.shipped()
    signals = [audio.read(file) for file in files]
    seconds = sum(map(len, signals)) / audio.RATE
    analyses = [features.analyze(signal) for signal in signals]
    streams = [Stream.encode(signal, books) for signal in signals]
    steps = {
        "reading": lambda: [audio.read(file) for file in files],
        "features": lambda: [features.analyze(signal) for signal in signals],
        "quantization": lambda: [pack(quantizer.quantize(analysis, books)) for analysis in analyses],
        "encoder, audio file to packets": lambda: [Stream.encode(audio.read(file), books).to_bytes() for file in files],
        "packets to decoded features and LPC": lambda: [
            features.lpc_from_cepstrum(stream.features(books)[:, features.FEATURES["cepstrum"]]) for stream in streams
        ],
    }
    return {name: seconds / _best(step) for name, step in steps.items()}


def synthesis(file: Path) -> dict[str, float]:
    """x real time of all decoders; the speed does not depend on what the weights are, only on how many."""
    analysed = features.analyze(audio.read(file)[: int(SYNTHESIZED * audio.RATE)]).features
    seconds = len(analysed) * FRAME / audio.RATE
    decoders = {}
    for density in (SPARSE, None):
        for units in UNITS:
            model = LPCNet(LPCNetConfig(units=units), seed=1)
            if density:
                Sparsifier(density)(model.sample.gru_a, 1)
            name = f"LPCNet, {units} units, " + ("10 % of GRU_A's weights" if density else "dense")
            decoders[name] = lpcnet.Synthesizer(model.arrays())
    for size, config in SIZES.items():
        decoders[f"framewise, {size}"] = fargan.Synthesizer(config, Fargan(config, seed=1).arrays())
    ratios = {}
    for name, decoder in decoders.items():
        for signals in TOGETHER:
            jobs = [analysed] * signals, [None] * signals
            speed = signals * seconds / _best(lambda decoder=decoder, jobs=jobs: decoder.decode_together(*jobs))
            ratios[f"synthesis, {name}" + (f", {signals} signals at once" if signals > 1 else "")] = speed
    return ratios


def learned(file: Path) -> dict[str, float]:
    """x real time of the codec that is learned end to end, whole signals and frame by frame, with all its stages."""
    signal = audio.read(file)[: int(SYNTHESIZED * audio.RATE)].astype(np.float32)
    signal = signal[: len(signal) // soundstream.FRAME * soundstream.FRAME]
    frames, ratios = np.split(signal, len(signal) // soundstream.FRAME), {}
    for size, config in soundstream.SIZES.items():
        model = SoundStream(config, seed=1)
        for block in model.quantizer.stages:
            block.words.normal_(generator=torch.Generator().manual_seed(1))
        coder = coding.SoundStreamCoder(config, model.arrays())
        codes = coder.encode(coding.EncoderState(config), signal)

        def sent(pieces, coder=coder, config=config):
            state = coding.EncoderState(config)
            return [coder.encode(state, piece) for piece in pieces]

        def heard(pieces, coder=coder, config=config):
            state = coding.DecoderState(config, 1)
            return [coder.decode(state, piece) for piece in pieces]

        for how, samples, packets in (("", [signal], [codes]), (", frame by frame", frames, list(codes[:, None]))):
            for what, step, pieces in (("encoding", sent, samples), ("decoding", heard, packets)):
                speed = len(signal) / audio.RATE / _best(lambda step=step, pieces=pieces: step(pieces))
                ratios[f"SoundStream, {size}, {what}{how}"] = speed
    return ratios


def training(units: int) -> dict[str, float]:
    """Samples per second of whole updates: forward, backward, Muon and Adam.

    "folded" looks GRU_A's inputs up, and compiles recurrence and loss with their own backward passes; "plain" is
    PyTorch's GRU on concatenated embeddings, and the only form on a GPU. Products are bfloat16 where the machine is
    faster with it, and float32. "PyTorch's Muon" orthogonalizes in bfloat16 on every machine.
    """
    backend.keep_memory()
    device = backend.device()
    model = LPCNet(LPCNetConfig(units=units), seed=1).to(device)
    adam, muon = optimizers.build(model, "muon")
    matrices = muon.param_groups[0]["params"]
    pytorch = torch.optim.Muon(matrices, weight_decay=optimizers.WEIGHT_DECAY, adjust_lr_fn="match_rms_adamw")
    generator = torch.Generator().manual_seed(1)
    codes = torch.randint(0, 256, (BATCH, SEQUENCE, 4), generator=generator).to(device)
    features = (0.3 * torch.randn(BATCH, SEQUENCE // FRAME + 2 * CONTEXT, 20, generator=generator)).to(device)

    def update(form, precision, matrix_optimizer):
        f = model.frame(features)
        states = [f.new_zeros(BATCH, gru.hidden_size) for gru in (model.sample.gru_a, model.sample.gru_b)]
        with torch.autocast(device.type, torch.bfloat16, enabled=form == "plain" and precision == torch.bfloat16):
            if form == "folded":
                loss = model.sample(codes[..., :3], f, states, precision, codes[..., 3])[0].mean()
            else:
                logits = model.sample.dual_fc(model.sample.plain(codes[..., :3], f, states)[0])
                loss = torch.nn.functional.cross_entropy(logits.float().transpose(1, 2), codes[..., 3])
        model.zero_grad()
        loss.backward()
        adam.step()
        matrix_optimizer.step()
        loss.item()  # waits for a GPU

    best = "plain" if device.type == "cuda" else "folded"
    precisions = [torch.float32] + [torch.bfloat16] * backend.bfloat16_pays(device.type)
    kinds = [(form, precision, muon) for precision in precisions for form in dict.fromkeys((best, "plain"))]
    kinds.append((best, precisions[-1], pytorch))
    speeds = {}
    for form, precision, optimizer in kinds:
        update(form, precision, optimizer)
        name = f"{form}, {str(precision).removeprefix('torch.')}" + (", PyTorch's Muon" if optimizer is pytorch else "")
        speeds[name] = BATCH * SEQUENCE / _best(lambda kind=(form, precision, optimizer): update(*kind))
    return speeds


def _best(step, passes: int = PASSES) -> float:
    """Seconds of the fastest of some passes."""
    times = []
    for _ in range(passes):
        started = time.perf_counter()
        step()
        times.append(time.perf_counter() - started)
    return min(times)
