"""The codebook of a vector-quantised model."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from firebox.foundation.whole_batch import WHOLE_BATCH, WholeBatch

LLOYD_STEPS = 10
"""Of k-means on the first batch."""


class Codebook(nn.Module):
    """Replaces each latent by the nearest of a fixed number of vectors, which follow the latents that they replace.

    Van den Oord, Vinyals and Kavukcuoglu, "Neural Discrete Representation Learning", NeurIPS 2017, with the moving
    averages of its appendix A.1: ``follow`` is online k-means. No optimizer trains the vectors.

    Args:
        num_embeddings: number of codes, K.
        embedding_dim: length D of a code's vector.
    """

    counts: Tensor
    """Moving average of the number of latents that each code stands for in a batch, (K,); zeros until ``begin``."""
    sums: Tensor
    """Moving average of the sum of these latents, (K, D)."""

    def __init__(self, num_embeddings: int, embedding_dim: int) -> None:
        super().__init__()
        # A parameter, not a buffer: whatever averages an encoder's weights has to average the vectors with them.
        self.embeddings = nn.Parameter(torch.zeros(num_embeddings, embedding_dim), requires_grad=False)
        self.register_buffer("counts", torch.zeros(num_embeddings))
        self.register_buffer("sums", torch.zeros(num_embeddings, embedding_dim))

    def forward(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the nearest vectors (N, D, ...), float32, and their codes (N, ...) int64, of latents (N, D, ...).

        Raises:
            ValueError: the latents' channels, their second dimension, are not as many as a vector has entries.
        """
        codes = self._nearest(self._rows(latents)).view(latents.shape[0], *latents.shape[2:])
        return self.look_up(codes), codes

    def look_up(self, codes: Tensor) -> Tensor:
        """Returns the vectors (N, D, ...) of codes (N, ...) int64."""
        return functional.embedding(codes, self.embeddings).movedim(-1, 1)

    @torch.no_grad()
    def begin(self, latents: Tensor, whole: WholeBatch = WHOLE_BATCH) -> None:
        """Sets the vectors by k-means on latents (N, D, ...), unless they are those of an earlier training.

        Random vectors may all be farther from the data than the first that wins: then one code stands for everything.
        Where there are fewer latents than codes, several codes begin alike, of which all but one are dead.

        Args:
            latents: those of a batch, or of a shard of it.
            whole: adds up what the shards of the batch have.
        """
        rows = self._rows(latents)
        fresh = self.counts.sum() == 0  # decided on the device, which the host does not wait for
        held = self.embeddings.clone(), self.counts.clone(), self.sums.clone()
        order = torch.randperm(len(rows), device=rows.device)
        own = whole.lots(len(self.counts), rows.device)
        first = rows[order[(own.cumsum(0) - 1).clamp(min=0) % len(rows)]]
        (vectors,) = whole.total(_where(own, first))
        self.embeddings.copy_(vectors)
        for _ in range(LLOYD_STEPS):
            self._average(*whole.total(*self._statistics(rows, self._nearest(rows))), decay=0.0, epsilon=0.0)
        for tensor, before in zip((self.embeddings, self.counts, self.sums), held, strict=True):
            tensor.copy_(torch.where(fresh, tensor, before))

    @torch.no_grad()
    def follow(
        self,
        latents: Tensor,
        codes: Tensor,
        *,
        decay: float,
        epsilon: float,
        restart_below: float,
        hold: Tensor,
        whole: WholeBatch = WHOLE_BATCH,
    ) -> None:
        """Moves the vectors towards the means of the latents that they stand for; restarts those that stand for none.

        Nothing moves in evaluation mode, in which a frozen codebook is.

        Args:
            latents: (N, D, ...), in training.
            codes: their codes, (N, ...) int64.
            decay: fraction of the moving averages that is kept, in [0, 1).
            epsilon: added to each count for Laplace smoothing.
            restart_below: fraction of the mean count below which a code is dead. It restarts, with the mean count, at
                a latent of this batch, drawn with torch's default generator; 0 restarts none.
            hold: of shape (); where it is not 0, such as for a loss that is not finite, everything stays as it is.
            whole: adds up what the shards of the batch have, where the latents are those of one of them.
        """
        if not self.training:
            return
        rows = self._rows(latents)
        held = self.embeddings.clone(), self.counts.clone(), self.sums.clone()
        counts, sums = self._statistics(rows, codes.flatten())
        if restart_below:
            own = whole.lots(len(counts), rows.device)
            drawn = _where(own, rows[torch.randint(len(rows), counts.shape, device=rows.device)])
            counts, sums, drawn = whole.total(counts, sums, drawn)
        else:
            counts, sums = whole.total(counts, sums)
        self._average(counts, sums, decay=decay, epsilon=epsilon)
        if restart_below:
            mean = self.counts.mean()
            dead = self.counts < restart_below * mean
            self.embeddings.copy_(torch.where(dead.unsqueeze(1), drawn, self.embeddings))
            # The averages restart with the vector: its old ones would move it back at once.
            self.sums.copy_(torch.where(dead.unsqueeze(1), drawn * mean, self.sums))
            self.counts.copy_(torch.where(dead, mean, self.counts))
        for tensor, before in zip((self.embeddings, self.counts, self.sums), held, strict=True):
            tensor.copy_(torch.where(hold == 0, tensor, before))

    def _statistics(self, rows: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the number (K,) and the sum (K, D) of the rows that each code stands for."""
        # By a product rather than index_add, whose order of summation differs from run to run on a GPU.
        chosen = (codes.unsqueeze(1) == torch.arange(len(self.counts), device=codes.device)).to(rows.dtype)
        with torch.autocast(rows.device.type, enabled=False):
            return chosen.sum(0), chosen.T @ rows

    def _average(self, counts: Tensor, sums: Tensor, *, decay: float, epsilon: float) -> None:
        self.counts.lerp_(counts, 1 - decay)
        self.sums.lerp_(sums, 1 - decay)
        total = self.counts.sum()
        smoothed = (self.counts + epsilon) / (total + len(self.counts) * epsilon) * total
        known = (self.counts > 0).unsqueeze(1)
        self.embeddings.copy_(torch.where(known, self.sums / smoothed.unsqueeze(1), self.embeddings))

    def _nearest(self, rows: Tensor) -> Tensor:
        """Returns the codes (n,) of rows (n, D)."""
        with torch.autocast(rows.device.type, enabled=False):
            # The squared distances without the squared length of the row itself, which is the same to every vector.
            return torch.addmm(self.embeddings.square().sum(1), rows, self.embeddings.T, alpha=-2).argmin(1)

    def _rows(self, latents: Tensor) -> Tensor:
        """Returns latents (N, D, ...) as rows (n, D), whose channels are not torn apart."""
        length = self.embeddings.shape[1]
        if latents.dim() < 2 or latents.shape[1] != length:
            raise ValueError(
                f"the codebook's vectors have {length} entries, but the latents have the shape {tuple(latents.shape)}; "
                f"expected (N, {length}, ...): an encoder that ends in embedding_dim channels, in the second dimension"
            )
        return latents.detach().movedim(1, -1).reshape(-1, length).to(self.embeddings.dtype)


def _where(own: Tensor, rows: Tensor) -> Tensor:
    """Returns rows (n, D) with zeros in the place of those that are not its own (n,)."""
    return torch.where(own.unsqueeze(1), rows, 0.0)
