"""The codebook: nearest vectors, moving averages, dead codes, and what it refuses."""

import pytest
import torch

from firebox.models.codebook import Codebook
from firebox.models.vqvae_baseline import VQVAEBaseline

FINE = torch.zeros(())


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def begun(codes=4, length=3):
    """Returns a codebook whose vectors stand for one latent each."""
    codebook = Codebook(codes, length)
    vectors = drawn(codes, length)
    with torch.no_grad():
        codebook.embeddings.copy_(vectors)
        codebook.sums.copy_(vectors)
        codebook.counts.fill_(1.0)
    return codebook


def follow(codebook, latents, *, decay=0.9, epsilon=0.0, restart_below=0.0, hold=FINE):
    _, codes = codebook(latents)
    codebook.follow(latents, codes, decay=decay, epsilon=epsilon, restart_below=restart_below, hold=hold)
    return codes


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_each_latent_is_replaced_by_the_nearest_vector(memory_format):
    codebook, latents = begun(7, 3), drawn(2, 3, 4, 5, seed=1).to(memory_format=memory_format)
    vectors, codes = codebook(latents)
    assert vectors.shape == latents.shape and codes.shape == (2, 4, 5)
    for n, y, x in ((0, 0, 0), (1, 3, 4), (1, 0, 2)):
        distances = (codebook.embeddings - latents[n, :, y, x]).square().sum(1)
        assert int(codes[n, y, x]) == int(distances.argmin())
        assert torch.equal(vectors[n, :, y, x], codebook.embeddings[codes[n, y, x]])


def test_vectors_follow_as_moving_averages_with_smoothed_counts():
    codebook, latents = begun(4, 3), drawn(6, 3, 2, 2, seed=1)
    counts, sums = codebook.counts.clone(), codebook.sums.clone()
    codes = follow(codebook, latents, decay=0.75, epsilon=0.1).flatten()
    rows = latents.movedim(1, -1).reshape(-1, 3)
    for code in range(4):
        own = rows[codes == code]
        counts[code] = 0.75 * counts[code] + 0.25 * len(own)
        sums[code] = 0.75 * sums[code] + 0.25 * own.sum(0)
    smoothed = (counts + 0.1) / (counts.sum() + 0.4) * counts.sum()
    torch.testing.assert_close(codebook.embeddings.detach(), sums / smoothed[:, None])


def test_a_code_without_latents_restarts_with_its_averages():
    codebook, latents = begun(4, 3), drawn(6, 3, 2, 2, seed=1)
    with torch.no_grad():
        codebook.embeddings[2] = codebook.sums[2] = 1000.0
    for _ in range(40):
        follow(codebook, latents, restart_below=0.05)
    rows = latents.movedim(1, -1).reshape(-1, 3)
    assert float(torch.cdist(codebook.embeddings.detach()[2:3], rows).min()) < 3
    assert float(codebook.sums[2].abs().max() / codebook.counts[2]) < 10, "its old sum would move it back"
    codes = follow(codebook, latents)
    assert set(codes.flatten().tolist()) == {0, 1, 2, 3}
    left = begun(4, 3)
    with torch.no_grad():
        left.embeddings[2] = left.sums[2] = 1000.0
    for _ in range(40):
        follow(left, latents)
    assert float(left.embeddings[2].min()) == pytest.approx(1000.0, rel=1e-4), "0 restarts none"


def test_nothing_moves_in_evaluation_mode_or_where_the_loss_is_not_finite():
    for codebook, hold in ((begun().eval(), FINE), (begun(), torch.ones(()))):
        before = {name: value.clone() for name, value in codebook.state_dict().items()}
        latents = drawn(6, 3, 2, 2, seed=1)
        latents[0] = float("nan")
        follow(codebook, latents, restart_below=0.5, hold=hold)
        assert all(torch.equal(value, before[name]) for name, value in codebook.state_dict().items())


def test_it_begins_among_the_latents_once():
    codebook, latents = Codebook(5, 3), drawn(40, 3, 2, 2, seed=1) + 100
    codebook.begin(latents)
    assert set(codebook(latents)[1].flatten().tolist()) == set(range(5))
    torch.testing.assert_close(codebook.embeddings.detach(), codebook.sums / codebook.counts[:, None])
    before = codebook.embeddings.detach().clone()
    codebook.begin(latents - 200)
    assert torch.equal(codebook.embeddings, before), "a codebook of an earlier training stays"


def test_of_fewer_latents_each_is_a_code_and_the_rest_are_dead():
    codebook, latents = Codebook(11, 3), drawn(2, 3, 2, 2)
    codebook.begin(latents)
    assert int((codebook.counts > 0).sum()) == 8
    torch.testing.assert_close(codebook(latents)[0], latents)


def test_latents_of_another_length_are_refused():
    for latents in (drawn(2, 4, 2, 2), drawn(2, 2, 2, 3), drawn(3)):
        with pytest.raises(ValueError, match=r"vectors have 3 entries, but the latents .* expected \(N, 3, \.\.\.\)"):
            begun()(latents)


@pytest.mark.parametrize("input_shape", [(1, 28, 28), (3, 29, 31), (1, 8, 5)])
def test_a_vqvaes_output_has_the_input_shape(input_shape):
    model = VQVAEBaseline(input_shape, channels=(4, 6), embedding_dim=5, num_embeddings=8)
    images = torch.rand(2, *input_shape)
    assert model(images).shape == images.shape
    assert model.encode(images).shape == (2, *model.latent_shape)
    assert model.embed(images).shape == (2, 5 * model.latent_shape[1] * model.latent_shape[2])
    assert model.bits == 3 * model.latent_shape[1] * model.latent_shape[2]
    with pytest.raises(ValueError, match="channels: got 0 stages"):
        VQVAEBaseline(input_shape, channels=())
