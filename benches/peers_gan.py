"""The text-to-image networks as people write them in PyTorch: nn.Upsample, nn.Conv2d, nn.BatchNorm2d, torch.optim.Adam.

The same layers, losses and order of updates as gxn trains with (crates/gxn/examples/bench_ops/gan.rs), from ready t_l.
The discriminator's parameters want no gradients in the generator's step, and the activations work in place, so that
PyTorch does no needless work.
"""
import torch
from torch import nn
from torch.nn import functional as F

BATCH, NOISE, CONDITION, EMBED = 64, 100, 128, 1024


class Generator(nn.Module):
    def __init__(self, gf):
        super().__init__()
        widths = [8 * gf >> level for level in range(5)]
        self.phi = nn.Linear(EMBED, 2 * CONDITION)
        self.start = nn.Sequential(
            nn.Linear(NOISE + CONDITION, widths[0] * 16, bias=False), nn.BatchNorm1d(widths[0] * 16), nn.ReLU(True)
        )
        layers = []
        for inputs, outputs in zip(widths, widths[1:]):
            layers += [nn.Upsample(scale_factor=2), nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False)]
            layers += [nn.BatchNorm2d(outputs), nn.ReLU(True)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[4], 3, 3, 1, 1, bias=False), nn.Tanh())

    def forward(self, noise, t_l, memory_format):
        mean, log_variance = self.phi(t_l * EMBED**0.5).chunk(2, 1)
        condition = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        divergence = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).mean()
        x = self.start(torch.cat([noise, condition], 1))
        return self.layers(x.view(len(x), -1, 4, 4).contiguous(memory_format=memory_format)), divergence


class Discriminator(nn.Module):
    def __init__(self, df):
        super().__init__()
        layers = [nn.Conv2d(3, df, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, True)]
        for inputs in (df, 2 * df, 4 * df):
            layers += [nn.Conv2d(inputs, 2 * inputs, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * inputs)]
            layers += [nn.LeakyReLU(0.2, True)]
        self.features = nn.Sequential(*layers)
        self.condition = nn.Sequential(nn.Linear(EMBED, CONDITION), nn.LeakyReLU(0.2, True))
        self.joint = nn.Sequential(
            nn.Conv2d(8 * df + CONDITION, 8 * df, 3, 1, 1, bias=False),
            nn.BatchNorm2d(8 * df),
            nn.LeakyReLU(0.2, True),
            nn.Conv2d(8 * df, 1, 4, 4),
        )

    def judge(self, features, t_l):
        condition = self.condition(t_l * EMBED**0.5)[:, :, None, None].expand(-1, -1, 4, 4)
        return self.joint(torch.cat([features, condition], 1)).flatten()


def step(gf, df, channels_last):
    """One image generated, a discriminator step on it, the real ones and a mismatch, then a generator step."""
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    generator = Generator(gf).to(memory_format=memory_format)
    discriminator = Discriminator(df).to(memory_format=memory_format)
    nets = (generator, discriminator)
    adams = [torch.optim.Adam(net.parameters(), lr=2e-4, betas=(0.5, 0.999), fused=True) for net in nets]
    real = (torch.rand(BATCH, 3, 64, 64) * 2 - 1).contiguous(memory_format=memory_format)
    t_l = torch.randn(BATCH, EMBED) / EMBED**0.5
    other = t_l.roll(-1, 0)

    def call():
        fake, divergence = generator(torch.randn(BATCH, NOISE), t_l, memory_format)
        discriminator.requires_grad_(True)
        adams[1].zero_grad()
        real_features = discriminator.features(real)
        is_real = discriminator.judge(real_features, t_l)
        is_wrong = discriminator.judge(real_features, other)
        is_fake = discriminator.judge(discriminator.features(fake.detach()), t_l)
        loss = F.softplus(-is_real).mean() + 0.5 * (F.softplus(is_wrong).mean() + F.softplus(is_fake).mean())
        loss.backward()
        adams[1].step()

        discriminator.requires_grad_(False)
        adams[0].zero_grad()
        loss = F.softplus(-discriminator.judge(discriminator.features(fake), t_l)).mean() + 2 * divergence
        loss.backward()
        adams[0].step()
        assert loss.isfinite()

    return call
