"""The filter says what it is meant to say, for both machines."""

import ctypes
import ctypes.util
import struct

import pytest

from qvl.sandbox import seccomp

pytestmark = pytest.mark.anywhere
ALLOW, KILL, REFUSE, UNKNOWN = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026
ARCHES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


def decide(program: bytes, number: int, arch: int, argument: int = 0) -> int:
    """A plain interpreter of the few operations that the filter uses."""
    data = struct.pack("<IIQ6Q", number, arch, 0, argument, 0, 0, 0, 0, 0)
    code = list(struct.iter_unpack("<HBBI", program))
    at, accumulator = 0, 0
    while True:
        operation, yes, no, value = code[at]
        at += 1
        if operation == 0x06:
            return value
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, value)
            continue
        holds = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: accumulator & value}
        at += yes if holds[operation] else no


@pytest.mark.parametrize(("machine", "column"), [("x86_64", 0), ("aarch64", 1)])
def test_the_filter_decides_by_call_and_argument(machine: str, column: int):
    program, arch = seccomp.program(machine), ARCHES[machine]
    assert len(program) // 8 < 256
    refused = {numbers[column] for numbers in seccomp.REFUSED.values()} - {None}
    clone, clone3, socket = (x[column] for x in (seccomp.CLONE, seccomp.CLONE3, seccomp.SOCKET))
    for number in range(600):
        if number == clone3:
            assert decide(program, number, arch) == UNKNOWN
        elif number == socket:
            assert decide(program, number, arch, 1) == ALLOW
            for family in (0, 2, 10, 16, 38, 40):
                assert decide(program, number, arch, family) == REFUSE
        elif number == clone:
            assert decide(program, number, arch, 0x11) == ALLOW  # fork
            assert decide(program, number, arch, 0x3D0F00) == ALLOW  # a thread
            for bit in (17, 25, 26, 27, 28, 29, 30):
                assert decide(program, number, arch, 0x11 | 1 << bit) == REFUSE
        else:
            assert decide(program, number, arch) == (REFUSE if number in refused else ALLOW)


def test_calls_of_other_machines_are_not_let_through():
    program = seccomp.program("x86_64")
    assert decide(program, 1, 0x40000003) == KILL  # int 0x80: 32-bit numbers mean other calls
    assert decide(program, 0x40000000 | 1, ARCHES["x86_64"]) == REFUSE  # x32


def test_the_numbers_are_those_of_libseccomp():
    name = ctypes.util.find_library("seccomp")
    if name is None:
        pytest.skip("libseccomp is not installed")
    library = ctypes.CDLL(name)
    calls = seccomp.REFUSED | {
        "clone": seccomp.CLONE,
        "clone3": seccomp.CLONE3,
        "socket": seccomp.SOCKET,
    }
    resolve = library.seccomp_syscall_resolve_name_arch
    for call, numbers in calls.items():
        for number, arch in zip(numbers, ARCHES.values(), strict=True):
            known = resolve(ctypes.c_uint32(arch), call.encode())
            assert known == number or (number is None and known < 0), call
