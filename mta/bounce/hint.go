package bounce

import (
	"strconv"
	"strings"

	"signpost/spool"
)

// hint is what a person can do about one cause.
type hint struct {
	subject, detail int    // of the status; each: every number fits
	words           string // one of these, parted by "|", must stand in the reply or in our own words; empty: none need
	text            string
}

const each = -1

// hints are looked at in order, and the first that fits is told. Receivers give most policy refusals one of a few
// general codes, so for these the words of the reply come first.
var hints = []hint{
	{1, 1, "", "No such mailbox is known there. Check the part before the @ for a slip, or ask the person for the present " +
		"address by other means."},
	{1, 2, "", "There is no such mail domain. Check the part behind the @ for a slip."},
	{1, 3, "", "The address is not written as a mail address is. Correct it and send the message again."},
	{1, 4, "", "The address fits several mailboxes there. Use a more exact one."},
	{1, 6, "", "The mailbox has moved and left no new address. Ask the person for it by other means."},
	{1, 7, "", "The sender address of the message is not written as a mail address is. Correct it in the program that sent it."},
	{1, 8, "", "The domain of the sender address does not exist or cannot take answers. Correct the sender address in the " +
		"program that sent the message."},
	{1, 10, "", "That domain takes no mail at all and says so in DNS (null MX). Look for another address."},
	{2, 1, "", "The mailbox exists but is closed. Ask the person by other means."},
	{2, 2, "", "The mailbox is full. Send the message again later, or tell the person by other means."},
	{2, 3, "", "The message is too large for that mailbox. Send it without its attachments, or as several messages."},
	{2, 4, "", "The mailing list could not be expanded. Tell the person who runs it."},
	{3, 4, "", "The message is too large for that mail system. Send it without attachments, or put them where they can be fetched."},
	{3, each, "", "The mail system there, or here, is in trouble or not set up for this. Send the message again later; if it " +
		"goes on, the postmaster has to look at it."},
	{4, 1, "", "The mail server did not answer. It may be down, or something on the way blocks the connection; many " +
		"providers block port 25. Send the message again later."},
	{4, 2, "", "The connection broke while the message was handed over. Send it again later."},
	{4, 3, "", "The name servers of that domain gave no answer. Check the part behind the @ for a slip, or send the message " +
		"again later."},
	{4, 4, "", "No mail server can be reached for that domain. Check the part behind the @ for a slip; if it is right, the " +
		"people there have to correct their DNS."},
	{4, 6, "", "The message goes in circles between mail servers. The postmaster has to look at aliases, forwardings and MX " +
		"records."},
	{5, each, "", "The two mail servers did not understand each other. The postmaster has to look at what was said."},
	{6, 7, "", "The address, or the header, has characters outside ASCII, and the mail system there cannot take them. Ask for " +
		"an address in ASCII."},
	{6, each, "", "The mail system there does not take the form in which the message is written. Send it as plain text, or " +
		"without its attachments."},
	{7, 25, "", reverseHint},
	{7, 27, "", "The sender's domain takes no mail (null MX), so the mail system there believes no message from it. Use another " +
		"sender address."},
	{7, 4, "", tlsHint}, {7, 5, "", tlsHint}, {7, 10, "", tlsHint}, {7, 30, "", tlsHint},
	{7, 8, "", "This host's user name or password for the relay is wrong. The postmaster has to correct it."},
	{7, 13, "", "The account there is closed. Ask the person by other means."},
	{7, each, "spf|dkim|dmarc|unauthenticated|not authenticated", originHint},
	{7, 26, "", originHint},
	{7, each, "no ptr|ptr record|reverse dns|reverse-dns|rdns|reverse lookup|your reverse|your hostname", reverseHint},
	{7, each, "block list|blocklist|block-list|blacklist|black list|dnsbl| rbl|spamhaus|listed", "The address of this host is on a list of " +
		"sources of unwanted mail. The reply usually names the list; the postmaster has to find out why, mend it and ask to be " +
		"taken off."},
	{each, each, "greylist|graylist|greylisted|try again|try later|too many|rate limit|throttl", "The mail system there takes mail from " +
		"this host only slowly, or only after several tries. Send the message again later."},
	{7, each, "spam|content|virus|malware|unsolicited", "The mail system there took the message for unwanted mail. Change its wording, " +
		"links or attachments, or reach the person by other means."},
	{7, each, "relay|relaying", "That mail server does not take mail for this address. Check the part behind the @ for a slip; if " +
		"it is right, the MX records of the domain point to the wrong server."},
	{7, each, "", "The mail system there refuses the message by a rule of its own. Its words above say which; show them to the " +
		"postmaster, or reach the person by other means."},
	{each, each, "user unknown|unknown user|no such user|no such recipient|recipient not found|mailbox not found|does not exist",
		"No such mailbox is known there. Check the part before the @ for a slip, or ask the person for the present address " +
			"by other means."},
	{each, each, "timeout|timed out|connection refused|unreachable|no route", "The mail server did not answer. Check the part behind the @ for a " +
		"slip, or send the message again later."},
	{each, each, "", "The words above are all that is known. Check the address, send the message again later, or show this notice to " +
		"the postmaster."},
}

const (
	originHint = "The mail system there could not make sure that the message comes from the domain it names. The postmaster has " +
		"to look at SPF, DKIM and DMARC of the sender's domain: this host must be named in its SPF record, or sign for it."
	reverseHint = "The mail system there wants the address of this host to have a name in DNS that leads back to it. The postmaster " +
		"has to have its reverse DNS (PTR record) set."
	tlsHint = "The connection could not be made as safe as one of the two sides demands. The postmaster has to look at certificates " +
		"and TLS settings."
)

// hint says what a person can do.
func (r *report) hint(last spool.Result) string {
	cause := causeOf(last)
	said := strings.ToLower(cut(last.Reply, maxReply) + "\n" + cut(last.Detail, maxReply))
	for _, h := range hints {
		if h.fits(cause, said) {
			return r.lead(last) + h.text
		}
	}
	return ""
}

// lead begins the hint: what the cause means for this notice.
func (r *report) lead(last spool.Result) string {
	switch {
	case r.Kind == Delay:
		return "If it fails in the end: "
	case last.Outcome() == spool.Expired:
		return "It was tried again and again, for as long as mail is kept here. "
	}
	return ""
}

func (h hint) fits(s spool.Status, said string) bool {
	if h.subject != each && h.subject != s.Subject || h.detail != each && h.detail != s.Detail {
		return false
	}
	if h.words == "" {
		return true
	}
	for word := range strings.SplitSeq(h.words, "|") {
		if strings.Contains(said, word) {
			return true
		}
	}
	return false
}

// causeOf gives the status that tells the cause: a message that expired has the scheduler's own, which hides that of
// the last reply.
func causeOf(last spool.Result) spool.Status {
	if last.Status != spool.StatusExpired {
		return last.Status
	}
	for _, word := range strings.FieldsFunc(cut(last.Reply, maxReply), func(c rune) bool { return strings.ContainsRune(" -\r\n", c) }) {
		if s, ok := parseStatus(word); ok {
			return s
		}
	}
	return spool.Status{} // fits no subject
}

// parseStatus reads an enhanced status code (RFC 3463 2) of class 4 or 5.
func parseStatus(word string) (spool.Status, bool) {
	parts := strings.Split(word, ".")
	if len(parts) != 3 {
		return spool.Status{}, false
	}
	var n [3]int
	for i, p := range parts {
		v, err := strconv.ParseUint(p, 10, 10)
		if err != nil {
			return spool.Status{}, false
		}
		n[i] = int(v)
	}
	return spool.Status{Class: n[0], Subject: n[1], Detail: n[2]}, n[0] == 4 || n[0] == 5
}
