"""Which rows are generated together follows from the keys."""

from stages.generation import group_rows


def test_groups_never_cross_shards() -> None:
    shards = [[((f"s{shard}", index), None) for index in range(5)] for shard in range(2)]
    groups = [[row.group for row in group_rows(rows, 3)] for rows in shards]
    assert [len(set(names)) for names in groups] == [2, 2]
    assert groups[0][:3] == [("s0", 0)] * 3
    assert not set(groups[0]) & set(groups[1])


def test_rows_that_do_not_depend_on_neighbours_stand_alone() -> None:
    rows = [(("s", index), None) for index in range(5)]
    assert len({row.group for row in group_rows(rows, 1)}) == 5
