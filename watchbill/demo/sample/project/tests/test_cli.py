from datetime import date

import pytest

from ladderlog.cli import main

MONDAY = date(2026, 3, 2)


@pytest.fixture
def shed(tmp_path, capsys):
    def run(*words, today=MONDAY):
        code = main(["--book", str(tmp_path / "shed.json"), *words], today=today)
        said = capsys.readouterr()
        return code, said.out.strip() or said.err.strip()

    return run


def test_a_tool_goes_out_and_comes_home(shed):
    assert shed("add", "Long ladder", "--shelf", "B2") == (0, "Long ladder is number 1, on shelf B2.")
    assert shed("lend", "1", "Ada") == (0, "Long ladder goes to Ada until 2026-03-16.")
    code, said = shed("back", "1", today=date(2026, 3, 19))
    assert code == 0
    assert said.startswith("Long ladder is home, on shelf B2. Late fee: 1.00.")


def test_what_the_shed_refuses_is_said_with_exit_code_1(shed):
    assert shed("lend", "9", "Ada") == (1, "ladderlog: there is no tool number 9")


def test_the_lists_read_the_book(shed):
    shed("add", "Long ladder")
    assert shed("find", "ladder") == (0, "1  Long ladder (shelf A1)")
    assert shed("shelf")[1].endswith("Long ladder (home)")
    assert shed("overdue") == (0, "Everything is home in time.")
