"""What a step may ask of its batch as a whole, where it changes more than weights by their gradients."""

from __future__ import annotations

import torch
from torch import Tensor


class WholeBatch:
    """A batch that is not cut into shards: it has itself what its shards would add up to."""

    def total(self, *tensors: Tensor) -> list[Tensor]:
        """Returns the sums of tensors over all shards of the batch, the same in each of them, without gradients.

        Args:
            tensors: what this shard adds, of shapes that do not depend on its number of samples.
        """
        return [tensor.detach() for tensor in tensors]

    def lots(self, count: int, device: torch.device) -> Tensor:
        """Draws which shard each of a number of things is taken from, in proportion to the shards' samples.

        Returns:
            Whether it is this shard, (count,) bool: each is taken from one of them.
        """
        return torch.ones(count, dtype=torch.bool, device=device)


WHOLE_BATCH = WholeBatch()
