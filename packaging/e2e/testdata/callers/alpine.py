# The terminal at which somebody writes: ^X when the text is there, and y to all that is asked.
import os
import pty
import sys

os.environ["TERM"] = "vt100"
pid, terminal = pty.fork()
if pid == 0:
    os.execvp("alpine", ["alpine", "-url", "mailto:bob@example.net?subject=hello&cc=carol@example.net&body=world"])


def show():
    """What it writes next; nothing when it has ended."""
    try:
        return os.read(terminal, 4096).decode("utf-8", "replace")
    except OSError:
        return ""


for what, keys in ("world", b"\x18"), ("Send message?", b"y"), ("Create?", b"y"):
    shown = ""
    while what not in shown:
        more = show()
        if not more:
            sys.exit("it ended before it asked: " + what)
        shown += more
    os.write(terminal, keys)
while show():  # it leaves by itself when it has sent
    pass
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
