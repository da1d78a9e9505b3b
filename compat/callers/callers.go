// Package callers holds how programs call sendmail: the exact arguments, environment and standard input of one call of
// each, as recorded from the program or read in its source.
//
// `signpost test` replays them, and tests put each through the real parser. The package holds data only.
package callers

import "strings"

// Call is one call. Args, Env and Stdin may hold {user}, {to} and {host}, for which Fill puts what is to stand there.
type Call struct {
	Name    string   // one word
	About   string   // which program, and what of it, in one line
	Program string   // argv[0]
	Args    []string // behind it
	Env     []string // NAME=value, all of it
	Stdin   string   // as it comes, with the line ends of the program
}

// Find gives the call of a name.
func Find(name string) (Call, bool) {
	for _, c := range All() {
		if c.Name == name {
			return c, true
		}
	}
	return Call{}, false
}

// Fill gives the call as user makes it on host (names without a domain), with mail to the address to.
func (c Call) Fill(user, host, to string) Call {
	r := strings.NewReplacer("{user}", user, "{host}", host, "{to}", to)
	c.Args, c.Env = replaced(r, c.Args), replaced(r, c.Env)
	c.Stdin = r.Replace(c.Stdin)
	return c
}

func replaced(r *strings.Replacer, list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = r.Replace(s)
	}
	return out
}

func words(s ...string) []string { return s }

// Programs as callers name them, and what stands in the environment of most.
const (
	sbin = "/usr/sbin/sendmail"
	lib  = "/usr/lib/sendmail"
	path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// session is the environment of a program that somebody starts from a shell.
var session = words(path, "HOME=/home/{user}", "USER={user}", "LOGNAME={user}", "SHELL=/bin/bash", "LANG=C.UTF-8", "TERM=xterm")

// service is that of a program started by the system as root.
var service = words(path, "LANG=C.UTF-8")

// crlf gives text its other line ends.
func crlf(text string) string { return strings.ReplaceAll(text, "\n", "\r\n") }

// All gives every call, in the order in which they are listed.
func All() []Call {
	var all []Call
	for _, group := range [][]Call{jobs, php, readers, libraries, system, lists} {
		all = append(all, group...)
	}
	return all
}

// jobs are programs that send what other programs printed.
var jobs = []Call{
	{Name: "cron", About: "Debian's cron 3.0: the output of a job, not ended by a newline", Program: sbin,
		Args: words("-FCronDaemon", "-i", "-B8BITMIME", "-oem", "{user}"),
		Env:  words("HOME=/root", "PATH=/usr/bin:/bin", "SHELL=/bin/sh"),
		Stdin: "From: root (Cron Daemon)\nTo: {user}\nSubject: Cron <{user}@{host}> backup --nightly\nMIME-Version: 1.0\n" +
			"Content-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: 8bit\nX-Cron-Env: <SHELL=/bin/sh>\n" +
			"X-Cron-Env: <HOME=/home/{user}>\nX-Cron-Env: <PATH=/usr/bin:/bin>\nX-Cron-Env: <LOGNAME={user}>\n\n" +
			"12 files größer than before\n.\n3 errors"},
	{Name: "cronie", About: "cronie 1.6: the output of a job, from MAILFROM or the user", Program: sbin,
		Args: words("-FCronDaemon", "-i", "-odi", "-oem", "-oi", "-t", "-f", "{user}"),
		Env:  words("HOME=/home/{user}", "PATH=/usr/bin:/bin", "SHELL=/bin/sh", "LOGNAME={user}", "USER={user}", "LANG=C.UTF-8"),
		Stdin: "From: \"(Cron Daemon)\" <{user}>\nTo: {user}\nSubject: Cron <{user}@{host}> backup --nightly\nMIME-Version: 1.0\n" +
			"Content-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: 8bit\nAuto-Submitted: auto-generated\n" +
			"Precedence: bulk\nX-Cron-Env: <SHELL=/bin/sh>\nX-Cron-Env: <LOGNAME={user}>\n\n12 files backed up\n.\n"},
	{Name: "at", About: "at 3.2: the output of a job, without From", Program: sbin,
		Args:  words("-i", "{user}"),
		Env:   words("HOME=/home/{user}", "PATH=/usr/bin:/bin", "USER={user}", "LANG=C.UTF-8"),
		Stdin: "Subject: Output from your job        1\nTo: {user}\n\nhello from at\n"},
	{Name: "anacron", About: "anacron 2.3: the output of a daily job", Program: sbin,
		Args: words("-FAnacron", "-odi", "root"),
		Env:  words(path, "HOME=/root", "LOGNAME=root", "SHELL=/bin/sh"),
		Stdin: "From: Anacron <root>\nTo: root\nContent-Type: text/plain; charset=\"UTF-8\"\n" +
			"Subject: Anacron job 'cron.daily' on {host}\n\n/etc/cron.daily/backup:\n12 files backed up\n"},
}

// php is PHP's mail() and the libraries above it. PHP adds the words of the 5th argument behind its own.
var php = []Call{
	{Name: "php", About: "PHP 8 mail(): CRLF in the header, LF in the body", Program: sbin,
		Args: words("-t", "-i"), Env: web,
		Stdin: crlf("To: {to}\nSubject: Grüße from PHP\nFrom: Web <web@{host}>\nCc: carol@example.com\nBcc: dave@example.net\n"+
			"X-PHP-Originating-Script: 33:contact.php\n\n") + "Thank you.\nSee you.\r\n"},
	{Name: "php7", About: "PHP before 8 mail(): LF, and CRLF within the script's own fields", Program: sbin,
		Args: words("-t", "-i", "-fbounce@example.org"), Env: web,
		Stdin: "To: {to}\nSubject: hello\nX-PHP-Originating-Script: 33:contact.php\nFrom: Web <web@{host}>\r\nX-Mailer: PHP/7.4\n\nThank you.\n"},
	{Name: "wordpress", About: "WordPress, by PHPMailer's \"mail\" transport on PHP 8", Program: sbin,
		Args: words("-t", "-i"), Env: web,
		Stdin: crlf("To: {to}\nSubject: [Blog] Password Reset\nDate: Mon, 23 Nov 2026 18:00:45 +0000\n"+
			"From: WordPress <wordpress@example.org>\nMessage-ID: <wGz3k1T5zQ9c@example.org>\nX-Mailer: PHPMailer 6.9.1\n"+
			"MIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\n\n") + "Someone has requested a password reset.\r\n"},
	{Name: "phpmailer", About: "PHPMailer's \"sendmail\" transport with a Sender", Program: sbin,
		Args: words("-fbounce@example.org", "-i", "-t"), Env: web,
		Stdin: "Date: Mon, 23 Nov 2026 18:00:45 +0000\nTo: Bob <{to}>\nFrom: Shop <shop@example.org>\nSubject: Your order\n" +
			"Message-ID: <8tXq2b7Yd3@example.org>\nX-Mailer: PHPMailer 6.9.1\nMIME-Version: 1.0\n" +
			"Content-Type: text/plain; charset=iso-8859-1\n\nIt is on its way.\n\n"},
	{Name: "drupal", About: "Drupal: mail() with -f, LF in the header", Program: sbin,
		Args: words("-t", "-i", "-fsite@example.org"), Env: web,
		Stdin: "To: {to}\r\nSubject: Account details\r\nMIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8; format=flowed; delsp=yes\n" +
			"Content-Transfer-Encoding: 8Bit\nX-Mailer: Drupal\nReturn-Path: site@example.org\nSender: site@example.org\n" +
			"From: Site <site@example.org>\r\n\r\nYour account is ready.\n\r\n"},
	{Name: "roundcube", About: "Roundcube and Laminas: mail() with -f, CRLF", Program: sbin,
		Args: words("-t", "-i", "-f{user}@example.org"), Env: web,
		Stdin: crlf("To: {to}\nSubject: =?UTF-8?Q?Gr=C3=BC=C3=9Fe?=\nMIME-Version: 1.0\nContent-Type: text/plain; charset=US-ASCII;\n" +
			" format=flowed\nContent-Transfer-Encoding: 7bit\nDate: Mon, 23 Nov 2026 18:00:45 +0000\nFrom: {user}@example.org\n" +
			"User-Agent: Roundcube Webmail/1.6\nMessage-ID: <0123456789abcdef@example.org>\n\nhello\n\n")},
	{Name: "symfony", About: "Symfony Mailer: an SMTP dialogue on standard input and output", Program: sbin,
		Args: words("-bs"), Env: web,
		Stdin: crlf("EHLO [127.0.0.1]\nMAIL FROM:<shop@example.org>\nRCPT TO:<{to}>\nDATA\nFrom: Shop <shop@example.org>\nTo: {to}\n" +
			"Subject: Your order\nMessage-ID: <a1b2c3d4e5f60718@example.org>\nMIME-Version: 1.0\n" +
			"Date: Mon, 23 Nov 2026 18:00:45 +0000\nContent-Type: text/plain; charset=utf-8\n" +
			"Content-Transfer-Encoding: quoted-printable\n\nIt is on its way.\n..and no dot ends it\n.\nQUIT\n")},
	{Name: "symfony-t", About: "Symfony Mailer with -t in the DSN: which it takes out, and names recipients", Program: sbin,
		Args: words("-fshop@example.org", "{to}", "carol@example.com"), Env: web,
		Stdin: "From: Shop <shop@example.org>\nTo: {to}\nSubject: Your order\nMessage-ID: <a1b2c3d4e5f60718@example.org>\nMIME-Version: 1.0\n" +
			"Date: Mon, 23 Nov 2026 18:00:45 +0000\nContent-Type: text/plain; charset=utf-8\n" +
			"Content-Transfer-Encoding: quoted-printable\n\nIt is on its way.\n..this dot was doubled\n"},
}

// web is the environment of PHP below a web server.
var web = words("PATH=/usr/local/bin:/usr/bin:/bin", "USER=www-data", "HOME=/var/www")

// readers are programs that people write mail with.
var readers = []Call{
	{Name: "bsd-mailx", About: "mail(1) of bsd-mailx: also for smartd, apticron, ZFS and Nagios", Program: sbin,
		Args: words("-i", "-t"), Env: session,
		Stdin: "To: {to},, carol@example.com\nSubject: disk failing\nBcc: dave@example.net\nMIME-Version: 1.0\n" +
			"Content-Type: text/plain; charset=\"UTF-8\"\nContent-Transfer-Encoding: 8bit\n\n/dev/sda has errors\n"},
	{Name: "s-nail", About: "mail(1) of s-nail: recipients are arguments", Program: sbin,
		Args: words("-i", "-f", "{user}@{host}", "--", "{to}", "dave@example.net"), Env: session,
		Stdin: "Date: Mon, 23 Nov 2026 18:00:45 +0000\nTo: {to}\nSubject: disk failing\nMessage-ID: <20261123180045.xyzzy%{user}@{host}>\n" +
			"User-Agent: s-nail v14.9.24\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nIt hums.\n"},
	{Name: "mailutils", About: "mail(1) of GNU mailutils: no From, raw UTF-8 in the subject", Program: sbin,
		Args: words("-oi", "-f", "{user}@{host}", "-t"), Env: session,
		Stdin: "Subject: Grüße\nTo: {to}\nUser-Agent: mail (GNU Mailutils 3.15)\nDate: Mon, 23 Nov 2026 18:00:45 +0000\n\nIt hums.\n"},
	{Name: "mutt", About: "mutt 2: a list of modes, then recipients behind --", Program: sbin,
		Args: words("-oem", "-oi", "-B8BITMIME", "-f", "{user}@example.org", "-N", "failure,delay", "-R", "hdrs", "--", "{to}", "carol@example.com"),
		Env:  session,
		Stdin: "Date: Mon, 23 Nov 2026 18:00:45 +0000\nFrom: {user} <{user}@example.org>\nTo: {to}\nCc: carol@example.com\nSubject: hello\n" +
			"Message-ID: <ZWA1bm9uZXN1Y2g@{host}>\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n" +
			"Content-Disposition: inline\nContent-Transfer-Encoding: 8bit\n\nschöne Grüße\n.\n"},
	{Name: "neomutt", About: "NeoMutt: as mutt, without options of its own", Program: sbin,
		Args: words("-oem", "-oi", "--", "{to}"), Env: session,
		Stdin: "Date: Mon, 23 Nov 2026 18:00:45 +0000\nFrom: {user}\nTo: {to}\nSubject: hello\nMessage-ID: <ZWA1bm9uZXN1Y2g@{host}>\n" +
			"MIME-Version: 1.0\nContent-Type: text/plain; charset=us-ascii\nContent-Disposition: inline\n\nhi\n"},
	{Name: "alpine", About: "Alpine: an SMTP dialogue on standard input and output", Program: sbin,
		Args: words("-bs", "-odb", "-oem"), Env: session,
		Stdin: crlf("EHLO {host}\nMAIL FROM:<{user}@{host}>\nRCPT TO:<{to}>\nDATA\nDate: Mon, 23 Nov 2026 18:00:45 +0000 (UTC)\n" +
			"From: {user} <{user}@{host}>\nTo: {to}\nSubject: hello\nMessage-ID: <a1b2c3d4@{host}>\nMIME-Version: 1.0\n" +
			"Content-Type: text/plain; format=flowed; charset=US-ASCII\n\nhi\n.\nQUIT\n")},
	{Name: "emacs", About: "Emacs message-mode: -t behind a sender", Program: sbin,
		Args: words("-oi", "-f", "{user}@example.org", "-t"), Env: session,
		Stdin: "From: {user} <{user}@example.org>\nTo: {to}\nBcc: dave@example.net\nSubject: hello\nDate: Mon, 23 Nov 2026 18:00:45 +0000\n" +
			"Message-ID: <87fs1abcde.fsf@{host}>\nUser-Agent: Gnus/5.13 (Gnus v5.13)\nMIME-Version: 1.0\nContent-Type: text/plain\n\nhi\n"},
	{Name: "emacs-mail", About: "Emacs mail-mode: modes for errors and delivery", Program: sbin,
		Args: words("-oi", "-oep", "-odi", "-t"), Env: session,
		Stdin: "From: {user}@{host}\nTo: {to}\nSubject: hello\nMIME-Version: 1.0\nContent-Type: text/plain; charset=us-ascii\n\nhi\n"},
	{Name: "emacs-resend", About: "Emacs message-mode: a message resent, to addresses that are arguments", Program: sbin,
		Args: words("-oi", "-f", "{user}@example.org", "{to}"), Env: session,
		Stdin: "Resent-From: {user}@example.org\nResent-To: {to}\nResent-Date: Mon, 23 Nov 2026 18:00:45 +0000\n" +
			"Resent-Message-ID: <87fs1fghij.fsf@{host}>\nFrom: erin@example.net\nTo: {user}@example.org\nSubject: news\n" +
			"Date: Sun, 22 Nov 2026 09:00:00 +0000\nMessage-ID: <old@example.net>\n\nhi\n"},
}

// libraries are what programs in other languages send with, and git.
var libraries = []Call{
	{Name: "git", About: "git send-email: recipients of Cc and Bcc as arguments, without --", Program: sbin,
		Args: words("-f", "{user}@example.org", "-i", "{to}", "carol@example.com"), Env: session,
		Stdin: "From: {user} <{user}@example.org>\nTo: {to}\nCc: carol@example.com\nSubject: [PATCH] queue: one lock less\n" +
			"Date: Mon, 23 Nov 2026 18:00:45 +0000\nMessage-ID: <20261123180045.4711-1-{user}@example.org>\nX-Mailer: git-send-email 2.39.5\n" +
			"MIME-Version: 1.0\nContent-Transfer-Encoding: 8bit\n\nIt was never taken.\n---\n queue.c | 2 --\n 1 file changed, 2 deletions(-)\n\n-- \n2.39.5\n\n"},
	{Name: "mime-lite", About: "Perl's MIME::Lite: no newline at the end, Bcc in clear", Program: lib,
		Args: words("-t", "-oi", "-oem", "-f{user}@example.org"), Env: session,
		Stdin: "MIME-Version: 1.0\nContent-Transfer-Encoding: 8bit\nContent-Type: text/plain\nX-Mailer: MIME::Lite 3.033\n" +
			"Date: Mon, 23 Nov 2026 18:00:45 +0000\nFrom: {user}@example.org\nTo: {to}\nBcc: dave@example.net\nSubject: report\n\nall is well"},
	{Name: "email-sender", About: "Perl's Email::Sender: recipients behind --", Program: sbin,
		Args: words("-i", "-f", "{user}@example.org", "--", "{to}", "carol@example.com"), Env: session,
		Stdin: "From: {user}@example.org\nTo: {to}\nSubject: report\nDate: Mon, 23 Nov 2026 18:00:45 +0000\nMIME-Version: 1.0\n\nall is well\n"},
	{Name: "mail-mailer", About: "Perl's Mail::Mailer: -t without -i, so that a lone dot ends the message", Program: sbin,
		Args: words("-t"), Env: session,
		Stdin: "To: {to}\nSubject: report\nFrom: {user}@example.org\n\nall is well\n"},
	{Name: "ruby", About: "Ruby's mail: recipients behind --", Program: sbin,
		Args: words("-i", "-f", "{user}@example.org", "--", "{to}"), Env: session,
		Stdin: "Date: Mon, 23 Nov 2026 18:00:45 +0000\nFrom: {user}@example.org\nTo: {to}\nMessage-ID: <6563a1b2c3d4e_12ab3c@{host}.mail>\n" +
			"Subject: report\nMime-Version: 1.0\nContent-Type: text/plain;\n charset=UTF-8\nContent-Transfer-Encoding: 7bit\n\nall is well\n"},
	{Name: "nodemailer", About: "Nodemailer's sendmail transport: Bcc stays in the header, without -t", Program: sbin,
		Args: words("-i", "-f", "{user}@example.org", "{to}", "dave@example.net"), Env: session,
		Stdin: crlf("From: {user}@example.org\nTo: {to}\nBcc: dave@example.net\nSubject: report\n" +
			"Message-ID: <b1946ac9-2492-4d23-a9d1@example.org>\nDate: Mon, 23 Nov 2026 18:00:45 +0000\nMIME-Version: 1.0\n" +
			"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 7bit\n\nall is well\n")},
	{Name: "python", About: "Python code that starts sendmail itself, a body in quoted-printable", Program: sbin,
		Args: words("-t", "-oi"), Env: session,
		Stdin: "Content-Type: text/plain; charset=\"utf-8\"\nContent-Transfer-Encoding: quoted-printable\nMIME-Version: 1.0\n" +
			"From: {user}@example.org\nTo: {to}\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\n\nsch=C3=B6ne Gr=C3=BC=C3=9Fe\n"},
}

// system are programs of the host that report to root. Their mail goes to root.
var system = []Call{
	{Name: "unattended-upgrades", About: "unattended-upgrades: which packages are new", Program: sbin,
		Args: words("-oi", "-t"), Env: service,
		Stdin: "Content-Type: text/plain; charset=\"utf-8\"\nMIME-Version: 1.0\nContent-Transfer-Encoding: quoted-printable\n" +
			"Subject: unattended-upgrades result for {host}: SUCCESS\nFrom: root\nTo: root\nAuto-Submitted: auto-generated\n\n" +
			"Packages that were upgraded:\n libssl3\n"},
	{Name: "apticron", About: "apticron, by mail(1) of bsd-mailx: packages to upgrade", Program: sbin,
		Args: words("-i", "-t"), Env: service,
		Stdin: "To: root\nSubject: 1 Debian package update(s) for {host}\nMIME-Version: 1.0\nContent-Type: text/plain; charset=\"utf-8\"\n" +
			"Content-Transfer-Encoding: 8bit\n\nlibssl3 3.0.15-1~deb12u1\n"},
	{Name: "reportbug", About: "reportbug: a bug report, recipients as arguments", Program: sbin,
		Args: words("-f", "{user}@example.org", "-oi", "-oem", "{to}"), Env: session,
		Stdin: "Content-Type: text/plain; charset=\"us-ascii\"\nMIME-Version: 1.0\nContent-Transfer-Encoding: 7bit\nFrom: {user} <{user}@example.org>\n" +
			"To: Bug Reports <{to}>\nSubject: hello: says nothing\nMessage-ID: <176392084500.4711.reportbug@{host}>\nX-Mailer: reportbug 12.0.0\n" +
			"Date: Mon, 23 Nov 2026 18:00:45 +0000\n\nPackage: hello\nVersion: 2.10-3\n\nIt says nothing.\n"},
	{Name: "logwatch", About: "logwatch: an 8-bit report, -t without -i", Program: sbin,
		Args: words("-t"), Env: service,
		Stdin: "To: root\nFrom: Logwatch\nSubject: Logwatch for {host} (Linux)\nAuto-Submitted: auto-generated\nPrecedence: bulk\n" +
			"MIME-Version: 1.0\nContent-Transfer-Encoding: 8bit\nContent-Type: text/plain; charset=\"UTF-8\"\n\n" +
			" ################### Logwatch 7.7 ####################\n 3 × sshd: größer\n"},
	{Name: "mdadm", About: "mdadm --monitor: an array is degraded, -t without -i", Program: sbin,
		Args: words("-t"), Env: service,
		Stdin: "From: mdadm monitoring <root>\nTo: root\nSubject: DegradedArray event on /dev/md0:{host}\n\n" +
			"This is an automatically generated mail message from mdadm\nrunning on {host}\n\nA DegradedArray event had been detected on md device /dev/md0.\n"},
	{Name: "smartd", About: "smartd, by mail(1) of bsd-mailx: a disk is failing", Program: sbin,
		Args: words("-i", "-t"), Env: service,
		Stdin: "To: root\nSubject: SMART error (CurrentPendingSector) detected on host: {host}\nMIME-Version: 1.0\n" +
			"Content-Type: text/plain; charset=\"us-ascii\"\nContent-Transfer-Encoding: 7bit\n\n" +
			"Device: /dev/sda [SAT], 8 Currently unreadable (pending) sectors\n"},
	{Name: "sudo", About: "sudo: somebody gave a wrong password, -t without -i", Program: sbin,
		Args: words("-t"), Env: words("PATH=/usr/bin:/bin:/usr/sbin:/sbin", "HOME=/", "LOGNAME=root", "SHELL=/bin/sh", "USER=root"),
		Stdin: "To: root\nFrom: {user}\nAuto-Submitted: auto-generated\nSubject: *** SECURITY information for {host} ***\n" +
			"Content-Type: text/plain; charset=\"UTF-8\"\nContent-Transfer-Encoding: 8bit\n\n" +
			"{host} : Nov 23 18:00:45 : {user} : 3 incorrect password attempts ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/id\n"},
	{Name: "fail2ban", About: "fail2ban: an address was banned, sender and recipient as arguments", Program: sbin,
		Args: words("-f", "fail2ban@{host}", "root"), Env: service,
		Stdin: "Subject: [Fail2Ban] sshd: banned 192.0.2.1 from {host}\nDate: Mon, 23 Nov 2026 18:00:45 +0000\n" +
			"From: Fail2Ban <fail2ban@{host}>\nTo: root\n\nHi,\nThe IP 192.0.2.1 has just been banned by Fail2Ban after\n5 attempts against sshd.\n"},
}

// lists are managers of mailing lists, which name many recipients.
var lists = []Call{
	{Name: "majordomo", About: "Majordomo: errors as the owner wants them, the list's owner as sender", Program: lib,
		Args: words("-oi", "-oee", "-fowner-news@example.org", "{to}", "carol@example.com", "dave@example.net"), Env: service,
		Stdin: "From: erin@example.net\nTo: news@example.org\nSubject: news\nSender: owner-news@example.org\nPrecedence: bulk\n\nhi\n"},
	{Name: "mailman", About: "Mailman 2 in sendmail mode", Program: sbin,
		Args: words("-f", "news-bounces@example.org", "{to}", "carol@example.com", "dave@example.net"), Env: service,
		Stdin: "From: erin@example.net\nTo: news@example.org\nSubject: [News] news\nSender: News <news-bounces@example.org>\nPrecedence: list\n" +
			"List-Id: <news.example.org>\nErrors-To: news-bounces@example.org\n\nhi\n"},
}
