"""How a global batch is divided: the micro-batches are the same on any number of devices."""

import pytest

from modernet.errors import UserError
from modernet.runtime.distributed import DistributedEnv, batch_layout


@pytest.mark.parametrize("world_size", [1, 2, 4, 8])
def test_micro_batches_and_their_seeds_are_the_same_on_any_number_of_devices(world_size):
    layouts = [batch_layout(DistributedEnv(rank, world_size), 256, 32) for rank in range(world_size)]
    pairs = [(layout, micro_batch) for layout in layouts for micro_batch in layout.micro_batches()]
    assert [micro_batch.number for _, micro_batch in pairs] == list(range(8))
    images = [image for _, micro_batch in pairs for image in range(256)[micro_batch.indices]]
    assert images == list(range(256))
    assert [layout.seed_number(5, micro_batch) for layout, micro_batch in pairs] == list(range(40, 48))
    assert {(layout.batch_size, layout.grad_accum_steps) for layout in layouts} == {(256, 8 // world_size)}


def test_micro_batch_is_the_whole_batch_by_default():
    layout = batch_layout(DistributedEnv(), 64, None)
    assert (layout.micro_batch_size, layout.grad_accum_steps) == (64, 1)


@pytest.mark.parametrize(
    ("batch_size", "micro_batch_size", "world_size", "message"),
    [
        (64, None, 2, r"has 1 micro-batch\(es\) of 64 images, which 2 devices cannot .*; recipe.micro_batch_size=32,"),
        (256, 32, 32, r"has 8 micro-batch\(es\) of 32 images, which 32 devices cannot .*; recipe.micro_batch_size=8,"),
        (256, 32, 3, r"which 3 devices cannot divide evenly; use a number of devices that divides 256"),
        (4, None, 4, "use a number of devices that divides 4"),  # one image has no BatchNorm statistic
        (100, 32, 1, "recipe.batch_size=100 must be a multiple of recipe.micro_batch_size=32"),
    ],
)
def test_uneven_layout_is_refused_with_a_line_that_names_what_to_set(batch_size, micro_batch_size, world_size, message):
    with pytest.raises(UserError, match=message):
        batch_layout(DistributedEnv(world_size=world_size), batch_size, micro_batch_size)


@pytest.mark.parametrize("world_size", [2, 4, 8, 16])
def test_suggested_micro_batch_size_is_accepted(world_size):
    for batch_size, micro_batch_size in ((512, None), (96, 48), (4096, 1024)):
        try:
            batch_layout(DistributedEnv(world_size=world_size), batch_size, micro_batch_size)
        except UserError as error:
            suggested = int(str(error).partition("recipe.micro_batch_size=")[2].partition(",")[0])
            assert batch_layout(DistributedEnv(world_size=world_size), batch_size, suggested).grad_accum_steps == 1
