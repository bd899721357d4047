"""Forms: what is read of them, and that damaged ones are refused and nothing else."""

from __future__ import annotations

import random

import pytest

from sdrbee.server.errors import ApiError
from sdrbee.server.limits import Limits
from sdrbee.server.multipart import read_form

KIND = 'multipart/form-data; boundary="a b=c"'
WHOLE = (
    b'--a b=c\r\nContent-Disposition: form-data; name="prompt"\r\n\r\n\xc3\xa9\r\n--x\r\n'
    b'--a b=c\r\nContent-Disposition: form-data; name="image[]"; filename="a;\\"b.png"\r\n'
    b"Content-Type: image/png\r\n\r\n\x00\xff\r\n\r\n"
    b'--a b=c\r\ncontent-disposition:form-data;name=image[]; filename=""\r\n\r\n\r\n'
    b'--a b=c\r\nContent-Disposition: form-data; name="n"\r\n\r\n2\r\n--a b=c--\r\nepilogue'
)


def test_parts_keep_their_bytes_and_order() -> None:
    form = read_form(WHOLE, KIND, Limits())
    assert form.texts == {"prompt": ["é\r\n--x"], "n": ["2"]}
    assert form.files == {"image[]": [b"\x00\xff\r\n", b""]}


def test_the_limits_on_parts_and_texts() -> None:
    assert read_form(WHOLE, KIND, Limits(form_parts=4, form_text_bytes=7))
    for limits in (Limits(form_parts=3), Limits(form_text_bytes=6)):
        with pytest.raises(ApiError) as caught:
            read_form(WHOLE, KIND, limits)
        assert caught.value.status == 413


def test_damaged_forms_are_refused_and_nothing_else() -> None:
    chance = random.Random(4)
    statuses = []
    for _ in range(3000):
        body = bytearray(WHOLE)
        for _ in range(chance.randint(1, 6)):
            at = chance.randrange(len(body))
            change = chance.randrange(4)
            if change == 0:
                body[at] = chance.choice(b'\r\n-:;="\\ \x00\xff\x80')
            elif change == 1:
                del body[at : at + chance.randint(1, 40)]
            elif change == 2:
                body[at:at] = chance.choice([b"\r\n--a b=c", b"\r\n", b"--", b'name="x"', b"\r"])
            else:
                body[at:at] = WHOLE[chance.randrange(len(WHOLE)) :][:60]
            if not body:
                break
        try:
            read_form(bytes(body), KIND, Limits())
        except ApiError as error:
            statuses.append(error.status)
    assert len(statuses) > 300
    assert set(statuses) <= {400, 413}
