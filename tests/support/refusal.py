"""How bad input ends: what several catalogues of it ask for."""

import pytest

from activation_study.core.errors import StudyError


def refused(action, held, tmp_path):
    """The action raises a StudyError of one line that holds these words, and writes nothing into the folder."""
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(StudyError) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message
    assert message.isprintable(), ascii(message)
    for words in held:
        assert words in message
    assert sorted(tmp_path.rglob("*")) == before
