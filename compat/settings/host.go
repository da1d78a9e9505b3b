package settings

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Name checks the name of a host or a domain and gives it in lower case: labels of letters, digits, '-' and '_' with
// dots between, at most 253 octets (RFC 1035 2.3.4, RFC 5321 4.1.2; the underscore because hosts in containers have
// it). Other scripts are written as A-labels (RFC 5890 2.3.2.1).
func Name(name string) (string, error) {
	if len(name) > 253 {
		return "", errors.New("is longer than the 253 characters of a host name")
	}
	if strings.HasSuffix(name, ".") {
		return "", fmt.Errorf("must not end in a dot: write %q", strings.TrimRight(name, "."))
	}
	for label := range strings.SplitSeq(name, ".") {
		if err := checkLabel(label); err != nil {
			return "", fmt.Errorf("must be a name such as \"mail.example.org\": %w", err)
		}
	}
	return strings.ToLower(name), nil
}

// Domain is Name for what is to be found in DNS: no number or address, as no top-level domain is one (RFC 3696 2).
func Domain(name string) (string, error) {
	clean, err := Name(name)
	if err == nil && strings.Trim(clean[strings.LastIndexByte(clean, '.')+1:], "0123456789") == "" {
		return "", fmt.Errorf("must be a name, not the number or address %q", clean)
	}
	return clean, err
}

func checkLabel(label string) error {
	switch {
	case label == "":
		return errors.New("between two dots stands nothing")
	case len(label) > 63:
		return fmt.Errorf("%q is longer than 63 characters", label)
	case label[0] == '-' || label[len(label)-1] == '-':
		return fmt.Errorf("%q begins or ends with a hyphen", label)
	}
	for _, c := range label {
		if c >= 0x80 {
			return fmt.Errorf("%q must be written in its ASCII form, xn--…", label)
		}
		if !isBareChar(byte(c)) {
			return fmt.Errorf("%q holds %q", label, c)
		}
	}
	return nil
}

// FindHostname is the full name of this host as the host itself knows it: the kernel's name where it has a dot, else
// the full name beside it in /etc/hosts, else /etc/hostname, else the kernel's name as it is. No name server is asked,
// since mail must be accepted while none answers. It is never empty.
func FindHostname() string {
	name, err := os.Hostname()
	if err != nil {
		name = ""
	}
	return findHostname(name, "/etc")
}

// FindOrigin is the domain for unqualified addresses: the first line of /etc/mailname, else hostname.
func FindOrigin(hostname string) string { return findOrigin(hostname, "/etc") }

func findHostname(kernel, etc string) string {
	kernel, err := Name(kernel)
	if err != nil {
		return "localhost" // nothing else would be a legal name in HELO
	}
	if strings.Contains(kernel, ".") {
		return kernel
	}
	if full := fromHosts(kernel, readSmall(filepath.Join(etc, "hosts"))); full != "" {
		return full
	}
	full, err := Name(firstLine(readSmall(filepath.Join(etc, "hostname"))))
	if err == nil && strings.HasPrefix(full, kernel+".") {
		return full
	}
	return kernel
}

// fromHosts finds the full name of a host in the text of a hosts(5) file: of a line that names the host, the canonical
// name where it has a dot, else another name of that line which continues the host's.
func fromHosts(host, hosts string) string {
	for line := range strings.Lines(hosts) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) < 2 || !contains(fields[1:], host) {
			continue
		}
		for i, name := range fields[1:] {
			name, err := Name(name)
			if err != nil || !strings.Contains(name, ".") || strings.HasPrefix(name, "localhost.") {
				continue
			}
			if i == 0 || strings.HasPrefix(name, host+".") {
				return name
			}
		}
	}
	return ""
}

func contains(names []string, host string) bool {
	for _, name := range names {
		if strings.EqualFold(name, host) {
			return true
		}
	}
	return false
}

func findOrigin(hostname, etc string) string {
	if name, err := Name(firstLine(readSmall(filepath.Join(etc, "mailname")))); err == nil {
		return name
	}
	return hostname
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return strings.TrimSpace(line)
}

// readSmall reads a file of the host's own; one that cannot be read says nothing.
func readSmall(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(text)
}
