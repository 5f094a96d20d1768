"""Opening what a stranger named, below a folder and nowhere else: the kernel's own openat2, for which
Python has no door."""

from __future__ import annotations

import ctypes
import os

_OPENAT2 = 437  # on every architecture
_NO_XDEV, _NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 0x01, 0x02, 0x04, 0x08  # <linux/openat2.h>
_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class _How(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_beneath(folder: int, name: str, flags: int = 0) -> int:
    """A descriptor to read `name` below the opened folder. No link is followed, no mount crossed, no pipe waited for.

    Raises OSError: ELOOP for a link, EXDEV for what leads out of the folder.
    """
    how = _How(os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | flags, 0,
               _NO_XDEV | _NO_MAGICLINKS | _NO_SYMLINKS | _BENEATH)
    got: int = _libc.syscall(_OPENAT2, folder, os.fsencode(name), ctypes.byref(how), ctypes.sizeof(how))
    if got < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), name)
    return got
