"""Read the notices in a mailbox with Python's email package and with flufl.bounce, and print what they say as JSON.

usage: bounce.py MAILBOX

One object a message of the mailbox that has the null sender: its fields, the parts with what the parser complained
about, the fields of each recipient, the original message's Subject, and the addresses that flufl.bounce finds.
"""
import email.policy
import json
import mailbox
import sys

from flufl.bounce import all_failures


def read(raw):
    m = email.message_from_bytes(raw, policy=email.policy.default)
    parts = list(m.iter_parts())
    defects = [repr(d) for p in m.walk() for d in p.defects]
    blocks = [dict(b.items()) for b in parts[1].get_payload()]
    if parts[2].get_content_type().startswith("message/"):  # whole
        original = parts[2].get_payload(0)
    else:  # the header only
        original = email.message_from_string(parts[2].get_content(), policy=email.policy.default)
    temporary, permanent = all_failures(email.message_from_bytes(raw))
    return {
        "From": str(m["From"]), "To": str(m["To"]), "Subject": str(m["Subject"]),
        "AutoSubmitted": str(m["Auto-Submitted"]),
        "Type": m.get_content_type(), "Report": m.get_param("report-type"),
        "Parts": [p.get_content_type() for p in parts],
        "Text": parts[0].get_content(),
        "Host": blocks[0], "Rcpts": blocks[1:],
        "Original": str(original["Subject"]),
        "Defects": defects,
        "Temporary": sorted(a.decode() if isinstance(a, bytes) else a for a in temporary),
        "Permanent": sorted(a.decode() if isinstance(a, bytes) else a for a in permanent),
    }


notices = []
for raw in mailbox.mbox(sys.argv[1]):
    if raw["Return-Path"] == "<>":
        notices.append(read(raw.as_bytes()))
json.dump(notices, sys.stdout)
