package compat

// form says where an option has its value.
type form uint8

const (
	alone    form = iota // no value: letters behind it are options too
	joined               // the rest of the argument, which may be empty
	anywhere             // the rest of the argument or, where that is empty, the next one
)

// option is one row of the table of options. The parser, --explain, --help and the manual say what stands here: a test
// holds that each item of the manual begins with doc.
type option struct {
	letter byte
	form   form
	value  string                               // what the manual calls the value
	doc    string                               // what it does; of one that is ignored, what it does elsewhere
	set    func(c *command, value string) error // nil: taken and ignored
}

// options is every option there is, in the order of the manual. Whatever is not here is refused.
var options = [...]option{
	{'t', alone, "", "take recipients from the header too", setFromHeader},
	{'i', alone, "", "a line with nothing but a dot does not end the message", setIgnoreDots},
	{'f', anywhere, "address", "the sender of the envelope: where notices about failures go", setSender},
	{'r', anywhere, "address", "the same as -f", setSender},
	{'F', anywhere, "name", "the name for people in a From field that is added", setFullName},
	{'B', anywhere, "type", "the type of the body, 7BIT or 8BITMIME; a hint only", setBody},
	{'N', anywhere, "list", "when the sender wants a notice about the recipients", setNotify},
	{'R', anywhere, "full|hdrs", "what a notice of failure gives back: all of the message, or the header", setRet},
	{'V', anywhere, "id", "an envelope identifier that notices repeat", setEnvID},
	{'n', alone, "", "do not apply aliases to the recipients of the command line", setNoAlias},
	{'o', anywhere, "option", "an option by its short name", setShort},
	{'O', anywhere, "option=value", "an option by its long name", setLong},
	{'e', anywhere, "mode", "how to report errors", setErrorMode},
	{'v', alone, "", "print the queue id; with -bp a longer list", setVerbose},
	{'b', anywhere, "mode", "what to do", setMode},
	{'I', alone, "", "the same as -bi", setInit},
	{'q', joined, "selection", "ask the daemon to try what is queued now", setQueueRun},
	{'C', anywhere, "file", "read this configuration file", setConfig},
	{'L', anywhere, "tag", "a label that the log keeps beside the message", setLabel},
	{'h', anywhere, "count", "how many hosts the message has passed, at most 50", checkHops},

	{'A', anywhere, "c|m", "which of two configurations to take", nil},
	{'D', anywhere, "file", "where to write what debugging says", nil},
	{'G', alone, "", "the message comes from another system", nil},
	{'T', anywhere, "time", "how long to try", nil},
	{'U', alone, "", "the message comes from a mail reader", nil},
	{'X', anywhere, "file", "where to log the dialogue", nil},
	{'c', alone, "", "let expensive connections wait for a queue run", nil},
	{'d', joined, "level", "say more, for debugging", nil},
	{'m', alone, "", "send to the sender too where an alias holds it, which is always done", nil},
	{'p', anywhere, "protocol", "how the message came", nil},
	{'x', alone, "", "keep a trace of what is done", nil},
}

// setting is one of the options that -o and -O name.
type setting struct {
	letter byte   // for -o
	name   string // for -O, in any case of letters
	doc    string
	set    func(c *command, value string) error
}

// shortSettings is every option of -o and -O that does something. Others are taken and ignored.
var shortSettings = [...]setting{
	{'i', "IgnoreDots", "the same as -i; false takes it back", setDots},
	{'e', "ErrorMode", "the same as -e", setErrorMode},
	{'d', "DeliveryMode", "when to deliver", setDelivery},
	{'A', "AliasFile", "with -bi only: another aliases file", setAliasFile},
}

// mode is what a command is to do.
type mode uint8

const (
	modeSend mode = iota
	modeList
	modeAliases
	modeRun
	modeNothing
	modeDaemon
	modeSMTP
	modeVerify
	modeHelp
	modeVersion
	modeExplain
)

// modes is every -b mode there is.
var modes = [...]struct {
	letter byte
	mode   mode
	doc    string
}{
	{'m', modeSend, "send the message on standard input; the default"},
	{'p', modeList, "list the queue, as mailq does"},
	{'i', modeAliases, "check the aliases file, as newaliases does"},
	{'s', modeSMTP, "speak SMTP on standard input and output"},
	{'v', modeVerify, "say where recipients lead, and send nothing"},
	{'h', modeNothing, "print nothing, exit 0"},
	{'H', modeNothing, "print nothing, exit 0"},
	{'d', modeDaemon, "refused: `signpost serve` is the daemon"},
	{'D', modeDaemon, "refused: `signpost serve` is the daemon"},
}

// selections is what may stand behind -q, by how it begins. The first row that fits counts; what fits none may be an
// interval (isInterval).
var selections = [...]struct {
	prefix string
	whole  bool // nothing may follow
	doc    string
	set    func(c *command, text string)
}{
	{"", true, "every message but those on hold", func(*command, string) {}},
	{"f", true, "every message but those on hold", func(*command, string) {}},
	{"I", false, "messages whose id contains the text", func(c *command, v string) { c.filter.ID = v }},
	{"R", false, "messages one of whose recipients contains the text", func(c *command, v string) { c.filter.Rcpt = v }},
	{"S", false, "messages whose sender contains the text", func(c *command, v string) { c.filter.Sender = v }},
	{"!I", false, "messages whose id does not contain the text", func(c *command, v string) { c.filter.NotID = v }},
	{"!R", false, "messages none of whose recipients contains the text", func(c *command, v string) { c.filter.NotRcpt = v }},
	{"!S", false, "messages whose sender does not contain the text", func(c *command, v string) { c.filter.NotSender = v }},
}

// names is what the program does when it is called by another name.
var names = [...]struct {
	name string
	doc  string
	set  func(c *command)
}{
	{"sendmail", "send the message on standard input", func(c *command) { c.mode = modeSend }},
	{"mailq", "the same as -bp", func(c *command) { c.mode = modeList }},
	{"newaliases", "the same as -bi", func(c *command) { c.mode = modeAliases }},
	{"runq", "the same as -q", func(c *command) { c.mode = modeRun }},
	{"rmail", "the same as -i; recipients stand on the command line only", func(c *command) { c.rmail, c.ignoreDots = true, true }},
	{"hoststat", "print nothing, exit 0", func(c *command) { c.mode = modeNothing }},
	{"purgestat", "print nothing, exit 0", func(c *command) { c.mode = modeNothing }},
	{"smtpd", "refused: `signpost serve` is the daemon", func(c *command) { c.mode = modeDaemon }},
}

// longOptions is every option of two dashes. Each is a mode.
var longOptions = [...]struct {
	name  string
	value string
	doc   string
	mode  mode
}{
	{"explain", "arguments", "say how these arguments are read and what would happen, and send nothing", modeExplain},
	{"help", "", "print a summary", modeHelp},
	{"version", "", "print the version", modeVersion},
}
