"""The filter of system calls, compiled by libseccomp.

It refuses what a computation never needs and what has been used to break kernels: tracing,
namespaces, mounts, keyrings, BPF, io_uring, modules; memory that RLIMIT_AS does not limit (memfd,
System V); sockets other than Unix ones, because a network namespace does not contain vsock and
netlink. libseccomp knows the numbers of the calls on every machine. ctypes loads it, because
pyseccomp searches for the library with a compiler and has no release since 2021.
"""

import ctypes
import errno
import os
import tempfile
from functools import cache

LIBRARY = "libseccomp.so.2"
REFUSED = (
    *("ptrace", "process_vm_readv", "process_vm_writev", "kcmp", "pidfd_getfd"),
    *("memfd_create", "memfd_secret", "shmget", "shmat", "semget", "msgget", "mq_open"),
    *("unshare", "setns", "mount", "umount2", "pivot_root", "chroot"),
    *("open_tree", "move_mount", "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr"),
    *("bpf", "perf_event_open", "userfaultfd"),
    *("io_uring_setup", "io_uring_enter", "io_uring_register"),
    *("add_key", "request_key", "keyctl"),
    *("kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module"),
    *("name_to_handle_at", "open_by_handle_at", "fanotify_init"),
    *("quotactl", "swapon", "swapoff", "reboot", "acct", "syslog", "personality"),
    *("clock_settime", "clock_adjtime", "settimeofday", "adjtimex"),
    *("sethostname", "setdomainname", "modify_ldt", "iopl", "ioperm"),
)
NEW_NAMESPACES = (  # flags of clone(2)
    *(0x00020000, 0x02000000, 0x04000000, 0x08000000),  # mounts, control groups, host name, IPC
    *(0x10000000, 0x20000000, 0x40000000),  # users, PIDs, network
)
AF_UNIX = 1

_ALLOW, _ERRNO, _KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
_NOT_EQUAL, _MASKED_EQUAL = 1, 7  # enum scmp_compare
_BAD_ARCHITECTURE = 2  # enum scmp_filter_attr: what other machines' calls get, x32 included
_UNKNOWN_CALL = -1


class FilterError(Exception):
    """The filter cannot be made; the message says why, and what to do."""


class _Comparison(ctypes.Structure):
    """struct scmp_arg_cmp"""

    _fields_ = [
        ("argument", ctypes.c_uint),
        ("operation", ctypes.c_int),
        ("value", ctypes.c_uint64),
        ("value2", ctypes.c_uint64),
    ]


def supported(machine: str) -> bool:
    """Whether the filter is known to hold on a machine: where clone's flags are argument 0."""
    return machine in ("x86_64", "aarch64")


@cache
def program(machine: str | None = None) -> bytes:
    """The filter as a BPF program for `bwrap --seccomp`; by default for this machine.

    FilterError without libseccomp, or with one that does not know a call.
    """
    library = _library()
    context = ctypes.c_void_p(library.seccomp_init(_ALLOW))
    try:
        if machine is not None:
            _set_machine(library, context, machine)
        _check(library.seccomp_attr_set(context, _BAD_ARCHITECTURE, ctypes.c_uint32(_KILL_PROCESS)))
        for name in REFUSED:
            _refuse(library, context, name)
        # Its flags are behind a pointer; on "no such call" the C library falls back to clone.
        _refuse(library, context, "clone3", error=errno.ENOSYS)
        for flag in NEW_NAMESPACES:
            _refuse(library, context, "clone", _Comparison(0, _MASKED_EQUAL, flag, flag))
        _refuse(library, context, "socket", _Comparison(0, _NOT_EQUAL, AF_UNIX, 0))
        with tempfile.TemporaryFile() as file:
            _check(library.seccomp_export_bpf(context, file.fileno()))
            file.seek(0)
            return file.read()
    finally:
        library.seccomp_release(context)


def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError:
        raise FilterError(f"{LIBRARY} is not installed; try: apt-get install libseccomp2") from None
    library.seccomp_init.restype = ctypes.c_void_p
    return library


def _set_machine(library: ctypes.CDLL, context: ctypes.c_void_p, machine: str) -> None:
    token = library.seccomp_arch_resolve_name(machine.encode())
    if library.seccomp_arch_exist(context, token) == 0:
        return
    _check(library.seccomp_arch_add(context, token))
    _check(library.seccomp_arch_remove(context, 0))  # 0 is this machine


def _refuse(
    library: ctypes.CDLL,
    context: ctypes.c_void_p,
    name: str,
    comparison: _Comparison | None = None,
    error: int = errno.EPERM,
) -> None:
    """Let a call fail with `error`, if `comparison` holds of its arguments."""
    number = library.seccomp_syscall_resolve_name(name.encode())
    if number == _UNKNOWN_CALL:
        raise FilterError(f"{LIBRARY} is too old: it does not know {name}; 2.5.2 or later does")
    compared = [comparison] if comparison else []
    array = (_Comparison * len(compared))(*compared)
    action = ctypes.c_uint32(_ERRNO | error)
    _check(library.seccomp_rule_add_array(context, action, number, len(compared), array))


def _check(status: int) -> None:
    if status < 0:
        raise FilterError(f"{LIBRARY}: {os.strerror(-status)}")
