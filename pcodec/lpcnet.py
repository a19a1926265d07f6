"""The LPCNet decoder in PyTorch: a network at frame rate, a network at sample rate.

Task: P(e[t] | past, features), the distribution of the next excitation sample over 256 mu-law codes (LPCNet
specification section 8; Valin & Skoglund 2019). The paper varies one number, the units of GRU_A: 384 or 256.

Conventions: B sequences, F frames, S = 160 F samples, N units of GRU_A. PyTorch's GRU is the reference's with the gates
in the order r, z, n. Notebook 06_training.

Contents: `LPCNetConfig`, `LPCNet`, `FrameNetwork`, `SampleNetwork`, `DualFC`.
"""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from pcodec import PcodecError, paths
from pcodec.backend import torch
from pcodec.features import FEATURES, FRAME, LAG_MAX, LAG_MIN

nn = torch.nn
LEVELS = 256  # mu-law codes
INPUTS = ("signal", "prediction", "excitation")  # of the sample network, all mu-law codes, one shared embedding
CONTEXT = 2  # frames of real features needed on either side of a training sequence: two convolutions of width 3


@dataclass(frozen=True)
class LPCNetConfig:
    """Sizes of the decoder; the paper's are the defaults and units = 256."""

    units: int = 384  # GRU_A
    units_b: int = 16  # GRU_B
    features: int = 20  # per frame
    conditioning: int = 128  # width of the frame network and of its output
    signal_embedding: int = 128
    pitch_embedding: int = 64


class DualFC(nn.Module):
    """h (..., I) -> a1 tanh(W1 h + b1) + a2 tanh(W2 h + b2), (..., O)."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.first = nn.Linear(inputs, outputs)
        self.second = nn.Linear(inputs, outputs)
        self.factors = nn.Parameter(torch.ones(2, outputs))

    def forward(self, h):
        return self.factors[0] * torch.tanh(self.first(h)) + self.factors[1] * torch.tanh(self.second(h))


class FrameNetwork(nn.Module):
    """Features (B, F, 20) -> conditioning f, one vector per frame.

    Convolutions are centred, two frames of look-ahead in all. In training the sequence brings two real frames on either
    side and f is (B, F - 4, 128); with `whole` a signal starts and ends in zeros and f is (B, F, 128) (section 11).
    """

    def __init__(self, config: LPCNetConfig):
        super().__init__()
        width = config.conditioning
        self.pitch = nn.Embedding(LAG_MAX, config.pitch_embedding)
        self.conv1 = nn.Conv1d(config.features + config.pitch_embedding, width, 3)
        self.conv2 = nn.Conv1d(width, width, 3)
        self.dense1 = nn.Linear(width, width)
        self.dense2 = nn.Linear(width, width)

    def forward(self, features, whole: bool = False):
        lag = (0.1 + 50.0 * features[..., FEATURES["pitch"]] + 100.0).long().clamp(LAG_MIN + 1, LAG_MAX - 1)
        x = torch.cat([features, self.pitch(lag)], dim=-1).transpose(1, 2)
        for conv in (self.conv1, self.conv2):
            x = torch.tanh(conv(nn.functional.pad(x, (1, 1)) if whole else x))
        return torch.tanh(self.dense2(torch.tanh(self.dense1(x.transpose(1, 2)))))


class SampleNetwork(nn.Module):
    """Codes (B, S, 3) of signal, prediction, excitation and f (B, F, 128) -> logits (B, S, 256) of the excitation."""

    def __init__(self, config: LPCNetConfig):
        super().__init__()
        self.embedding = nn.Embedding(LEVELS, config.signal_embedding)
        self.gru_a = nn.GRU(len(INPUTS) * config.signal_embedding + config.conditioning, config.units, batch_first=True)
        self.gru_b = nn.GRU(config.units + config.conditioning, config.units_b, batch_first=True)
        self.dual_fc = DualFC(config.units_b, LEVELS)

    def forward(self, codes, f):
        f = f.repeat_interleave(FRAME, dim=1)
        a, _ = self.gru_a(torch.cat([self.embedding(codes).flatten(2), f], dim=-1))
        b, _ = self.gru_b(torch.cat([a, f], dim=-1))
        return self.dual_fc(b)


class LPCNet(nn.Module):
    """The decoder network. `provenance` travels with the weights: group, preset, seed, updates, codebooks."""

    def __init__(self, config: LPCNetConfig = LPCNetConfig(), seed: int | None = None):
        super().__init__()
        self.config = config
        self.provenance: dict = {}
        with torch.random.fork_rng(devices=[]):
            if seed is not None:
                torch.manual_seed(seed)
            self.frame = FrameNetwork(config)
            self.sample = SampleNetwork(config)
            self._initialize()

    def forward(self, features, codes):
        """Teacher forcing: features (B, F + 4, 20), codes (B, 160 F, 3) -> logits (B, 160 F, 256)."""
        return self.sample(codes, self.frame(features))

    def _initialize(self):
        """The reference's: uniform Glorot kernels, orthogonal recurrent ones, zero biases, a ramp for the embedding."""
        for name, parameter in self.named_parameters():
            if "bias" in name:
                nn.init.zeros_(parameter)
            elif "weight_hh" in name:
                nn.init.orthogonal_(parameter)  # the three gates together, as Keras does
            elif "pitch" in name:
                nn.init.uniform_(parameter, -0.05, 0.05)
            elif "weight" in name and "embedding" not in name:
                nn.init.xavier_uniform_(parameter)
        embedding = self.sample.embedding.weight
        ramp = math.sqrt(12) * (torch.arange(LEVELS) - 127.5) / LEVELS
        noise = torch.empty_like(embedding).uniform_(-1.7321, 1.7321)
        embedding.data.copy_(0.1 * (noise + ramp[:, None]))

    def save(self, path: str | Path) -> None:
        """Weights as safetensors, config and provenance in its metadata."""
        from safetensors.torch import save_file

        metadata = {"config": json.dumps(asdict(self.config)), "provenance": json.dumps(self.provenance)}
        state = {name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()}
        with paths.replacing(Path(path)) as temporary:
            save_file(state, temporary, metadata)

    @classmethod
    def load(cls, path: str | Path) -> "LPCNet":
        """Raises `PcodecError` naming the file if it is missing or not a decoder."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata()
                state = {name: file.get_tensor(name) for name in file.keys()}
            model = cls(LPCNetConfig(**json.loads(metadata["config"])))
            model.load_state_dict(state)
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise PcodecError(f"{path}: no LPCNet decoder: {' '.join(str(error).split())}") from None
        model.provenance = json.loads(metadata.get("provenance", "{}"))
        return model.eval()

    def conditioning(self, features: np.ndarray) -> np.ndarray:
        """Features of a whole signal (F, 20) -> f (F, 128) float32."""
        with torch.no_grad():
            return self.frame(torch.as_tensor(features, dtype=torch.float32)[None], whole=True)[0].numpy()
