"""The filter of system calls: a classic BPF program for seccomp(2), assembled here.

It refuses what a computation never needs and what kernels have been broken by: tracing, namespaces,
mounts, keyrings, BPF, io_uring, modules; memory that RLIMIT_AS does not see (memfd, System V);
sockets other than Unix ones, because vsock and netlink are not held by a network namespace.
Numbers: arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h of Linux.
"""

import errno
import platform
import struct
from functools import cache

# name -> number on x86_64, on aarch64; None where that machine has no such call
REFUSED: dict[str, tuple[int, int | None]] = {
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
CLONE, CLONE3, SOCKET = (56, 220), (435, 435), (41, 198)  # refused only with some arguments

_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column, AUDIT_ARCH_*
_NEW_NAMESPACES = 0x7E020000  # CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
_X32 = 0x40000000  # x86_64's second table of calls, for 32-bit pointers
_AF_UNIX = 1

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCH, _ARGUMENT_0 = 0, 4, 16  # offsets in struct seccomp_data, little endian
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000


def supported() -> bool:
    """Whether this machine's calls are known here."""
    return platform.machine() in _MACHINES


@cache
def program(machine: str | None = None) -> bytes:
    """The filter for a machine (default: this one), as `bwrap --seccomp` reads it."""
    column, arch = _MACHINES[machine or platform.machine()]
    # The end: four places to jump to, in this order.
    end = ["kill", "refuse", "unknown", "allow"]
    body: list[tuple[int, int, str | None, str | None]] = [
        (_LOAD, _ARCH, None, None),
        (_EQUAL, arch, None, "kill"),
        (_LOAD, _NUMBER, None, None),
        (_AT_LEAST, _X32, "refuse", None),
        # Its flags lie behind a pointer; told "no such call", the C library falls back to clone.
        (_EQUAL, CLONE3[column], "unknown", None),
    ]
    for numbers in REFUSED.values():
        number = numbers[column]
        if number is not None:
            body.append((_EQUAL, number, "refuse", None))
    body += [
        (_EQUAL, CLONE[column], "clone", None),
        (_EQUAL, SOCKET[column], "socket", "allow"),
    ]
    labels = {"clone": len(body), "socket": len(body) + 2}
    body += [
        (_LOAD, _ARGUMENT_0, None, None),
        (_ANY_BIT, _NEW_NAMESPACES, "refuse", "allow"),
        (_LOAD, _ARGUMENT_0, None, None),
        (_EQUAL, _AF_UNIX, "allow", "refuse"),
    ]
    labels |= {name: len(body) + i for i, name in enumerate(end)}

    def distance(position: int, label: str | None) -> int:
        return 0 if label is None else labels[label] - position - 1

    code = [
        struct.pack("<HBBI", operation, distance(i, yes), distance(i, no), value)
        for i, (operation, value, yes, no) in enumerate(body)
    ]
    returns = [_KILL, _ERRNO | errno.EPERM, _ERRNO | errno.ENOSYS, _ALLOW]
    code += [struct.pack("<HBBI", _RETURN, 0, 0, value) for value in returns]
    return b"".join(code)
