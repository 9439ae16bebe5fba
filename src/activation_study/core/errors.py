"""What goes wrong outside of the program: the one error that users see, and a lack of memory."""

from __future__ import annotations

import errno

from activation_study.core.text import plain

ALLOCATORS = (
    "allocate memory",  # of PyTorch ("can't", on a CPU), of the loader of shared libraries and of the system ("cannot")
    "not enough memory",
    "out of memory",  # of a GPU
    "cublas_status_alloc_failed",
    "bad_alloc",
    "failed to map segment",  # an import, of a library for which there is no room
    "can't start new thread",  # there is none for its stack
)
"""What errors say, in small letters, when there is no memory left."""


class StudyError(ValueError):
    """Something the user can put right: one line that names the key, the value and what would be right."""


def lacks_memory(error: BaseException | None) -> bool:
    """Whether an allocator is behind it, be that Python's, NumPy's, the system's, or PyTorch's on a CPU or a GPU."""
    while error is not None:
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
            return True
        text = plain(error, 2000).lower()
        if any(words in text for words in ALLOCATORS):
            return True
        error = error.__cause__ or error.__context__
    return False
