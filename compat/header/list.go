package header

import (
	"errors"
	"iter"
	"strings"
	"unicode/utf8"
)

// Errors of a list's members.
var (
	ErrTooLong = errors.New("address is longer than 320 octets")

	errQuote    = errors.New("quotation mark left open")
	errEscape   = errors.New("a backslash with nothing behind it")
	errControl  = errors.New("control character")
	errUTF8     = errors.New("octets that are not UTF-8")
	errProgram  = errors.New("a program, file or list is not an address")
	errBrackets = errors.New("brackets do not match")
	errNoAddr   = errors.New("several words and no address")
	errNoLocal  = errors.New("nothing before the @")
	errNoDomain = errors.New("nothing behind the @")
	errManyAt   = errors.New("more than one @")
	errLocal    = errors.New("character that must be quoted before the @")
	errDomain   = errors.New("not a domain")
)

// Mailbox is one member of an address list.
type Mailbox struct {
	// Name is the display name, else the comment; not decoded (RFC 2047).
	Name string
	// Addr can stand in an SMTP command, without brackets: local@domain, local@[literal], or just the local part where
	// no domain was given. The local part is quoted where it must be. It may hold UTF-8. Empty where Err is set.
	Addr string
	// NoAlias says that the address began with "\": aliases are not applied.
	NoAlias bool
	// Raw is the member as it stood, at most 1000 octets of it.
	Raw string
	// Err says why it is no address: ErrTooLong, or what is wrong with it.
	Err error

	bare int // where the domain is to be added in the list; 0 where there is one
	// Where Addr stands in the list. Both parts are within local where domain is empty.
	local, domain span
}

// span is a part of a list: s[start:end].
type span struct{ start, end int }

// ParseList gives all members of an address list: an operand of sendmail, or the value or body of a To field.
//
// What is taken besides RFC 5322: ";" for ",", runs of them, white space between complete addresses, an open comment or
// "<", groups that do not end, source routes (dropped), a trailing dot, dots anywhere in a local part, "\name".
// A group gives its members, <> gives nothing. Never taken: "|program", "/file", ":include:path".
func ParseList(s string) []Mailbox {
	var all []Mailbox
	for m := range Mailboxes(s) {
		all = append(all, m)
	}
	return all
}

// Mailboxes is ParseList for a reader that may stop early.
func Mailboxes(s string) iter.Seq[Mailbox] {
	return func(yield func(Mailbox) bool) {
		p := listParser{s: s, yield: yield}
		p.run()
	}
}

// tokenKind is what a listParser tells apart within a member.
type tokenKind uint8

const (
	word    tokenKind = iota // atoms and quoted strings that touch each other
	at                       // @
	literal                  // [...], only behind @
)

// token is a piece of a member: s[start:end].
type token struct {
	kind       tokenKind
	quoted     bool // a word that holds a quoted string
	start, end int
}

func (t token) span() span { return span{t.start, t.end} }

// listParser reads a list from left to right, once. A member ends at a separator or with its ">".
type listParser struct {
	s     string
	i     int
	yield func(Mailbox) bool
	stop  bool // yield wants no more

	first   int     // where the member begins
	phrase  []token // before "<"; all of a member without brackets
	inner   []token // within < >
	angle   bool    // between < and >
	closed  bool    // the last thing was an address in brackets
	comment string
	bad     error // the first thing wrong with the member
}

func (p *listParser) run() {
	for p.i < len(p.s) && !p.stop {
		p.next()
	}
	if !p.stop {
		p.flush()
	}
}

// next takes one token.
func (p *listParser) next() {
	switch c := p.s[p.i]; c {
	case ' ', '\t', '\r', '\n':
		p.i++
	case ',', ';':
		p.separator(c)
	case ':':
		p.colon()
	case '<':
		p.open()
	case '>':
		p.close()
	case '(':
		p.skipComment()
	case '@':
		p.add(token{kind: at, start: p.i, end: p.i + 1})
		p.i++
	case '[':
		if t := p.tokens(); len(*t) > 0 && (*t)[len(*t)-1].kind == at {
			p.skipLiteral()
			return
		}
		p.skipWord()
	default:
		p.skipWord()
	}
}

func (p *listParser) tokens() *[]token {
	if p.angle {
		return &p.inner
	}
	return &p.phrase
}

func (p *listParser) add(t token) {
	to := p.tokens()
	*to = append(*to, t)
}

// fail notes what is wrong with the member. Reading goes on to its end.
func (p *listParser) fail(err error) {
	if p.bad == nil {
		p.bad = err
	}
}

func (p *listParser) separator(c byte) {
	if c == ',' && p.angle && len(p.inner) > 0 && p.inner[0].kind == at {
		p.inner = p.inner[:0] // <@relay,@relay:user@domain>: RFC 5321 appendix C lets us drop the route
		p.i++
		return
	}
	p.flush()
	p.i++
	p.restart()
}

// colon ends a source route or the name of a group.
func (p *listParser) colon() {
	p.i++
	switch {
	case p.bad != nil:
	case p.angle && len(p.inner) > 0 && p.inner[0].kind == at:
		p.inner = p.inner[:0]
	case p.angle, len(p.phrase) == 0:
		p.fail(errProgram) // :include:
	case hasAt(p.phrase):
		p.fail(errDomain)
	default:
		p.restart()
	}
}

func hasAt(tokens []token) bool {
	for _, t := range tokens {
		if t.kind == at {
			return true
		}
	}
	return false
}

func (p *listParser) open() {
	p.i++
	if p.angle {
		p.fail(errBrackets)
	}
	p.angle = true
}

func (p *listParser) close() {
	p.i++
	if !p.angle {
		p.fail(errBrackets)
		return
	}
	p.flush()
	p.restart()
	p.closed = true
}

// restart forgets the member.
func (p *listParser) restart() {
	p.first, p.phrase, p.inner = p.i, p.phrase[:0], p.inner[:0]
	p.angle, p.closed, p.comment, p.bad = false, false, "", nil
}

// skipComment goes behind a comment, or to the end where it is left open.
func (p *listParser) skipComment() {
	start, depth := p.i+1, 0
	for ; p.i < len(p.s); p.i++ {
		switch p.s[p.i] {
		case '\\':
			p.i++
		case '(':
			depth++
		case ')':
			depth--
		}
		if depth == 0 {
			p.comment = p.s[start:p.i]
			p.i++
			return
		}
	}
	p.i = len(p.s)
	p.comment = p.s[min(start, p.i):]
}

// skipLiteral goes behind a domain literal.
func (p *listParser) skipLiteral() {
	start := p.i
	for p.i++; p.i < len(p.s); p.i++ {
		switch c := p.s[p.i]; {
		case c == ']':
			p.i++
			p.add(token{kind: literal, start: start, end: p.i})
			return
		case !alphanumeric(c) && strings.IndexByte(".:-_", c) < 0:
			p.fail(errDomain)
			return
		}
	}
	p.fail(errDomain)
}

// wordEnds are the octets that end a word, but within quotation marks.
const wordEnds = " \t\r\n,;:<>(@"

// skipWord goes behind atoms and quoted strings that touch each other.
func (p *listParser) skipWord() {
	t := token{kind: word, start: p.i}
	for p.i < len(p.s) {
		switch c := p.s[p.i]; {
		case c == '"':
			t.quoted = true
			p.skipQuoted()
		case c == '\\' && p.i+1 == len(p.s):
			p.fail(errEscape)
			p.i++
		case c == '\\':
			p.i += 2
		case isControl(rune(c)) && strings.IndexByte("\t\r\n", c) < 0:
			p.fail(errControl)
			p.i++
		case strings.IndexByte(wordEnds, c) >= 0:
			t.end = p.i
			p.add(t)
			return
		default:
			p.i++
		}
	}
	t.end = p.i
	p.add(t)
}

func (p *listParser) skipQuoted() {
	for p.i++; p.i < len(p.s); p.i++ {
		switch c := p.s[p.i]; {
		case c == '\\':
			p.i++
		case c == '"':
			p.i++
			return
		case isControl(rune(c)) && strings.IndexByte("\t\r\n", c) < 0:
			p.fail(errControl)
		}
	}
	p.i = len(p.s)
	p.fail(errQuote)
}

// flush gives what the member turned out to be.
func (p *listParser) flush() {
	switch {
	case p.bad != nil:
		p.emitBad(p.bad)
	case p.angle:
		p.flushAngle()
	case len(p.phrase) == 0:
	case p.program(p.phrase[0]):
		p.emitBad(errProgram)
	default:
		p.flushWords()
	}
}

// program reports whether a member that begins with t asks for a program. Its blanks would else make several words,
// of which some may look like addresses.
func (p *listParser) program(t token) bool {
	return t.kind == word && strings.HasPrefix(p.content(t), "|")
}

func (p *listParser) flushAngle() {
	if len(p.inner) == 0 {
		return // <>
	}
	m, used, err := p.address(p.inner)
	switch {
	case err == nil && used < len(p.inner):
		err = errNoAddr
	case err == nil:
		m.Name = p.name()
		p.emit(m)
		return
	}
	p.emitBad(err)
}

// name is the display name before "<", else the comment.
func (p *listParser) name() string {
	var words []string
	for _, t := range p.phrase {
		words = append(words, p.content(t))
	}
	if len(words) == 0 {
		return p.comment
	}
	return strings.Join(words, " ")
}

// flushWords gives the addresses of a member without brackets. One bare word is a name to be qualified; bare words
// beside others are not guessed at.
func (p *listParser) flushWords() {
	if len(p.phrase) == 1 && !p.closed {
		m, _, err := p.address(p.phrase)
		m.Name = p.comment
		if err != nil {
			p.emitBad(err)
			return
		}
		p.emit(m)
		return
	}
	if err := p.dangling(); err != nil {
		p.emitBad(err)
		return
	}
	p.flushRun()
}

// flushRun gives each complete address of the words, and one bad member for those left over.
func (p *listParser) flushRun() {
	var left error
	for rest := p.phrase; len(rest) > 0 && !p.stop; {
		m, used, err := p.address(rest)
		switch {
		case err != nil:
			left = err
		case used == 1:
			left = errNoAddr
		default:
			m.Name = p.comment
			p.emit(m)
		}
		rest = rest[used:]
	}
	if left != nil && !p.stop {
		p.emitBad(left)
	}
}

// dangling refuses words that a blank parts at a dot ("bob . jones@x"): the last of them alone is somebody else.
func (p *listParser) dangling() error {
	for i, t := range p.phrase {
		bare := t.kind == word && (i == 0 || p.phrase[i-1].kind != at)
		next := i+1 < len(p.phrase) && p.phrase[i+1].kind == word
		prev := i > 0 && p.phrase[i-1].kind != at
		if bare && (next && p.s[t.end-1] == '.' || prev && p.s[t.start] == '.') {
			return errNoAddr
		}
	}
	return nil
}

// address reads one address from the beginning of tokens, which is not empty, and says how many of them it took; with
// an error it took at least one.
func (p *listParser) address(tokens []token) (m Mailbox, used int, err error) {
	for used < len(tokens) && (used == 0 || tokens[used].kind == at || tokens[used-1].kind == at) {
		used++
	}
	switch t := tokens[:used]; {
	case t[0].kind != word:
		return m, used, errNoLocal
	case used == 1:
		m, err = p.bareName(t[0])
	case used == 2:
		err = errNoDomain
	case used == 3 && t[2].kind != at:
		m, err = p.pair(t[0], t[2])
	default:
		err = errManyAt
	}
	return m, used, err
}

// bareName reads a local part without a domain, or a whole address in quotation marks ("carol@example.com").
func (p *listParser) bareName(t token) (Mailbox, error) {
	content := p.content(t)
	if i := strings.LastIndexByte(content, '@'); t.quoted && i >= 0 {
		m, err := quotedAddress(content, i)
		m.local = t.span()
		return m, err
	}
	local, noAlias, err := p.local(t, false)
	return checked(Mailbox{Addr: local, NoAlias: noAlias, bare: t.end, local: t.span()}, err)
}

func quotedAddress(content string, i int) (Mailbox, error) {
	local, domain := content[:i], content[i+1:]
	if strings.IndexFunc(local, func(r rune) bool { return !dotText(r) }) >= 0 {
		return Mailbox{}, errLocal
	}
	if err := localForm(local, true); err != nil {
		return Mailbox{}, err
	}
	domain, err := checkDomain(domain)
	return checked(Mailbox{Addr: local + "@" + domain}, err)
}

func (p *listParser) pair(l, d token) (Mailbox, error) {
	local, noAlias, err := p.local(l, true)
	if err != nil {
		return Mailbox{}, err
	}
	domain := p.s[d.start:d.end]
	if d.kind == word {
		domain, err = checkDomain(domain)
	}
	m := Mailbox{NoAlias: noAlias, local: l.span(), domain: d.span()}
	if err == nil && l.end+1 == d.start && local == p.s[l.start:l.end] && domain == p.s[d.start:d.end] {
		m.Addr = p.s[l.start:d.end] // nothing to build: most of them
	} else {
		m.Addr = local + "@" + domain
	}
	return checked(m, err)
}

func checked(m Mailbox, err error) (Mailbox, error) {
	if err == nil && len(m.Addr) > MaxAddress {
		err = ErrTooLong
	}
	if err != nil {
		return Mailbox{}, err
	}
	return m, nil
}

// local prints the local part t as it can stand in an SMTP command: quoted only where it must be (RFC 5321 4.1.2).
func (p *listParser) local(t token, domain bool) (local string, noAlias bool, err error) {
	raw, content := p.s[t.start:t.end], p.content(t)
	if noAlias = raw[0] == '\\'; noAlias {
		raw = raw[1:]
	}
	if err := localForm(content, domain); err != nil {
		return "", false, err
	}
	if !t.quoted {
		if strings.IndexFunc(raw, func(r rune) bool { return !dotText(r) }) >= 0 {
			return "", false, errLocal
		}
		return raw, noAlias, nil
	}
	if dotAtom(content) {
		return content, noAlias, nil
	}
	return quote(content), noAlias, nil
}

// localForm refuses what is not text, and what other programs take for a program, a file or a list of addresses.
func localForm(content string, domain bool) error {
	switch {
	case content == "":
		return errNoLocal
	case !utf8.ValidString(content):
		return errUTF8
	case strings.IndexFunc(content, isControl) >= 0:
		return errControl
	case content[0] == '|', !domain && content[0] == '/':
		return errProgram
	case len(content) > len(":include:") && strings.EqualFold(content[:len(":include:")], ":include:"):
		return errProgram
	}
	return nil
}

// content is a word without its quotation marks and backslashes.
func (p *listParser) content(t token) string {
	raw := p.s[t.start:t.end]
	if !t.quoted && strings.IndexByte(raw, '\\') < 0 {
		return raw
	}
	var b strings.Builder
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case '"', '\r', '\n':
			continue
		case '\\':
			if i++; i == len(raw) {
				continue
			}
		}
		b.WriteByte(raw[i])
	}
	return b.String()
}

// checkDomain gives the domain without a trailing dot.
func checkDomain(domain string) (string, error) {
	domain = strings.TrimSuffix(domain, ".")
	if domain == "" {
		return "", errNoDomain
	}
	if !utf8.ValidString(domain) {
		return "", errUTF8
	}
	label := 0
	for i := range len(domain) {
		c := domain[i]
		switch {
		case c == '.' && (label == 0 || i+1 == len(domain)):
			return "", errDomain
		case c == '.':
			label = 0
			continue
		case !alphanumeric(c) && c != '-' && c != '_' && c < 0x80:
			return "", errDomain
		}
		if label++; label > 63 && c < 0x80 { // RFC 1035 2.3.4; a label in UTF-8 may be longer than its A-label
			return "", errDomain
		}
	}
	return domain, nil
}

// dotText reports whether r needs no quotation marks in a local part, wherever dots stand (RFC 6531 3.3).
func dotText(r rune) bool { return r >= 0x80 || r == '.' || atext(byte(r)) }

// dotAtom reports whether s is a dot-atom (RFC 5322 3.2.3).
func dotAtom(s string) bool {
	return s != "" && s[0] != '.' && s[len(s)-1] != '.' && !strings.Contains(s, "..") &&
		strings.IndexFunc(s, func(r rune) bool { return !dotText(r) }) < 0
}

func (p *listParser) emit(m Mailbox) {
	m.Raw = p.raw()
	p.stop = p.stop || !p.yield(m)
}

func (p *listParser) emitBad(err error) { p.emit(Mailbox{Err: err}) }

func (p *listParser) raw() string {
	return cut(strings.TrimSpace(p.s[p.first:min(p.i, len(p.s))]), 1000)
}
