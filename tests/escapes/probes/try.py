"""Runs one attempt to get out: `python3 -I try.py files.write_bashrc ground.json`.

Ends with one line on standard output that begins with a verdict:

    BLOCKED   the system said no, and how
    TRIED     the system said yes; whether that reached the host, the host has to say
    ESCAPED   the attempt itself holds the proof: a secret that it read, a call that it may make
    ABSENT    there is nothing to try here, for instance a kernel that has no such call

Anything else is a broken attempt, and no verdict.
"""

import importlib
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import hands  # noqa: E402


def main():
    module, _, name = sys.argv[1].partition(".")
    ground = hands.Ground(sys.argv[2])
    attempt = getattr(importlib.import_module(module), name)
    try:
        verdict, how = "TRIED", attempt(ground) or "nothing said no"
    except hands.Escaped as proof:
        verdict, how = "ESCAPED", str(proof)
    except hands.Absent as reason:
        verdict, how = "ABSENT", str(reason)
    except OSError as error:
        verdict, how = "BLOCKED", hands.name_of(error)
    sys.stdout.write("\n%s %s\n" % (verdict, " ".join(how.split())))
    sys.stdout.flush()


main()
