"""Records as columns: what a tuple key becomes."""

import pytest

from mapreduce.tabular import data_frame

KEYED = {
    "pairs": [((8, "/"), 3), ((9, "/a"), 4)],
    "dicts": [{"key": (8, "/"), "value": 3}, {"key": (9, "/a"), "value": 4}],
}


@pytest.mark.parametrize("records", KEYED.values(), ids=KEYED)
def test_key_names_are_columns(records):
    rows = data_frame(records, ("hour", "path")).rows(named=True)
    assert rows == [{"hour": 8, "path": "/", "value": 3}, {"hour": 9, "path": "/a", "value": 4}]


@pytest.mark.parametrize("names", [(), ("hour",), ("hour", "value")])
@pytest.mark.parametrize("records", KEYED.values(), ids=KEYED)
def test_a_tuple_key_without_fitting_names_is_a_struct(records, names):
    table = data_frame(records, names)
    assert table.columns == ["key", "value"]
    assert table["key"].to_list() == [{"0": 8, "1": "/"}, {"0": 9, "1": "/a"}]
