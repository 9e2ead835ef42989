"""What players tell, and what is made of what they should not."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.traffic.dash.cmcd import MAX_BYTES, Cmcd, of_request, to_query

flags, numbers = st.integers(0, 1), st.integers(0, 10**6)


@given(st.builds(Cmcd, numbers, numbers, numbers, numbers, numbers, numbers, flags, flags))
def test_it_is_read_as_it_was_written(told: Cmcd) -> None:
    heard = of_request(f"/chunk/1/2.m4s?{to_query(told, 'a-0')}")
    assert heard is not None
    for name in ("br", "d", "tb", "bs", "su"):
        assert getattr(heard, name) == getattr(told, name)
    for name in ("bl", "dl", "mtp"):
        assert abs(getattr(heard, name) - getattr(told, name)) <= 50


def test_a_query_by_hand() -> None:
    told = to_query(Cmcd(br=750, bl=1234, su=1, bs=0), "x")
    assert told == "CMCD=" + quote('bl=1200,br=750,ot=v,sf=d,sid="x",st=v,su')


@pytest.mark.parametrize(
    "query",
    ["", "x=1", "CMCD=", "CMCD", "CMCD=%ff%fe", "&".join(["a=1"] * 100), "CMCD=" + "a" * MAX_BYTES],
)
def test_nothing_that_is_said_breaks_it(query: str) -> None:
    heard = of_request(f"/chunk/1/2.m4s?{query}")
    assert heard is None or heard == Cmcd(bs=0, su=0)


@given(st.text(max_size=300))
def test_no_text_breaks_it(text: str) -> None:
    of_request(text)
    heard = of_request(f"/?CMCD={quote(text)}")
    if heard is not None:
        assert max(heard.br, heard.bl, heard.mtp) < 10**12


def test_malformed_values_are_left_out() -> None:
    heard = of_request("/?CMCD=br%3D-5%2Cbl%3D1e9%2Cmtp%3D900%2Cbs%2Csu%3D%3F0%2Cxx%3D3")
    assert heard == Cmcd(mtp=900, bs=1, su=0)
