"""A decoder that writes 40 samples at a time, from its own past one pitch period back.

Task: FARGAN (Valin, Mustafa, Buethe 2024, IEEE SPL). A network at frame rate makes four vectors of a frame. A network
at 400 Hz turns each into 40 samples, given the 40 before, a copy of its output one period ago, through gates that
decide how much of that copy each layer sees. It is trained on its own output, not on the true past.

Conventions: signals are pre-emphasized, (B, samples), in [-1, 1]; features (B, frames, 20) are those of a receiver, two
more frames on either side than are made. A frame is 160 samples, centred in its analysis window like LPCNet's.

Contents: `Fargan`, `FrameNetwork`, `StepNetwork`.
"""

import itertools

from pcodec.compute.backend import torch
from pcodec.fargan.config import HISTORY, PERIODS, STEP, STEPS, FarganConfig
from pcodec.features.analysis import FEATURES, LAG_MAX, LAG_MIN
from pcodec.learning import network

nn = torch.nn
SMALLEST = 1e-5  # gain


def lags(features):
    """Features (..., 20) -> pitch lag in samples (...), int64, as LPCNet reads it."""
    return (0.1 + 50.0 * features[..., FEATURES["pitch"]] + 100.0).long().clamp(LAG_MIN + 1, LAG_MAX - 1)


class GLU(nn.Module):
    """x (..., N) -> x sigmoid(W x)."""

    def __init__(self, width: int):
        super().__init__()
        self.gate = nn.Linear(width, width, bias=False)

    def forward(self, x):
        return x * torch.sigmoid(self.gate(x))


class FrameNetwork(nn.Module):
    """Features (B, F + 4, 20) -> conditioning of each sub-frame (B, F, 4, 80)."""

    def __init__(self, config: FarganConfig):
        super().__init__()
        self.pitch = nn.Embedding(LAG_MAX, config.pitch_embedding)
        self.dense = nn.Linear(config.features + config.pitch_embedding, config.dense)
        self.conv1 = nn.Conv1d(config.dense, config.conditioning, 3)
        self.conv2 = nn.Conv1d(config.conditioning, config.conditioning, 3)
        self.up = nn.Linear(config.conditioning, STEPS * config.step_conditioning)

    def forward(self, features):
        x = torch.tanh(self.dense(torch.cat([features, self.pitch(lags(features))], dim=-1))).transpose(1, 2)
        for conv in (self.conv1, self.conv2):
            x = torch.tanh(conv(x))
        return torch.tanh(self.up(x.transpose(1, 2))).unflatten(-1, (STEPS, -1))


class StepNetwork(nn.Module):
    """One sub-frame: conditioning (B, 80), past output and lag -> 40 samples."""

    def __init__(self, config: FarganConfig):
        super().__init__()
        pitch, step = STEP + 2 * PERIODS, config.step_conditioning
        self.gain = nn.Linear(step, 1)
        self.conv = nn.Linear(2 * (step + pitch + STEP), config.conv, bias=False)
        self.conv_glu = GLU(config.conv)
        self.gates = nn.Linear(config.conv, 4)
        widths = [config.conv, config.gru_1, config.gru_2, config.gru_3]
        self.grus = nn.ModuleList(
            nn.GRUCell(before + 2 * STEP, own, bias=False) for before, own in itertools.pairwise(widths)
        )
        self.glus = nn.ModuleList(GLU(own) for own in widths[1:])
        self.skip = nn.Linear(sum(widths) + 2 * STEP, config.skip, bias=False)
        self.skip_glu = GLU(config.skip)
        self.out = nn.Linear(config.skip, STEP, bias=False)

    def start(self, batch: int, like):
        """States before the first sub-frame: the convolution's last input, and the GRUs'."""
        zeros = like.new_zeros
        return [zeros(batch, self.conv.in_features // 2), *(zeros(batch, gru.hidden_size) for gru in self.grus)]

    def forward(self, conditioning, past, lag, states):
        """(B, 80), past output (B, 260), lag (B,) -> 40 samples (B, 40), states."""
        gain = torch.exp(self.gain(conditioning))
        at = HISTORY - lag[:, None] - PERIODS + torch.arange(STEP + 2 * PERIODS, device=past.device)
        at = torch.where(at >= HISTORY, at - lag[:, None], at)
        scale = 1.0 / (gain + SMALLEST)
        period = (past.gather(1, at) * scale).clamp(-1, 1)
        before = (past[:, -STEP:] * scale).clamp(-1, 1)
        copied = period[:, PERIODS:-PERIODS]
        now = torch.cat([conditioning, period, before], dim=1)
        seen = torch.cat([states[0], now], dim=1)
        x = self.conv_glu(torch.tanh(self.conv(seen)))
        gates = torch.sigmoid(self.gates(x))
        new, layers = [now], [x]
        for number, (gru, glu) in enumerate(zip(self.grus, self.glus, strict=True)):
            state = gru(torch.cat([x, gates[:, number : number + 1] * copied, before], dim=1), states[1 + number])
            new.append(state)
            x = glu(state)
            layers.append(x)
        x = torch.cat([*layers, gates[:, 3:] * copied, before], dim=1)
        x = self.skip_glu(torch.tanh(self.skip(x)))
        return torch.tanh(self.out(x)) * gain, new


class Fargan(network.Network):
    """The decoder network."""

    CONFIG = FarganConfig

    def __init__(self, config: FarganConfig | None = None, seed: int | None = None):
        super().__init__(config or FarganConfig())
        with network.seeded(seed):
            self.frame, self.step = FrameNetwork(self.config), StepNetwork(self.config)
            for name, parameter in self.named_parameters():
                if "weight_hh" in name or "gate.weight" in name:
                    nn.init.orthogonal_(parameter)
                elif parameter.ndim >= 2 and "pitch" not in name:
                    nn.init.xavier_uniform_(parameter)
            nn.init.zeros_(self.step.gain.weight)
            nn.init.constant_(self.step.gain.bias, -3.0)  # speech is mostly soft

    def forward(self, features, primer, jitter: float = 0.0):
        """Features (B, F + 4, 20) and the first samples (B, 160 P), P >= 1 -> the signal (B, 160 F), which begins so.

        The first of these frames is the past; through the others the network runs, but what it writes is replaced by
        what is true. `jitter` is the noise on what is fed back, in mean magnitudes of each sub-frame.
        """
        conditioning = self.frame(features)
        lag = lags(features[:, 2:-2])
        batch, frames = lag.shape
        past = nn.functional.pad(primer[:, :160], (HISTORY - 160, 0))
        true = primer[:, 160:].split(STEP, dim=1) if primer.shape[1] > 160 else ()
        states, made = self.step.start(batch, past), [primer[:, :160]]
        for number in range(STEPS, STEPS * frames):
            frame, part = divmod(number, STEPS)
            samples, states = self.step(conditioning[:, frame, part], past, lag[:, frame], states)
            if number - STEPS < len(true):
                samples = true[number - STEPS]
            made.append(samples)
            if jitter:
                samples = samples + jitter * torch.randn_like(samples) * samples.detach().abs().mean(1, True)
            past = torch.cat([past[:, STEP:], samples], dim=1)
        return torch.cat(made, dim=1)
