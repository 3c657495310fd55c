"""The filter of system calls refuses the listed calls and no others, on both machines."""

import struct
import subprocess
import sys

import pytest

from qvl.sandbox import seccomp

pytestmark = pytest.mark.anywhere
ALLOW, KILL, REFUSE, UNKNOWN = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026
ARCHES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# From arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h of Linux.
# name -> number on x86_64, on aarch64; None if there is no such call
NUMBERS: dict[str, tuple[int, int | None]] = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "quotactl": (179, 60),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "acct": (163, 89),
    "syslog": (103, 116),
    "personality": (135, 92),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "settimeofday": (164, 170),
    "adjtimex": (159, 171),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "modify_ldt": (154, None),
    "iopl": (172, None),
    "ioperm": (173, None),
}
CLONE, CLONE3, SOCKET = (56, 220), (435, 435), (41, 198)


def decide(program: bytes, number: int, arch: int, argument: int = 0) -> int:
    """The action for a call, by an interpreter of the few operations that the filter uses."""
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
        if operation == 0x54:
            accumulator &= value
            continue
        holds = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: accumulator & value}
        at += yes if holds[operation] else no


@pytest.mark.parametrize(("machine", "column"), [("x86_64", 0), ("aarch64", 1)])
def test_the_filter_decides_by_call_and_argument(machine: str, column: int):
    program, arch = seccomp.program(machine), ARCHES[machine]
    assert len(program) // 8 < 256
    refused = {numbers[column] for numbers in NUMBERS.values()} - {None}
    clone, clone3, socket = (x[column] for x in (CLONE, CLONE3, SOCKET))
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


def test_calls_of_other_machines_end_the_program():
    program = seccomp.program("x86_64")
    assert decide(program, 1, 0x40000003) == KILL  # int 0x80: 32-bit numbers mean other calls
    assert decide(program, 0x40000000 | 1, ARCHES["x86_64"]) == KILL  # x32


def test_every_refused_call_is_checked_here():
    assert set(seccomp.REFUSED) == set(NUMBERS)


@pytest.mark.parametrize(
    ("change", "cure"),
    [
        ("seccomp.LIBRARY = 'libnone.so.2'", "try: apt-get install libseccomp2"),
        ("seccomp.REFUSED += ('call_of_2099',)", "it does not know call_of_2099"),
    ],
)
def test_without_a_filter_code_is_refused_with_the_cure(change: str, cure: str):
    code = f"from qvl.sandbox import run, seccomp; {change}; run('print(1)')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == ""
    assert cure in done.stderr.splitlines()[-1]
