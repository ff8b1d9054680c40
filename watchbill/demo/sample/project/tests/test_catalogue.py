import pytest

from ladderlog.catalogue import Tool, UnknownTool, by_number, find, next_number

SHED = [Tool(1, "Long ladder", "B2"), Tool(2, "Step ladder", "B2"), Tool(4, "Cordless drill", "A1")]


def test_numbers_go_on_from_the_highest():
    assert next_number([]) == 1
    assert next_number(SHED) == 5


def test_a_tool_is_found_by_its_number():
    assert by_number(SHED, 4).name == "Cordless drill"


def test_an_unknown_number_is_an_error():
    with pytest.raises(UnknownTool, match="no tool number 3"):
        by_number(SHED, 3)


def test_a_search_ignores_case():
    assert [tool.number for tool in find(SHED, "LADDER")] == [1, 2]


def test_a_blank_search_finds_nothing():
    assert find(SHED, "") == []
    assert find(SHED, "   ") == []
