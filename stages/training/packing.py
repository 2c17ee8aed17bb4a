"""Packs: rows that go through the model one behind the other, as many as fit."""

from collections.abc import Sequence


def first_fit_decreasing(
    rows: Sequence[int], lengths: Sequence[int], capacity: int
) -> list[list[int]]:
    """Put each row, the longest first, into the first pack that has room for it.

    At most 11/9 of the fewest packs possible, and 6/9 of one (Dosa, "The tight bound of first fit
    decreasing bin-packing algorithm", 2007). A row longer than the capacity is a pack of its own.

    Args:
        rows: row numbers.
        lengths: tokens of each row.
        capacity: tokens of a pack.

    Returns:
        The packs, in the order of their longest rows.
    """
    packs: list[list[int]] = []
    room: list[int] = []
    for row, length in sorted(
        zip(rows, lengths, strict=True), key=lambda pair: (-pair[1], pair[0])
    ):
        for index, left in enumerate(room):
            if length <= left:
                packs[index].append(row)
                room[index] -= length
                break
        else:
            packs.append([row])
            room.append(capacity - length)
    return packs


def deal(
    packs: Sequence[list[int]], num_ranks: int, images: Sequence[tuple[int, ...]]
) -> list[list[list[int]]]:
    """Packs by rank, the same number for each: all ranks take part in every collective.

    Each round of them has the packs that come next, alike in length, so that ranks wait little.
    Within a round a pack goes to the rank that has seen most of its images, which keeps what the
    frozen vision tower made of them. Where packs run out, a rank gets an empty one.

    Args:
        packs: row numbers of each.
        num_ranks: how many ranks there are.
        images: of each row number.
    """
    dealt: list[list[list[int]]] = [[] for _ in range(num_ranks)]
    seen: list[set[int]] = [set() for _ in range(num_ranks)]
    for start in range(0, len(packs), num_ranks):
        free = list(range(num_ranks))
        for pack in packs[start : start + num_ranks]:
            looked_at = {image for row in pack for image in images[row]}
            rank = max(free, key=lambda each: len(looked_at & seen[each]))  # the first of equals
            free.remove(rank)
            dealt[rank].append(pack)
            seen[rank] |= looked_at
        for rank in free:
            dealt[rank].append([])
    return dealt
