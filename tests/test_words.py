"""Lists and ranges in messages."""

from tinybench.words import counted, listed, span


def test_words():
    assert [listed("abc"[:count]) for count in (1, 2, 3)] == ["a", "a and b", "a, b and c"]
    assert listed("abcd", most=2) == "a, b and 2 more"
    assert listed(["a, x", "b, x", "c"]) == "a, x; b, x and c"
    assert [counted(number, "run") for number in (0, 1, 1200)] == ["0 runs", "1 run", "1,200 runs"]
    assert (span([3, 3]), span([1, 3])) == ("3", "1 to 3")
