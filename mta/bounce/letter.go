package bounce

import (
	"bytes"
	"io"
	"strings"
	"time"

	"signpost/spool"
)

// Letter is a message of the mail system to a person that speaks of no delivery.
type Letter struct {
	ID       spool.ID // of the letter
	To       string   // without brackets
	Hostname string   // of this host, in A-labels
	Subject  string
	// Text is paragraphs, of any origin: they are wrapped, and what is not printable is escaped. One that begins with a
	// blank, such as a command, stays a line.
	Text []string
	Now  time.Time
}

// Write writes the letter, header and body, with CRLF line ends. The error is that of w.
func (l Letter) Write(w io.Writer) error {
	var text, b bytes.Buffer
	wrap(&text, "", "This is the mail system at host "+domainText(l.Hostname)+".")
	lines := false
	for _, paragraph := range l.Text {
		line := strings.HasPrefix(paragraph, " ")
		if !line || !lines {
			text.WriteString("\r\n")
		}
		if lines = line; line {
			text.WriteString(cut(printable(paragraph, false), maxShown) + "\r\n")
			continue
		}
		wrap(&text, "", printable(paragraph, false))
	}
	body := encodeText(text.Bytes())
	host := domainText(l.Hostname)
	writeField(&b, "Date", l.Now.Format(time.RFC1123Z))
	writeField(&b, "From", "Mail Delivery System <MAILER-DAEMON@"+host+">")
	writeField(&b, "To", mailbox(l.To, l.Hostname))
	writeField(&b, "Subject", encodeWords(cut(printable(l.Subject, false), maxShown)))
	writeField(&b, "Message-ID", "<"+string(l.ID)+".m@"+host+">")
	writeField(&b, "Auto-Submitted", "auto-generated") // RFC 3834 5
	writeField(&b, "MIME-Version", "1.0")
	writeField(&b, "Content-Type", body.contentType)
	writeField(&b, "Content-Transfer-Encoding", body.encoding)
	b.WriteString("\r\n")
	b.Write(body.content)
	_, err := w.Write(b.Bytes())
	return err
}
