"""Verify the first signatures of each message in a folder with dkimpy, and print what it says of each.

usage: dkim_verify.py RECORDS FOLDER COUNT

RECORDS is JSON: name of a TXT record to its text. The first COUNT signatures of every file must be good. A line is
written for each: file, number, "good" or why not. The exit status is 1 where one is not.
"""
import json
import os
import sys

import dkim

records, folder, count = sys.argv[1:]
with open(records) as f:
    txt = json.load(f)


def lookup(name, timeout=5):
    return txt[name.decode().rstrip(".")].encode()


bad = 0
for name in sorted(os.listdir(folder)):
    with open(os.path.join(folder, name), "rb") as f:
        message = f.read()
    for i in range(int(count)):
        checker = dkim.DKIM(message, minkey=1024)
        try:
            verdict = "good" if checker.verify(idx=i, dnsfunc=lookup) else "does not verify"
        except Exception as e:
            verdict = "%s: %s" % (type(e).__name__, e)
        bad += verdict != "good"
        print(name, i, verdict)
sys.exit(1 if bad else 0)
