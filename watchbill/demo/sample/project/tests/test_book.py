from datetime import date

from ladderlog.book import Book, load, save
from ladderlog.catalogue import Tool
from ladderlog.loans import Loan


def test_no_file_is_an_empty_book(tmp_path):
    assert load(tmp_path / "shed.json") == Book()


def test_a_book_comes_back_as_it_was_saved(tmp_path):
    book = Book(
        tools=[Tool(1, "Bügelsäge", "C3")],
        loans=[
            Loan(1, "Ada", date(2026, 3, 2), date(2026, 3, 16), back=date(2026, 3, 9)),
            Loan(1, "Ben", date(2026, 3, 9), date(2026, 3, 23)),
        ],
    )
    save(book, tmp_path / "shed.json")
    assert load(tmp_path / "shed.json") == book


def test_saving_leaves_no_draft(tmp_path):
    save(Book(), tmp_path / "shed.json")
    assert [path.name for path in tmp_path.iterdir()] == ["shed.json"]
