//go:build e2e

package e2e

import (
	"os"
	"strings"
	"testing"

	"signpost/packaging/e2e/inside"
)

const (
	annHere  = "ann@" + inside.Hostname
	rootHere = "root@" + inside.Hostname
)

// greetings is a text that mail programs stumble over.
const greetings = "Gr\u00fc\u00dfe\n.\n..\nFrom here on\nlast line\n"

// octets is every octet there is, once.
func octets() string {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	return string(all)
}

// mailReaders are the programs in which people write mail.
var mailReaders = []program{
	{
		name: "neomutt", pkg: "neomutt",
		files: map[string]string{".neomuttrc": "set charset=utf-8 send_charset=utf-8 realname=\"Ann \u00dcnal\" from=" + annHere + " use_envelope_from=yes copy=no\n"},
		run:   `neomutt -s 'Grüße' -c carol@example.net -b dora@example.net -- 'Bob <bob@example.net>'`,
		stdin: greetings,
		want: []arrival{{
			sender: annHere, rcpts: []string{"bob@example.net", "carol@example.net", "dora@example.net"},
			fields: []string{"Subject: =?utf-8?B?R3LDvMOfZQ==?=", "From: Ann =?utf-8?B?w5xuYWw=?= <" + annHere + ">", "To: Bob <bob@example.net>", "Cc: carol@example.net"},
			parts:  []string{greetings},
		}},
	},
	{
		name: "mail of GNU mailutils", pkg: "mailutils",
		run:   `mail.mailutils -s 'Grüße' -r news@www1.example.test -a 'Cc: carol@example.net' -a 'Bcc: dora@example.net' bob@example.net`,
		stdin: "Gr\u00fc\u00dfe\n..\nFrom here on\nlast line\n", // it ends at a dot itself
		want: []arrival{{
			sender: "news@" + inside.Hostname, rcpts: []string{"bob@example.net", "carol@example.net", "dora@example.net"},
			fields: []string{"Subject: Gr\u00fc\u00dfe", "From: news@" + inside.Hostname, "To: <bob@example.net>", "Cc: <carol@example.net>"},
			parts:  []string{"Gr\u00fc\u00dfe\n..\nFrom here on\nlast line\n"},
		}},
	},
	{
		name: "alpine, by -bs", pkg: "alpine", copy: []string{"alpine.py"},
		run: `python3 alpine.py`,
		want: []arrival{{
			sender: annHere, rcpts: []string{"bob@example.net", "carol@example.net"},
			fields: []string{"Subject: hello", "From: " + annHere, "To: bob@example.net", "cc: carol@example.net"},
			parts:  []string{"world\n"},
		}},
	},
	{
		name: "Emacs, message-mode", pkg: "emacs-nox",
		copy: []string{"message.el"},
		run:  `emacs --batch --load message.el`,
		says: "…",
		want: []arrival{{
			sender: annHere, rcpts: []string{"bob@example.net", "carol@example.net", "dora@example.net"},
			fields: []string{"Subject: =?utf-8?B?R3LDvMOfZQ==?=", "From: Ann <" + annHere + ">", "To: bob@example.net", "Cc: carol@example.net"},
			parts:  []string{greetings},
		}},
	},
	{
		name: "Emacs, mail-mode", pkg: "emacs-nox",
		copy: []string{"sendmail.el"},
		run:  `emacs --batch --load sendmail.el`,
		says: "…",
		want: []arrival{{
			sender: annHere, rcpts: []string{"bob@example.net", "carol@example.net", "dora@example.net"},
			fields: []string{"Subject: hello", "From: …" + annHere + "…", "To: bob@example.net", "Cc: carol@example.net"},
			parts:  []string{greetings},
		}},
	},
	{
		name: "nmh, by -t", pkg: "nmh",
		files: map[string]string{".mh_profile": "Path: .\n", "draft": "From: " + annHere + "\nTo: bob@example.net\nCc: carol@example.net\nSubject: hello\n--------\nworld\n.\nend\n"},
		run:   `/usr/bin/mh/send draft`,
		want: []arrival{{
			sender: annHere, rcpts: []string{"bob@example.net", "carol@example.net"},
			fields: []string{"Subject: hello", "From: " + annHere, "To: bob@example.net"},
			parts:  []string{"world\n.\nend\n"},
		}},
	},
	{
		name: "nmh, by -bs", pkg: "nmh",
		files: map[string]string{".mh_profile": "Path: .\nsend: -mts sendmail/smtp\n", "draft": "From: " + annHere + "\nTo: bob@example.net\nCc: carol@example.net\nBcc: dora@example.net\nSubject: hello\n--------\nworld\n.\nend\n"},
		run:   `/usr/bin/mh/send draft`,
		want: []arrival{
			{
				sender: annHere, rcpts: []string{"bob@example.net", "carol@example.net"},
				fields: []string{"To: bob@example.net", "Cc: carol@example.net", "Subject: hello", "From: " + annHere},
				parts:  []string{"world\n.\nend\n"},
			},
			{ // the blind copy is another message of the same session
				sender: annHere, rcpts: []string{"dora@example.net"},
				fields: []string{"To: undisclosed-recipients:;", "Subject: hello", "From: " + annHere},
				parts:  []string{"------- Blind-Carbon-Copy\n\n…To: bob@example.net\n…\n\nworld\n.\nend\n\n------- End of Blind-Carbon-Copy\n"},
			},
		},
	},
	{
		name: "mblaze", pkg: "mblaze",
		files: map[string]string{"draft": "From: " + annHere + "\nTo: bob@example.net\nBcc: dora@example.net\nSubject: hello\n\n" + greetings},
		run:   `PATH=/usr/sbin:/usr/bin:/bin mcom -send -r draft`,
		says:  "…",
		want: []arrival{{
			sender: annHere, rcpts: []string{"bob@example.net", "dora@example.net"},
			fields: []string{"Subject: hello", "From: " + annHere, "To: bob@example.net"},
			parts:  []string{greetings},
		}},
	},
	{
		name: "mpack", pkg: "mpack",
		files: map[string]string{"file.bin": string(noise(5000))},
		run:   `mpack -s hello -c application/x-noise file.bin bob@example.net carol@example.net`,
		want: []arrival{{
			sender: annHere, rcpts: []string{"bob@example.net", "carol@example.net"},
			fields: []string{"Subject: hello", "To: bob@example.net,", "\tcarol@example.net"},
			parts:  []string{string(noise(5000))},
		}},
	},
	{
		name: "mime-construct", pkg: "mime-construct",
		files: map[string]string{"file.bin": string(noise(5000))},
		run:   `mime-construct --to bob@example.net --cc carol@example.net --bcc dora@example.net --subject hello --string world --attachment file.bin --file file.bin`,
		want: []arrival{{
			sender: annHere, rcpts: []string{"bob@example.net", "carol@example.net", "dora@example.net"},
			fields: []string{"Subject: hello", "To: bob@example.net", "Cc: carol@example.net"},
			parts:  []string{"world", string(noise(5000))},
		}},
	},
}

// libraries are what programs in other languages send mail with.
var libraries = []program{
	{
		name: "Perl, Email::Sender", pkg: "libemail-sender-perl", copy: []string{"email-sender.pl"},
		run: `perl email-sender.pl`,
		want: []arrival{{
			sender: "bounces@" + inside.Hostname, rcpts: []string{"bob@example.net", "dora@example.net"},
			fields: []string{"Subject: hello", "From: " + annHere, "To: bob@example.net"},
			parts:  []string{greetings},
		}},
	},
	{
		name: "Perl, MIME::Lite", pkg: "libmime-lite-perl", copy: []string{"mime-lite.pl"},
		run: `perl mime-lite.pl`,
		want: []arrival{{
			sender: annHere, rcpts: []string{"bob@example.net", "carol@example.net", "dora@example.net"},
			fields: []string{"Subject: hello", "From: Ann <" + annHere + ">", "To: bob@example.net", "Cc: carol@example.net"},
			parts:  []string{greetings, octets()},
		}},
	},
	{
		name: "Perl, Mail::Mailer", pkg: "libmailtools-perl", copy: []string{"mail-mailer.pl"},
		run: `perl mail-mailer.pl`,
		want: []arrival{{
			sender: annHere, rcpts: []string{"bob@example.net", "carol@example.net", "dora@example.net"},
			fields: []string{"Subject: hello", "From: " + annHere, "To: bob@example.net", "To: carol@example.net"},
			parts:  []string{"one\n..\nlast line\n"},
		}},
	},
	{
		name: "Ruby, mail", pkg: "ruby-mail", copy: []string{"mail.rb"},
		run: `ruby mail.rb`,
		want: []arrival{{
			sender: annHere, rcpts: []string{"bob@example.net", "carol@example.net", "dora@example.net"},
			fields: []string{"Subject: =?UTF-8?Q?Gr=C3=BC=C3=9Fe?=", "From: " + annHere, "To: Bob <bob@example.net>", "Cc: carol@example.net"},
			parts:  []string{strings.ReplaceAll(greetings, "\n", "\r\n")}, // it encodes the CR of its line ends
		}},
	},
	{
		name: "Python, email and subprocess", pkg: "python3", copy: []string{"send.py"},
		run: `python3 send.py`,
		want: []arrival{{
			sender: annHere, rcpts: []string{"bob@example.net", "carol@example.net", "dora@example.net"},
			fields: []string{"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=", "From: Ann =?utf-8?q?=C3=9Cnal?= <" + annHere + ">", "To: bob@example.net", "Cc: carol@example.net"},
			parts:  []string{greetings, octets()},
		}},
	},
	{
		name: "Node.js, Nodemailer", pkg: "node-nodemailer", copy: []string{"nodemailer.js"},
		run: `node nodemailer.js`,
		want: []arrival{{
			sender: "bounces@" + inside.Hostname, rcpts: []string{"bob@example.net", "carol@example.net", "dora@example.net"},
			fields: []string{"Subject: =?UTF-8?Q?Gr=C3=BC=C3=9Fe?=", "From: Ann <" + annHere + ">", "To: bob@example.net", "Cc: carol@example.net"},
			parts:  []string{greetings},
		}},
	},
	{
		name: "PHPMailer, isSendmail", pkg: "libphp-phpmailer", copy: []string{"phpmailer.php"},
		run: `php phpmailer.php isSendmail`,
		want: []arrival{{
			sender: "bounces@" + inside.Hostname, rcpts: []string{"bob@example.net", "carol@example.net", "dora@example.net"},
			fields: []string{"Subject: =?utf-8?B?R3LDvMOfZQ==?=", "From: Ann <" + annHere + ">", "To: Bob <bob@example.net>", "Cc: carol@example.net"},
			parts:  []string{greetings},
		}},
	},
	{
		name: "PHPMailer, isMail", pkg: "libphp-phpmailer", copy: []string{"phpmailer.php"},
		run: `php phpmailer.php isMail`,
		want: []arrival{{
			sender: "bounces@" + inside.Hostname, rcpts: []string{"bob@example.net", "carol@example.net", "dora@example.net"},
			fields: []string{"Subject: =?utf-8?B?R3LDvMOfZQ==?=", "From: Ann <" + annHere + ">", "To: Bob <bob@example.net>", "Cc: carol@example.net"},
			parts:  []string{greetings + "\n"},
		}},
	},
	{
		// Without -oi it doubles dots at the start of lines, as it would for SMTP.
		name: "Symfony Mailer, -t", pkg: "php-symfony-mailer", copy: []string{"symfony.php"},
		run: `php symfony.php 'sendmail://default?command=/usr/sbin/sendmail%20-oi%20-t'`,
		want: []arrival{{
			sender: "bounces@" + inside.Hostname, rcpts: []string{"bob@example.net", "carol@example.net", "dora@example.net"},
			fields: []string{"Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=", "From: Ann <" + annHere + ">", "To: Bob <bob@example.net>", "Cc: carol@example.net"},
			parts:  []string{greetings},
		}},
	},
	{
		name: "Symfony Mailer, -bs", pkg: "php-symfony-mailer", copy: []string{"symfony.php"},
		run: `php symfony.php sendmail://default`,
		want: []arrival{{
			sender: "bounces@" + inside.Hostname, rcpts: []string{"bob@example.net", "carol@example.net", "dora@example.net"},
			fields: []string{"Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=", "From: Ann <" + annHere + ">", "To: Bob <bob@example.net>", "Cc: carol@example.net"},
			parts:  []string{greetings + "\n"}, // it ends DATA with an empty line of its own
		}},
	},
}

// systemPrograms report to whoever looks after the machine.
var systemPrograms = []program{
	{
		name: "at", pkg: "at", serve: []string{"/usr/sbin/atd", "-f"},
		files: map[string]string{"/etc/aliases": "ann: bob@example.net\n"},
		run:   `echo "printf 'out\n.\nlast'; echo err >&2" | at -m now`,
		says:  "…",
		want: []arrival{{
			sender: annHere, rcpts: []string{"bob@example.net"},
			fields: []string{"Subject: Output from your job …", "To: " + annHere},
			parts:  []string{"out\n.\nlasterr\n"},
		}},
	},
	{
		name: "batch", pkg: "at", serve: []string{"/usr/sbin/atd", "-f", "-l", "1000", "-b", "1"},
		files: map[string]string{"/etc/aliases": "ann: bob@example.net\n"},
		run:   `echo "echo out" | batch`,
		says:  "…",
		want: []arrival{{
			sender: annHere, rcpts: []string{"bob@example.net"},
			fields: []string{"Subject: Output from your job …", "To: " + annHere},
			parts:  []string{"out\n"},
		}},
	},
	{
		name: "sudo, mail_badpass", pkg: "sudo",
		setup: func(t *testing.T, _ inside.Account) {
			writeFile(t, "/etc/sudoers.d/test", "Defaults mail_badpass, mailto=\"bob@example.net\", passwd_tries=1\nann ALL=(ALL) ALL\n", 0o440)
		},
		run:   `sudo -S -p '' true 2>/dev/null || :`,
		stdin: "wrong\n",
		want: []arrival{{
			sender: annHere, rcpts: []string{"bob@example.net"},
			fields: []string{"Subject: *** SECURITY information for www1.example.test ***", "From: " + annHere, "To: bob@example.net", "Auto-Submitted: auto-generated"},
			parts:  []string{"www1.example.test : … : ann : 1 incorrect password attempt ; … COMMAND=/usr/bin/true\n\n"},
		}},
	},
	{
		name: "anacron", pkg: "anacron", user: "root",
		files: map[string]string{"/root/anacrontab": "SHELL=/bin/sh\nPATH=/usr/bin:/bin\nMAILTO=bob@example.net\n1 0 job.daily sh /root/job\n", "/root/job": `printf 'out\n..\nlast'`},
		run:   `/usr/sbin/anacron -d -f -n -t /root/anacrontab -S /var/spool/anacron`,
		says:  "…",
		want: []arrival{{
			sender: rootHere, rcpts: []string{"bob@example.net"},
			fields: []string{"Subject: Anacron job 'job.daily' on www1.example.test", "From: Anacron <" + rootHere + ">", "To: bob@example.net"},
			parts:  []string{"out\n..\nlast\n"}, // it calls without -i, so a line of one dot would end the message
		}},
	},
	{
		name: "mdadm --monitor --test", pkg: "mdadm", user: "root",
		run:  `/usr/sbin/mdadm --monitor --test --oneshot --mail=bob@example.net /dev/md0`,
		says: "…",
		want: []arrival{{
			sender: rootHere, rcpts: []string{"bob@example.net"},
			fields: []string{"Subject: TestMessage event on /dev/md0:…", "From: mdadm monitoring <" + rootHere + ">", "To: bob@example.net"},
			parts:  []string{"This is an automatically generated mail message…"},
		}},
	},
	{
		// No device that could fail is here. This is what smartd runs, with the environment that it gives.
		name: "smartd -M exec", pkg: "smartmontools", user: "root",
		run: `SMARTD_MAILER=/usr/share/smartmontools/smartd-runner SMARTD_ADDRESS=bob@example.net SMARTD_FAILTYPE=EmailTest \
			SMARTD_MESSAGE='TEST EMAIL from smartd for device: /dev/sda' SMARTD_DEVICEINFO='Disk, 1 TB' SMARTD_PREVCNT=0 SMARTD_NEXTDAYS= \
			/usr/share/smartmontools/smartd_warning.sh`,
		want: []arrival{{
			sender: rootHere, rcpts: []string{"bob@example.net"},
			fields: []string{"Subject: SMART error (EmailTest) detected on host: www1", "To: <bob@example.net>"},
			parts:  []string{"This message was generated by the smartd daemon running on:\n…TEST EMAIL from smartd for device: /dev/sda\n…"},
		}},
	},
	{
		name: "unattended-upgrades", pkg: "unattended-upgrades", user: "root", copy: []string{"unattended-upgrades.py"},
		run: `python3 unattended-upgrades.py`,
		want: []arrival{{
			sender: rootHere, rcpts: []string{"bob@example.net"},
			fields: []string{"Subject: unattended-upgrades result for …: SUCCESS", "From: " + rootHere, "To: bob@example.net", "Auto-Submitted: auto-generated"},
			parts:  []string{"Unattended upgrade result: All upgrades installed\n\nPackages that were upgraded:\n greeting\n\nUnattended-upgrades log:\nGr\u00fc\u00dfe\n"},
		}},
	},
	{
		name: "logwatch", pkg: "logwatch", user: "root",
		files: map[string]string{"/var/log/dpkg.log": "2026-11-23 10:00:00 upgrade gr\u00fcn:all 1.0 2.0\n2026-11-23 10:00:00 status installed gr\u00fcn:all 2.0\n"},
		run:   `/usr/sbin/logwatch --output mail --mailto bob@example.net --service dpkg --range all --detail high`,
		want: []arrival{{
			sender: rootHere, rcpts: []string{"bob@example.net"},
			fields: []string{"Subject: Logwatch for www1.example.test (Linux)", "From: " + rootHere, "To: bob@example.net"},
			parts:  []string{"…Upgraded:\n    gr\u00fcn:all 1.0 => 2.0\n…"},
		}},
	},
	{
		name: "fail2ban, action sendmail", pkg: "fail2ban", user: "root", serve: []string{"/usr/bin/fail2ban-server", "-f", "start"},
		copy: []string{"fail2ban.sh"},
		setup: func(t *testing.T, who inside.Account) {
			inside.Output(t, who.Command("/bin/sh", "fail2ban.sh"))
		},
		want: []arrival{
			{
				sender: "fail2ban@" + inside.Hostname, rcpts: []string{"bob@example.net", "carol@example.net"},
				fields: []string{"Subject: [Fail2Ban] door: started on …", "From: Fail2Ban <fail2ban@" + inside.Hostname + ">", "To: bob@example.net,carol@example.net"},
				parts:  []string{"Hi,\n\nThe jail door has been started successfully.\n\nRegards,\n\nFail2Ban\n"},
			},
			{
				sender: "fail2ban@" + inside.Hostname, rcpts: []string{"bob@example.net", "carol@example.net"},
				fields: []string{"Subject: [Fail2Ban] door: banned 192.0.2.7 from …", "From: Fail2Ban <fail2ban@" + inside.Hostname + ">", "To: bob@example.net,carol@example.net"},
				parts:  []string{"Hi,\n\nThe IP 192.0.2.7 has just been banned by Fail2Ban after\n3 attempts against door.\n\nRegards,\n\nFail2Ban\n"},
			},
		},
	},
	{
		name: "debsecan", pkg: "debsecan", user: "root", copy: []string{"debsecan.sh"},
		run: `sh debsecan.sh`,
		want: []arrival{{
			sender: rootHere, rcpts: []string{"bob@example.net"},
			fields: []string{"Subject: Debian security status of " + inside.Hostname, "To: bob@example.net"},
			parts:  []string{"…CVE-2026-0001…"},
		}},
	},
	{
		name: "apt-listchanges", pkg: "apt-listchanges", user: "root", copy: []string{"repository.sh"},
		run:  `export PATH=/usr/sbin:/usr/bin:/sbin:/bin; sh repository.sh && dpkg --install /srv/apt/greeting_1_all.deb && apt-listchanges -f mail --email-address=bob@example.net --which=changelogs /srv/apt/*_2_all.deb`,
		says: "…",
		want: []arrival{{
			sender: rootHere, rcpts: []string{"bob@example.net"},
			fields: []string{"Subject: apt-listchanges: changelogs for " + inside.Hostname, "To: bob@example.net", "Auto-Submitted: auto-generated"},
			parts:  []string{"…Gr\u00fc\u00dfe…"},
		}},
	},
	{
		name: "apticron", pkg: "apticron", user: "root", copy: []string{"repository.sh"},
		run:  `sh repository.sh && apt-get -qq update && apt-get -qq install greeting=1 >/dev/null && rm -f /usr/bin/apt-listchanges && printf 'EMAIL=bob@example.net\nSYSTEM=www1\n' >/etc/apticron/apticron.conf && /usr/sbin/apticron`,
		says: "…",
		want: []arrival{{
			sender: rootHere, rcpts: []string{"bob@example.net"},
			fields: []string{"Subject: 1 Debian package update(s) for www1", "To: <bob@example.net>", "Content-type: text/plain; charset=UTF-8"},
			parts:  []string{"apticron report …\tgreeting 2\n…"},
		}},
	},
	{
		name: "cron-apt", pkg: "cron-apt", user: "root", copy: []string{"repository.sh"},
		run:  `sh repository.sh && apt-get -qq update && apt-get -qq install greeting=1 >/dev/null && printf 'MAILTO=bob@example.net\nMAILON=always\nRUNSLEEP=0\n' >/etc/cron-apt/config && PATH=/usr/sbin:/usr/bin:/sbin:/bin /usr/sbin/cron-apt`,
		says: "…",
		want: []arrival{{
			sender: rootHere, rcpts: []string{"bob@example.net"},
			fields: []string{"Subject: CRON-APT …", "To: bob@example.net"},
			parts:  []string{"…greeting…"},
		}},
	},
	{
		name: "logcheck", pkg: "logcheck", user: "logcheck",
		setup: func(t *testing.T, logcheck inside.Account) {
			write(t, logcheck, "/run/lock/logcheck/here", nil, 0o644) // with its folder, as at boot
			if err := os.Chown("/run/lock/logcheck", logcheck.UID, logcheck.GID); err != nil {
				t.Fatal(err)
			}
			writeFile(t, "/var/log/syslog", "Nov 23 10:00:00 www1 door[7]: opened by gr\u00fcn\n.\n", 0o644)
		},
		run: `PATH=/usr/sbin:/usr/bin:/sbin:/bin logcheck -m bob@example.net -l /var/log/syslog`,
		want: []arrival{{
			sender: "logcheck@" + inside.Hostname, rcpts: []string{"bob@example.net"},
			fields: []string{"Subject: www1.example.test … System Events", "To: bob@example.net", "Auto-Submitted: auto-generated"},
			parts:  []string{"…\n.\nNov 23 10:00:00 www1 door[7]: opened by gr\u00fcn\n…"},
		}},
	},
	{
		name: "procmail, forwarding", pkg: "procmail",
		files: map[string]string{"rc": ":0\n! bob@example.net carol@example.net\n"},
		run:   `procmail ./rc`,
		stdin: "From eve@example.org Mon Nov 23 10:00:00 2026\nReturn-Path: <eve@example.org>\nFrom: eve@example.org\nTo: ann\nSubject: hello\nBcc: x@example.org\n\none\n.\nlast\n",
		want: []arrival{{
			sender: annHere, rcpts: []string{"bob@example.net", "carol@example.net"},
			fields:  []string{"Subject: hello", "From: eve@example.org", "To: " + annHere},
			parts:   []string{"one\n.\nlast\n\n"},
			foreign: true,
		}},
	},
	{
		name: "vacation", pkg: "vacation",
		files: map[string]string{".vacation.msg": "Subject: away\n\nI am away.\n..\nann\n"},
		run:   `vacation -I && vacation ann`,
		stdin: "From bob@example.net Mon Nov 23 10:00:00 2026\nFrom: bob@example.net\nTo: ann\nSubject: hello\nMessage-ID: <1@example.net>\n\none\n",
		want: []arrival{{
			sender: annHere, rcpts: []string{"bob@example.net"},
			fields: []string{"Subject: away", "To: bob@example.net"},
			parts:  []string{"I am away.\n..\nann\n"},
		}},
	},
	{
		name: "reportbug", pkg: "reportbug", copy: []string{"reportbug.sh"},
		files: map[string]string{"/usr/share/bug/procmail/control": "Send-To: bob@example.net\n"},
		run:   `sh reportbug.sh`,
		stdin: "y\n",
		says:  "…",
		want: []arrival{{
			sender: "ann@www1.home.arpa", rcpts: []string{"bob@example.net"},
			fields:  []string{"Subject: hello", "From: Ann <ann@www1.home.arpa>", "To: bob@example.net"},
			parts:   []string{"Package: procmail\nSeverity: normal\n\nGr\u00fc\u00dfe\n…"},
			foreign: true,
		}},
	},
}
