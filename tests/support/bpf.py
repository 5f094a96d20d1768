"""The kernel's classic BPF as far as seccomp filters use it: what does a program answer to a system call?"""

from __future__ import annotations

import struct

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # <linux/audit.h>
KILL, ERRNO, ALLOW = 0x00000000, 0x00050000, 0x7FFF0000  # SECCOMP_RET_*


def answer(program: bytes, machine: str, call: int, *arguments: int) -> int:
    """The value that the filter returns for that call with these arguments."""
    padded = (*arguments, *[0] * (6 - len(arguments)))
    data = struct.pack("<IIQ6Q", call, ARCHITECTURES[machine], 0, *padded)
    code = [struct.unpack_from("<HBBI", program, at) for at in range(0, len(program), 8)]
    at = accumulator = 0
    while True:
        operation, when_true, when_false, value = code[at]
        at += 1
        if operation == 0x20:  # load a word
            accumulator = struct.unpack_from("<I", data, value)[0]
        elif operation == 0x54:  # and
            accumulator &= value
        elif operation == 0x05:  # jump
            at += value
        elif operation == 0x06:  # return
            return int(value)
        else:
            holds = {0x15: accumulator == value, 0x25: accumulator > value, 0x35: accumulator >= value,
                     0x45: bool(accumulator & value)}[operation]
            at += when_true if holds else when_false
