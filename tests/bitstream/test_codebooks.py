"""Codebooks repeat, come back from files, and say where they come from."""

import numpy as np
import pytest

from pcodec import PcodecError, features
from pcodec.bitstream import quantizer
from pcodec.bitstream.codebooks import Codebooks, train_codebooks


def test_training_repeats(demo, codebooks):
    train = [features.cached(path).features for path in demo[demo.split == "train"].path[:60]]
    assert train_codebooks(train, max_frames=6000).identity == codebooks.identity
    assert train_codebooks(train, max_frames=6000, seed=2).identity != codebooks.identity


def test_files(tmp_path, codebooks):
    codebooks.save(tmp_path / "books.npz")
    assert Codebooks.load(tmp_path / "books.npz").identity == codebooks.identity
    (tmp_path / "bad.npz").write_bytes(b"nothing")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "books.npz").read_bytes()[:5000])
    np.save(tmp_path / "array.npy", codebooks.delta)
    np.savez(tmp_path / "small.npz", stages=np.zeros((3, 10, 17)), delta=np.zeros((40, 18)))
    for name in ("bad.npz", "cut.npz", "array.npy", "small.npz", "missing.npz"):
        with pytest.raises(PcodecError, match=name):
            Codebooks.load(tmp_path / name)
    with pytest.raises(PcodecError, match="1000 frames"):
        train_codebooks([np.zeros((1000, 20), dtype=np.float32)])
    with pytest.raises(PcodecError, match="0 frames"):
        train_codebooks(2000 * [np.zeros((4, 20), dtype=np.float32)])


def test_the_reference_s_source_can_be_read(tmp_path, codebooks):
    """Its layout: float name[words*dimensions] = { values, }; with a book of 64 words that the codec does not use."""
    books = {f"ceps_codebook{i + 1}": stage for i, stage in enumerate(codebooks.stages)}
    books |= {"ceps_codebook_diff4": codebooks.delta, "ceps_codebook_diff2": np.zeros((64, 18))}
    text = "/* This file is generated; float x[1] = {5}; */\n"
    for name, book in books.items():
        rows = "\n".join(", ".join(f"{value:.9g}" for value in row) + ", " for row in book)
        text += f"float {name}[{len(book)}*{book.shape[1]}] = {{\n{rows}\n}};\n\n"
    path = tmp_path / "ceps_codebooks.c"
    path.write_text(text)
    assert Codebooks.load(path).identity == codebooks.identity
    path.write_text(text.replace("ceps_codebook3", "other"))
    with pytest.raises(PcodecError, match=r"ceps_codebooks\.c: not the reference's .*ceps_codebook3"):
        Codebooks.from_c_source(path)
    path.write_text(text[: len(text) // 2])
    with pytest.raises(PcodecError, match=r"ceps_codebooks\.c"):
        Codebooks.from_c_source(path)


def test_shipped_codebooks_say_where_they_come_from():
    shipped = Codebooks.shipped()
    assert shipped.provenance["corpus"] == "LibriSpeech" and shipped.provenance["licence"].startswith("CC BY 4.0")
    assert len(shipped.provenance["speakers"]) == 196


def test_shipped_codebooks_against_the_original_ones(librispeech, original_codebooks):
    """On unseen test-other speakers: at most 1.05 times the original's rms error, mean of c1..c17."""
    paths = sorted((librispeech / "test-other").rglob("*.flac"))[::5]
    analyses = [features.cached(path) for path in paths]

    def error(books):
        pairs = [(analysis.features, quantizer.quantized_features(analysis, books)) for analysis in analyses]
        return np.sqrt(np.mean(np.concatenate([b - a for a, b in pairs]) ** 2, axis=0))[1:18].mean()

    assert error(Codebooks.shipped()) <= 1.05 * error(original_codebooks)
