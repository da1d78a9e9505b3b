package sign

import (
	"fmt"
	"strings"
)

// names is the list of field names that a key signs.
type names struct {
	oversigned []string // listed once more than they occur, so that none can be added behind our back
	present    []string // listed as often as they occur: others on the way may rightly add them
}

// maxList bounds the h= tag, in octets. The library writes it as one line, and a line has at most 998 (RFC 5322 2.1.1).
const maxList = 900

// defaultNames are the fields of RFC 6376 5.4.1, those of MIME and List-Unsubscribe-Post (RFC 8058 4). A mailing list
// adds List- fields and whoever resends adds Resent- fields, and neither should break the signature by it.
var defaultNames = names{
	oversigned: []string{"From", "Subject", "Date", "To", "Cc", "Reply-To", "Message-ID", "MIME-Version",
		"Content-Type", "Content-Transfer-Encoding", "In-Reply-To", "References"},
	present: []string{"Resent-Date", "Resent-From", "Resent-To", "Resent-Cc", "Resent-Message-ID", "List-Id",
		"List-Unsubscribe", "List-Unsubscribe-Post", "List-Help", "List-Subscribe", "List-Post", "List-Owner",
		"List-Archive"},
}

// unsignable are fields that change, appear or vanish on every honest way (RFC 6376 5.4).
var unsignable = []string{"Received", "Return-Path", "DKIM-Signature", "Bcc", "Resent-Bcc"}

// namesOf checks a list of the configuration. Every name is oversigned, and From is added where it is missing.
func namesOf(list []string) (names, error) {
	if len(list) == 0 {
		return defaultNames, nil
	}
	n := names{oversigned: []string{"From"}}
	size := len("From")
	for _, name := range list {
		if !validName(name) {
			return names{}, fmt.Errorf("headers: %q is no field name", name)
		}
		if contains(unsignable, name) {
			return names{}, fmt.Errorf("headers: %s cannot be signed, as it changes on the way", name)
		}
		if contains(n.oversigned, name) {
			continue
		}
		n.oversigned = append(n.oversigned, name)
		size += 1 + len(name)
	}
	if 2*size+1 > maxList {
		return names{}, fmt.Errorf("headers: the names take %d octets, more than the %d there is room for", size, (maxList-1)/2)
	}
	return n, nil
}

// list makes the h= list for a message that has count[name] fields of each name (in lower case). It is filled in
// rounds, so that a message with hundreds of one field still has each other one signed.
func (n names) list(count map[string]int) []string {
	var out []string
	size := -1 // the first name has no colon before it
	for round := 0; ; round++ {
		before := len(out)
		add := func(name string, wanted int) {
			if round < wanted && size+1+len(name) <= maxList {
				out = append(out, name)
				size += 1 + len(name)
			}
		}
		for _, name := range n.oversigned {
			add(name, count[strings.ToLower(name)]+1)
		}
		for _, name := range n.present {
			add(name, count[strings.ToLower(name)])
		}
		if len(out) == before {
			return out
		}
	}
}

// validName reports whether s is a field name (RFC 5322 2.2) that can stand in a tag list (RFC 6376 3.5, h=).
func validName(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' || s[i] == ':' || s[i] == ';' {
			return false
		}
	}
	return s != ""
}

func contains(list []string, name string) bool {
	for _, s := range list {
		if strings.EqualFold(s, name) {
			return true
		}
	}
	return false
}
