import pytest

from zsgan.base.settings import given
from zsgan.base.yaml_values import read_yaml, value_of


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("cats #2", "cats #2"), ("#1", "#1"), ("a: b", "a: b"), ("*x", "*x"), ("&x", "&x"), ("@x", "@x"),
        ("%x", "%x"), ("!x", "!x"), ("a\tb", "a\tb"), (" grey cat ", "grey cat"), ("- a", "- a"), ("|", "|"),
        ("~", "~"), ("~/cats", "~/cats"), ("2024-01-31", "2024-01-31"), ("12:30", "12:30"), ("no", "no"),
        ("1e4", "1e4"), ("007", "007"), ("true", True), ("false", False), ("null", None),
        ("[0]", ["0"]), ("[a #1, null]", ["a #1", None]), ("{a: 1, b: [x]}", {"a": "1", "b": ["x"]}),
        ("{}", {}),
        ("'a #b'", "a #b"), ('"[cats]"', "[cats]"), ("'t is", "'t is"), ("[1] cats", "[1] cats"),
        ("{a}/b", "{a}/b"), ("cats [1]*?", "cats [1]*?"),
    ],
)  # fmt: skip
def test_a_value_is_what_stands_there(text, value):
    found = value_of(text)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("a=", "the value is empty; give one, or null for none"),
        ("a=  ", "the value is empty"),
        ("=1", "takes NAME=VALUE"),
        ("a", "takes NAME=VALUE"),
        ("a=[", "'\\[' is no list or mapping of YAML .*in quotes"),
        ("a={b: 1, b: 2}", "'b' stands here a second time"),
        ("a=[x]/[y]", "is no list or mapping of YAML .*put a word that begins with a bracket in quotes"),
    ],
)
def test_an_item_that_cannot_be_read_is_refused(item, message):
    with pytest.raises(ValueError, match=message):
        given([item])


def test_a_name_is_given_once():
    assert given(["optimiser.lr = 1", "truth.folder=a=b"]) == {"optimiser.lr": "1", "truth.folder": "a=b"}
    with pytest.raises(ValueError, match="--set gives optimiser.lr twice; keep one of optimiser.lr=1 and"):
        given(["optimiser.lr=1", " optimiser.lr =2"])


TEXT = "a: café\nb: 2\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
def test_a_file_is_read_in_every_encoding_of_unicode(tmp_path, encoding):
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    (tmp_path / "x.yaml").write_bytes(mark + TEXT.encode(encoding))
    assert read_yaml(tmp_path / "x.yaml") == {"a": "café", "b": 2}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"b: 2\na: caf\xe9\n", "line 2: byte 0xe9 is not valid UTF-8; save the file as UTF-8"),
        (
            TEXT.encode("utf-16-le").replace(b"\xe9\0", b"e\0"),
            "line 1: the character '.x00' cannot be in YAML",
        ),
        (b"a:\n\tb: 1\n", "line 2: .*use spaces instead of tabs"),
        (b"a: 1\nb: 2\na: 3\n", "line 3: .*'a' stands here a second time; keep one"),
        (b"x:\n  - {a: 1,\n     a: 2}\n", "line 3: .*'a' stands here a second time"),
        (b"a: 1\nb: c: d\n", "line 2: .*put a text with ': ' in quotes"),
        (b"a: 1\nb: [\n", "line 3: this is no valid YAML"),
        (b"a: @b\n", "line 1: this is no valid YAML"),
        (b"a: *b\n", "line 1: .*undefined alias"),
        (b"a: !!python/name:os.system\n", "line 1: .*could not determine a constructor"),
        (b"a: 1\n---\nb: 2\n", "line 2: .*single document"),
        (b"[" * 5000, "nested too deeply"),
    ],
)
def test_a_fault_in_a_file_has_its_name_and_line(tmp_path, data, message):
    file = tmp_path / "mine.yaml"
    file.write_bytes(data)
    with pytest.raises(ValueError, match=message) as caught:
        read_yaml(file)
    assert str(caught.value).startswith(str(file)) and "\n" not in str(caught.value)


def test_plain_words_stay_words(tmp_path):
    words = ["no", "yes", "on", "12:30", "010", "2024-01-31", "0x10", "１"]
    (tmp_path / "x.yaml").write_text(
        f"a: [{', '.join(words)}]\nb: [1, -2.5, 1e4, 2.0e+3, true, null, ~]", "utf-8"
    )
    found = read_yaml(tmp_path / "x.yaml")
    assert found == {"a": words, "b": [1, -2.5, 1e4, 2e3, True, None, None]}
