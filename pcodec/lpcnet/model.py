"""The LPCNet decoder in PyTorch: a network at frame rate, a network at sample rate.

Task: P(e[t] | past, features), the distribution of the next excitation sample over 256 mu-law codes (LPCNet
specification section 8; Valin & Skoglund 2019). The paper varies one number, the units of GRU_A: 384 or 256.

Conventions: B sequences, F frames, S = 160 F samples, N units of GRU_A. PyTorch's GRU is the reference's with the gates
in the order r, z, n. Notebook 06_training.

Contents: `LPCNet`, `FrameNetwork`, `SampleNetwork`, `DualFC`.
"""

import math

import numpy as np

from pcodec.compute.backend import torch
from pcodec.features.analysis import FEATURES, FRAME, LAG_MAX, LAG_MIN
from pcodec.learning import network, recurrence
from pcodec.lpcnet import loss
from pcodec.lpcnet.config import LPCNetConfig
from pcodec.lpcnet.mulaw import LEVELS

nn = torch.nn
INPUTS = ("signal", "prediction", "excitation")  # of the sample network, all mu-law codes, one shared embedding


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
    """Codes (B, S, 3) of signal, prediction, excitation and f (B, F, 128) -> logits (B, S, 256) of the excitation.

    With `targets` (B, S), the excitations' codes, their losses (B, S) in nats instead. `states` of GRU_A (B, N) and
    GRU_B (B, 16) come from the samples before and are returned for those after; None is the start of a signal.
    `precision` is that of the matrix products.
    """

    def __init__(self, config: LPCNetConfig):
        super().__init__()
        self.embedding = nn.Embedding(LEVELS, config.signal_embedding)
        self.gru_a = nn.GRU(len(INPUTS) * config.signal_embedding + config.conditioning, config.units, batch_first=True)
        self.gru_b = nn.GRU(config.units + config.conditioning, config.units_b, batch_first=True)
        self.dual_fc = DualFC(config.units_b, LEVELS)

    def forward(self, codes, f, states=None, precision=torch.float32, targets=None):
        if states is None:
            states = tuple(f.new_zeros(len(codes), gru.hidden_size) for gru in (self.gru_a, self.gru_b))
        if codes.is_cuda:
            with torch.autocast("cuda", precision, enabled=precision != torch.float32):
                b, states = self.plain(codes, f, states)
                logits = self.dual_fc(b)
            if targets is None:
                return logits, states
            losses = nn.functional.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), reduction="none")
            return losses.view(targets.shape), states
        b, states = self.folded(codes, f, states, precision)
        return (self.dual_fc(b) if targets is None else self.losses(b, targets)), states

    def plain(self, codes, f, states):
        """States (B, S, 16) of GRU_B, and the last ones of both: as written in the specification.

        A GPU's own GRU is faster than our folded one.
        """
        f = f.repeat_interleave(FRAME, dim=1)
        a, last_a = self.gru_a(torch.cat([self.embedding(codes).flatten(2), f], dim=-1), states[0][None])
        b, last_b = self.gru_b(torch.cat([a, f], dim=-1), states[1][None])
        return b, (last_a[0].float(), last_b[0].float())

    def folded(self, codes, f, states, precision=torch.float32):
        """The same with GRU_A's 512 inputs looked up: three rows of `tables` a sample and one of f's products a frame.

        On a CPU most of a training step would be these inputs' products.
        """
        units = self.gru_a.hidden_size
        rows = (codes + LEVELS * torch.arange(len(INPUTS))).transpose(0, 1).reshape(-1, len(INPUTS))
        looked_up = nn.functional.embedding_bag(rows, self.tables().flatten(0, 1), mode="sum")
        weight = self.gru_a.weight_ih_l0[:, -f.shape[-1] :]
        inputs = _held(looked_up, nn.functional.linear(f, weight, self.gru_a.bias_ih_l0))
        a = recurrence.gru(inputs, self.gru_a.weight_hh_l0, self.gru_a.bias_hh_l0, states[0], precision)
        weight = self.gru_b.weight_ih_l0
        products = nn.functional.linear(a.to(precision), weight[:, :units].to(precision)).float()
        inputs = _held(products, nn.functional.linear(f, weight[:, units:], self.gru_b.bias_ih_l0))
        b = recurrence.gru(inputs, self.gru_b.weight_hh_l0, self.gru_b.bias_hh_l0, states[1])
        return b.transpose(0, 1), (a[-1], b[-1])

    def losses(self, b, targets):
        """States (B, S, 16) of GRU_B and codes (B, S) -> losses (B, S), on a CPU."""
        fc, time_first = self.dual_fc, b.transpose(0, 1)  # as they lie in memory
        weight = torch.cat([fc.first.weight, fc.second.weight])
        bias = torch.cat([fc.first.bias, fc.second.bias])
        losses = loss.cross_entropy(time_first.flatten(0, 1), weight, bias, fc.factors, targets.t().flatten())
        return losses.view(time_first.shape[:2]).t()

    def tables(self):
        """(3, 256, 3 N): what each code of signal, prediction and excitation adds to the inputs of GRU_A's gates."""
        parts = self.gru_a.weight_ih_l0[:, : len(INPUTS) * self.embedding.embedding_dim].chunk(len(INPUTS), dim=1)
        return torch.stack([self.embedding.weight @ part.t() for part in parts])


def _held(products, of_frames):
    """Products of samples, time first, plus those of f (B, F, K), held for a frame -> (S, B, K)."""
    batch, frames, width = of_frames.shape
    by_frame = products.view(frames, FRAME, batch, width) + of_frames.transpose(0, 1)[:, None]
    return by_frame.view(frames * FRAME, batch, width)


class LPCNet(network.Network):
    """The decoder network."""

    CONFIG = LPCNetConfig

    def __init__(self, config: LPCNetConfig | None = None, seed: int | None = None):
        super().__init__(config or LPCNetConfig())
        with network.seeded(seed):
            self.frame = FrameNetwork(self.config)
            self.sample = SampleNetwork(self.config)
            self._initialize()

    def forward(self, features, codes, states=None, precision=torch.float32, targets=None):
        """Teacher forcing: features (B, F + 4, 20), codes (B, 160 F, 3) -> logits (B, 160 F, 256), states.

        With `targets` (B, 160 F) their losses in place of logits.
        """
        return self.sample(codes, self.frame(features), states, precision, targets)

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

    def conditioning(self, features: np.ndarray) -> np.ndarray:
        """Features of a whole signal (F, 20) -> f (F, 128) float32."""
        with torch.no_grad():
            return self.frame(torch.as_tensor(features, dtype=torch.float32)[None], whole=True)[0].numpy()
