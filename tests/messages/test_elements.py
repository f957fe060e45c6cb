from __future__ import annotations

import pytest

from valkey_memory._messages.elements import load_element, load_elements


@pytest.mark.parametrize(
    "raw",
    [
        b'{"role":"user","x":{"~":"object","v":"os.system"}}',
        b'{"role":"user","x":{"~":"uuid","v":"not one"}}',
        b'{"role":"user","x":{"~":"uuid","v":5}}',
        b'{"role":"user","x":{"~":"tuple","v":5}}',
        b'{"role":"user","x":{"~":"decimal","v":"x"}}',
        b'{"role":"user","x":{"~":"set","v":[[]]}}',
    ],
)
def test_unknown_and_malformed_tags_are_errors(raw: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the text is the decoder's own
        load_element(raw)
    with pytest.raises(ValueError):  # noqa: PT011
        load_elements([raw])


@pytest.mark.parametrize(
    ("bad", "message"),
    [(b"[]", "it is a JSON list"), (b'{"role":5}', 'has no "role"'), (b"{", "unexpected end")],
)
def test_many_elements_fail_as_one_does(bad: bytes, message: str) -> None:
    good = [b'{"role":"user","content":"~"}', b'{"role":"user","x":{"~":"bytes","v":"YQ=="}}']
    assert load_elements(good) == [load_element(raw) for raw in good]
    with pytest.raises(ValueError, match=message):
        load_elements([*good, bad])
